"""A worker process: reads runs as JSON lines from its input, writes results as JSON lines.

Started by `training.compare.pool`, on the JAX backend of Keras and one thread.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import numpy as np

from training.atomic_write import atomic_write
from training.compare.frozen_data import FrozenData
from training.compare.run import Run


def main(folder: Path, arrays_folder: Path) -> None:
    """Answers each line of the input with one line, until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    data = FrozenData.read(folder)
    from training.compare.trainer import Trainer

    trainer, cell = None, None
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for text in sys.stdin:
        run = Run.of(json.loads(text))
        try:
            this_cell = (*run.column, run.bits, run.weight, run.place, run.stage)
            if trainer is None or this_cell != cell:
                trainer, cell = Trainer(run, data), this_cell
            figures, arrays = trainer.train(run)
            answer = {"run": run.to_json(), "result": {"status": "done", **figures}}
            if run.stage == "grid":
                with atomic_write(arrays_folder / arrays_name(run)) as temporary:
                    np.savez_compressed(temporary, **arrays)
        except (ValueError, FloatingPointError) as error:
            traceback.print_exc()
            answer = {"run": run.to_json(), "result": {"status": "failed", "error": str(error)}}
        print(json.dumps(answer), file=answers, flush=True)


def arrays_name(run: Run) -> str:
    """The companion file of a run: curves, histogram, means and correlation of its bits."""
    return (
        f"{run.method}-{run.quantization}-{run.weight:g}{run.place}-{run.bits}-seed{run.seed}.npz"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
