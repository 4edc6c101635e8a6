"""Measurements of speed and size: `python -m tests.benchmarks`, or `make bench`."""
