"""Deployment: lock file, containers, schedulers."""
