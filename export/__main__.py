"""`python -m export`."""

import os

# Before they are imported: what TensorFlow and gRPC log is not for the user; what fails is raised
# as well.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from export.cli.app import app

app(prog_name="python -m export")
