"""`python -m training`."""

import logging
import os

# Before TensorFlow is imported: its start-up notices are not for the user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("absl").setLevel(logging.ERROR)

from training.cli import app

app(prog_name="python -m training")
