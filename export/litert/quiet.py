"""What LiteRT's converter and interpreter tell of their work, kept from the user."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def notices_kept_back() -> Iterator[None]:
    """Keeps what C++ libraries write to the standard error stream back; shows it on failure.

    TensorFlow's converter reports each step there, at a level that no setting silences.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except (ValueError, OSError, ImportError):
            raise  # says itself what is wrong
        except BaseException:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
