"""The model after each epoch, so that an interrupted run can be resumed."""

from pathlib import Path
from typing import Any

import keras

from keras_hashing.files.atomic_write import atomic_write
from training.callbacks.undistributed import synchronized, undistributed


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole model after each epoch, and keeps the latest only.

    The number of finished epochs is in the file's name and the file is renamed when it is whole,
    so a kill at any moment leaves one good checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, then removes the earlier ones."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"epoch-{epoch + 1:04d}.keras"
        with atomic_write(path) as temporary, undistributed(), synchronized(self.model, False):
            self.model.save(temporary)
        for other in self.folder.glob("epoch-*.keras"):
            if other != path:
                other.unlink()


def latest_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The latest checkpoint and the number of finished epochs, or None."""
    paths = sorted(folder.glob("epoch-*.keras"))
    if not paths:
        return None
    return paths[-1], int(paths[-1].stem.removeprefix("epoch-"))
