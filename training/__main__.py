"""`python -m training`, or `keras-hashing-train`."""

import logging
import os
import sys


def main() -> None:
    """Runs the command line."""
    # Before TensorFlow is imported: its start-up notices are not for the user.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)

    try:
        from keras_hashing.command_line.errors import plain_warnings
        from training.cli import app
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: pip install 'keras-hashing[training]'")

    plain_warnings()
    app(prog_name=None if __name__ != "__main__" else "python -m training")


if __name__ == "__main__":
    main()
