"""Measurements: segments, reference regions, and the lesion list."""
