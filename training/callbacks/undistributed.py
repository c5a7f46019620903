"""What one process does while others wait for it."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def undistributed() -> Iterator[None]:
    """Keras makes variables for this process alone, not for all: its saving makes some."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)
