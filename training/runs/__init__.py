"""Run folders, their settings and their data."""
