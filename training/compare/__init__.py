"""Comparison of methods and quantizations on frozen features: grid, tuning, report."""
