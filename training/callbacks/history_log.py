"""The history of a run as a file."""

import json
import time
from pathlib import Path
from typing import Any

import keras

from keras_hashing.files.atomic_write import write_text


class HistoryLog(keras.callbacks.Callback):
    """Appends one JSON line per epoch: its number from 1, its seconds and all of its logs.

    The seconds are those of training: evaluation at the epoch's end does not count.

    Args:
        path: The file.
        first_epoch: The number of epochs that are finished; later lines of an interrupted run
            are dropped.
    """

    def __init__(self, path: Path, first_epoch: int) -> None:
        super().__init__()
        self.path = path
        self.first_epoch = first_epoch
        self._started = 0.0
        self._stopped = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Drops the lines of epochs that will be trained again."""
        kept = read_history(self.path)[: self.first_epoch]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops the clock, until the next batch."""
        self._stopped = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch's line."""
        line = {
            "epoch": epoch + 1,
            "seconds": round(self._stopped - self._started, 3),
            **{name: float(value) for name, value in (logs or {}).items()},
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read_history(path: Path) -> list[dict[str, float]]:
    """The whole lines of a history, one dictionary per epoch; empty where there is no file."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]  # what follows the last line break is not whole
    return [json.loads(line) for line in lines]
