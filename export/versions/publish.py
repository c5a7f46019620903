"""Versions of a model, one after another, under the eyes of a running server.

TensorFlow Serving looks into the folder of a model every second or so and, by its default policy,
serves the version with the highest number: it loads that, and only then unloads the one before.
So a version is published by making a folder with a higher number, whole, and rolled back by taking
the highest number away.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from export.versions.checksums import verify_files
from export.versions.publisher_lock import WAIT, publisher_lock, publishing
from export.versions.version_folders import (
    check_no_version,
    remove_version,
    roll_back,
    rolled_back_folders,
)
from keras_hashing.encoder.card import Card
from keras_hashing.files.version_folders import version_folders

if TYPE_CHECKING:
    from keras_hashing.encoder import HashEncoder
    from keras_hashing.retrieval import CodeIndex


class Published(NamedTuple):
    """What `publish` did.

    Attributes:
        folder: the new version.
        removed: the numbers of the versions that were deleted.
        removed_rolled_back: the numbers of the versions that had been rolled back and were deleted.
        lost: what users of the version before will miss, in sentences.
    """

    folder: Path
    removed: list[int]
    removed_rolled_back: list[int]
    lost: list[str]


class RolledBack(NamedTuple):
    """What `rollback` did.

    Attributes:
        served: the version that is the highest now.
        kept_as: where the one that was rolled back lies, until a later `publish(keep=…)`.
    """

    served: Path
    kept_as: Path


def publish(
    encoder: "HashEncoder",
    models: str | os.PathLike[str],
    index: "CodeIndex | None" = None,
    keep: int | None = None,
    rerank: bool = False,
    wait: float = WAIT,
) -> Published:
    """Publishes an encoder, with or without an index, as the next version of a served model.

    As `export_saved_model`; then old versions are deleted. A publisher that is killed at any point
    leaves the last good version; the next one clears away what it left.

    Args:
        models: the folder that the server watches, made if need be.
        index: what to search in; to publish a changed index, call this again with the same encoder.
        keep: how many versions to keep, the new one among them, at least 1; versions that were
            rolled back go as well. `None` keeps everything.
        rerank: as in `export_saved_model`.

    Raises:
        TimeoutError: if another publisher has not finished in time.
        OSError, ValueError: as `export_saved_model`; nothing has changed then.
    """
    from export.saved_model.export_saved_model import add_version, check_exportable

    if keep is not None and keep < 1:
        raise ValueError(f"`keep` must be at least 1. Received: keep={keep}")
    check_exportable(encoder, index, rerank)
    with publishing(models, wait) as folder:
        before = _highest_card(folder)
        new = add_version(encoder, folder, None, index, rerank)
        lost = [] if before is None else _lost(*before, Card.load(new))
        removed, rolled_back = ([], []) if keep is None else _remove_old(folder, keep)
        return Published(new, removed, rolled_back, lost)


def _highest_card(folder: Path) -> tuple[int, Card] | None:
    """The number and the card of the highest version; `None` if there is none to be read."""
    versions = version_folders(folder)
    if not versions:
        return None
    highest = max(versions)
    try:
        return highest, Card.load(versions[highest])
    except (OSError, ValueError):  # another program's, or damaged: no reason not to publish
        return None


def _lost(number: int, before: Card, new: Card) -> list[str]:
    """What the version before, of that number, has and the new one lacks."""
    lost = []
    if before.index is not None and new.index is None:
        lost.append(f"Version {number} has an index, this one has none: it does not answer search")
    if before.fingerprint != new.fingerprint:
        lost.append(
            f"The codes change from {before.fingerprint} (version {number}) to {new.fingerprint}: "
            "codes kept elsewhere must be made anew"
        )
    return lost


def _remove_old(folder: Path, keep: int) -> tuple[list[int], list[int]]:
    """Deletes all but the `keep` highest versions, the lowest first, and those rolled back."""
    versions = version_folders(folder)
    old = sorted(versions)[:-keep]
    for number in old:
        remove_version(versions[number])
    # Only now that a higher number is there: the number of one rolled back is not used again.
    rolled_back = rolled_back_folders(folder)
    for kept in rolled_back.values():
        remove_version(kept)
    return old, sorted(rolled_back)


def rollback(models: str | os.PathLike[str], wait: float = WAIT) -> RolledBack:
    """Takes the highest version away, so that the one before it is served again.

    It is renamed to `<number>.rolled-back`, a name that TensorFlow Serving ignores; renamed back,
    it is served again. The version before it is checked first.

    Raises:
        FileNotFoundError: if there is no such folder, or no version before the highest.
        ValueError: if the version before is damaged (the file is named and nothing has changed),
            or `models` is itself a version.
        TimeoutError: if another publisher has not finished in time.
    """
    folder = Path(models)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of a model: {str(folder)!r}")
    check_no_version(folder)
    with publisher_lock(folder, wait):
        versions = version_folders(folder)
        if len(versions) < 2:
            raise FileNotFoundError(
                "There is no version to go back to: a rollback needs at least 2. "
                f"Received: {sorted(versions)} in {str(folder)!r}"
            )
        before, highest = sorted(versions)[-2:]
        verify_files(versions[before])
        return RolledBack(versions[before], roll_back(versions[highest]))
