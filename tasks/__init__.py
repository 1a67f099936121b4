"""Prefect tasks: thin wrappers that exchange references, and the only users of intake."""
