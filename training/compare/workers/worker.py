"""A worker process: reads runs as JSON lines from its input, writes results as JSON lines.

Started by `training.compare.workers.pool`: on frozen features with the JAX backend of Keras and one
thread, to fine-tune with TensorFlow.
"""

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from keras_hashing.files.atomic_write import atomic_write
from training.compare.grid_run import GridRun
from training.compare.recipe import Mode
from training.compare.workers.digest_of_code import digest_of_code
from training.compare.workers.frozen_data import FrozenData

Train = Callable[[GridRun], tuple[dict[str, Any], dict[str, Any]]]


def main(mode: Mode, folder: Path, arrays_folder: Path) -> None:
    """Answers each line of the input with one line, until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    code = digest_of_code(mode)
    train = _on_frozen_features(folder) if mode == "frozen" else _fine_tuning(folder, code)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for run in _runs_asked_for():
        try:
            figures, arrays = train(run)
            answer = {"run": run.to_json(), "result": {"status": "done", "code": code, **figures}}
            if run.stage == "grid":
                with atomic_write(arrays_folder / arrays_name(run)) as temporary:
                    np.savez_compressed(temporary, **arrays)
        except (ValueError, FloatingPointError) as error:
            traceback.print_exc()
            answer = {"run": run.to_json(), "result": {"status": "failed", "error": str(error)}}
        print(json.dumps(answer), file=answers, flush=True)


def _runs_asked_for() -> Iterator[GridRun]:
    """The runs of the input's lines.

    When the input ends, the comparison is gone, and so is this process at once, also in the middle
    of a run: the same command may start again, and resume that run in the same files.
    """
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for text in sys.stdin:
            asked.put(text)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield GridRun.of(json.loads(asked.get()))


def _on_frozen_features(folder: Path) -> Train:
    """Trains by a trainer that is kept while runs are of one cell."""
    data = FrozenData.read(folder)
    from training.compare.workers.frozen_trainer import Trainer

    trainer, cell = None, None

    def train(run: GridRun) -> tuple[dict[str, Any], dict[str, Any]]:
        nonlocal trainer, cell
        if trainer is None or run.cell != cell:
            trainer, cell = Trainer(run, data), run.cell
        return trainer.train(run)

    return train


def _fine_tuning(folder: Path, code: str) -> Train:
    from training.compare.workers.fine_tuner import FineTuner
    from training.compare.workers.image_data import ImageData

    return FineTuner(ImageData.read(folder), folder.parent / "runs", code).train


def arrays_name(run: GridRun) -> str:
    """The companion file of a run: curves, histogram, means and correlation of its bits."""
    return f"{run.file_name}.npz"


if __name__ == "__main__":
    _mode, *_folders = sys.argv[1:]
    if _mode not in get_args(Mode):
        raise ValueError(f"The mode must be among {', '.join(get_args(Mode))}. Received: {_mode}")
    main(cast(Mode, _mode), *map(Path, _folders))
