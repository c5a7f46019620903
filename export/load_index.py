"""The index that a path stands for."""

from pathlib import Path

from keras_hashing.retrieval import CodeIndex
from training.runs import RunFolder


def load_index(path: Path) -> CodeIndex:
    """Reads the index in a file, or that of a finished run's database.

    Raises:
        FileNotFoundError: if there is no such file, or the folder is no finished run.
        ValueError: if the index is damaged.
    """
    if not path.is_dir():
        return CodeIndex.load(path)
    run = RunFolder(path)
    run.read_json(run.metrics)  # says so when the folder is no run, or the run is not finished
    return CodeIndex.load(run.database)
