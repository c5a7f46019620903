"""`python -m training`."""

import os

# Before TensorFlow is imported: its start-up notices are not for the user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from training.cli import app

app(prog_name="python -m training")
