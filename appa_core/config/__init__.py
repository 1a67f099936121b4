"""Configuration: presets, their validation, and the objects that they stand for."""
