"""The index that a path stands for."""

from pathlib import Path

from export.index.file_encoder import FileEncoder
from keras_hashing.encoder.folder import RUN_CONFIG, RUN_DATABASE, check_finished
from keras_hashing.retrieval import CodeIndex


def load_index(path: Path) -> CodeIndex:
    """Reads the index in a file, or that of a finished run's database.

    Raises:
        FileNotFoundError: if there is no such file, or the folder is no finished run.
        ValueError: if the index is damaged.
    """
    if not path.is_dir():
        return CodeIndex.load(path)
    if not (path / RUN_CONFIG).exists():
        raise FileNotFoundError(
            f"Neither an index file nor a run folder (it has no {RUN_CONFIG}): {path}"
        )
    check_finished(path)
    return CodeIndex.load(path / RUN_DATABASE)


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


def check_no_index(path: Path) -> None:
    """Refuses, by a `FileExistsError`, a file that is there already."""
    if path.exists():
        raise FileExistsError(
            f"The index exists already: {path}. `--replace` replaces it; `index add` extends it"
        )


def check_code_space(index: CodeIndex, path: Path, encoder: FileEncoder) -> None:
    """Refuses an index of another code space, and says what to do about it.

    Raises:
        ValueError: if the index is of another code space.
    """
    if encoder.has_fingerprint(index.fingerprint):
        return
    try:
        index.check_fingerprint(encoder.fingerprint)
    except ValueError as error:
        raise ValueError(
            f"{error}. The index is {str(path)!r}. Encode the items again with this model: "
            f"python -m export index build {encoder.source} ..."
        ) from None
