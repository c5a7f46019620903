"""The numbered version folders of a model, as TensorFlow Serving reads them."""

from pathlib import Path

LARGEST = 2**63 - 1  # TensorFlow Serving keeps a version in an int64


def version_folders(parent: Path) -> dict[int, Path]:
    """Returns what in `parent` counts as a version, by its number; {} if there is no such folder.

    TensorFlow Serving reads every name of digits as a version ("007" is 7) and ignores others.
    """
    if not parent.is_dir():
        return {}
    named = [path for path in parent.iterdir() if path.name.isascii() and path.name.isdigit()]
    return {int(path.name): path for path in named}


def new_version(parent: Path, version: int | None) -> int:
    """Returns the number of a version that is about to be written.

    Args:
        parent: the folder of the versions; it need not exist.
        version: the number wanted, or `None` for the one after the highest (1 if there is none).

    Raises:
        FileExistsError: if there is such a version already.
        ValueError: if `version` is not a positive int that fits 64 bits.
    """
    existing = version_folders(parent)
    if version is None:
        return max(existing, default=0) + 1
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= LARGEST:
        raise ValueError(
            f"`version` must be a positive int of 64 bits. Received: version={version!r}"
        )
    if version in existing:
        raise FileExistsError(
            f"Version {version} exists already: {existing[version]}. "
            "Versions are never overwritten; take a higher one"
        )
    return version
