"""The report of one run, with pictures."""
