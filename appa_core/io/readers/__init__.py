"""Readers of observations, a module for each format, and what they share."""
