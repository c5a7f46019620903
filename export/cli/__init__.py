"""The command line `python -m export`."""
