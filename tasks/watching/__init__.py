"""Logs, metrics and alerts of what runs; the steps know nothing of them."""
