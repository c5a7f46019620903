"""`python -m export`."""

import os

# Before TensorFlow is imported: what it logs is not for the user; what fails is raised as well.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from export.cli import app

app(prog_name="python -m export")
