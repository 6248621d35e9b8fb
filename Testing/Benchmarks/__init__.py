"""Committed figures: every number in docs/benchmarks.md comes from `make figure NAME=<name>`."""
