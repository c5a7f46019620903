"""`python -m export`, or `keras-hashing-export`."""

import os
import sys


def main() -> None:
    """Runs the command line."""
    # Before they are imported: what TensorFlow and gRPC log is not for the user; what fails is
    # raised as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    try:
        from export.cli.app import app
        from keras_hashing.command_line.errors import plain_warnings
        from keras_hashing.command_line.stages import show_stages
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: pip install 'keras-hashing[export]'")

    plain_warnings()
    show_stages()
    app(prog_name=None if __name__ != "__main__" else "python -m export")


if __name__ == "__main__":
    main()
