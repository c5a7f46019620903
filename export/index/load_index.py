"""The index that a path stands for."""

from pathlib import Path

from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import RunFolder


def load_index(path: Path) -> CodeIndex:
    """Reads the index in a file, or that of a finished run's database.

    Raises:
        FileNotFoundError: if there is no such file, or the folder is no finished run.
        ValueError: if the index is damaged.
    """
    if not path.is_dir():
        return CodeIndex.load(path)
    run = RunFolder(path)
    if not run.config.exists():
        raise FileNotFoundError(
            f"Neither an index file nor a run folder (it has no {run.config.name}): {path}"
        )
    run.read_json(run.metrics)  # says so when the run is not finished
    return CodeIndex.load(run.database)


def load_index_file(path: Path) -> CodeIndex:
    """Reads an index that is to be changed, which that of a run is not.

    Raises:
        FileNotFoundError: if there is no such file.
        IsADirectoryError: if `path` is a folder.
        ValueError: if the index is damaged.
    """
    if path.is_dir():
        raise IsADirectoryError(
            "The index to change must be a file. A run's database cannot be changed; build an "
            f"index file by `python -m export index build`. Received a folder: {path}"
        )
    return CodeIndex.load(path)


def check_code_space(index: CodeIndex, path: Path, fingerprint: str, encoder: str) -> None:
    """Refuses an index of another code space, and says what to do about it.

    Args:
        index: the index.
        path: where it was read from.
        fingerprint: the name of the encoder's code space.
        encoder: the encoder as `index build` takes it, such as "--model models/shop".

    Raises:
        ValueError: if the index is of another code space.
    """
    try:
        index.check_fingerprint(fingerprint)
    except ValueError as error:
        raise ValueError(
            f"{error}. The index is {str(path)!r}. Encode the images again with this model: "
            f"python -m export index build {encoder} ..."
        ) from None
