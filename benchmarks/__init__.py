"""What claims of skill and speed are measured with: `python -m benchmarks.NAME`."""
