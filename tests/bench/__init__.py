"""Benchmarks: ratios measured in one run, never in a timed test. `make bench` runs them all."""
