"""Prefect flows: one readable page each, run as `python -m flows.NAME`."""
