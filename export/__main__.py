"""`python -m export`."""

import os

# Before TensorFlow is imported: its start-up notices are not for the user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from export.cli import app

app(prog_name="python -m export")
