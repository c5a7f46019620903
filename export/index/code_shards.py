"""Codes in shards, as Beam writes them: a manifest, index files, and what is wrong with the rest.

The manifest is written last. Shards of an interrupted or earlier job have other names and stand in
no manifest.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from export.index.index_builder import BuiltIndex, IdType, OnBadImage, finished_index
from export.index.load_index import check_no_index
from keras_hashing.broken_rules import broken_rules
from keras_hashing.encoder.card import BIT_ORDER
from keras_hashing.files.image_verdict import report
from keras_hashing.retrieval import CodeIndex

MANIFEST = "manifest.json"
NAMED_AT_MOST = 3


class WrittenFile(BaseModel):
    """A file of the job: its name, the items in it, and the SHA-256 of its content."""

    model_config = ConfigDict(frozen=True)

    file: str
    items: int
    sha256: str

    @classmethod
    def of(cls, file: str, items: int, content: bytes) -> Self:
        """That of a file with this content."""
        return cls(file=file, items=items, sha256=hashlib.sha256(content).hexdigest())


class Manifest(BaseModel):
    """What a finished job has written.

    Attributes:
        format_version: 1; a change that old readers would misread raises it.
        fingerprint: the name of the code space.
        bits: K, the length of a code.
        bit_order: how the bits of a code lie in its bytes.
        items: images that have a code.
        shards: the index files, which hold them.
        bad_images: a text file with a line for each other image: its id, a tab, what is wrong.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    fingerprint: str = Field(min_length=1)
    bits: int = Field(ge=1)
    bit_order: str = BIT_ORDER
    items: int = Field(ge=0)
    shards: list[WrittenFile]
    bad_images: WrittenFile

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads that of a folder of shards.

        Raises:
            FileNotFoundError: if there is none: no folder, or no finished job.
            ValueError: if it is damaged.
        """
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder of shards {str(folder)!r}")
        path = folder / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(
                f"The shards in {str(folder)!r} are not finished: {MANIFEST}, which is written "
                "last, is missing. Run the job again"
            )
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(f"{path} is damaged: {broken_rules(error)}") from None


def read_bad_images(folder: Path, manifest: Manifest) -> dict[str, str]:
    """What is wrong with each image that has no code, by its id."""
    lines = _content(folder, manifest.bad_images).decode().splitlines()
    return dict(line.rsplit("\t", 1) for line in lines)


def index_of_shards(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    id_type: IdType = "auto",
    on_bad_image: OnBadImage = "error",
    replace: bool = False,
) -> BuiltIndex:
    """Makes one index of the shards that a job of Beam wrote, whole or not at all.

    Args:
        folder: the shards with their manifest, on this machine.
        output: the index file (.npz); its folder must exist.
        id_type: as in `build_index`.
        on_bad_image: "error" to fail if the job met bad images, "skip" to leave them out.
        replace: whether an existing `output` may be replaced.

    Returns:
        The index, in the order of the shards and of the ids in them, and what was left out.

    Raises:
        FileExistsError: if `output` exists and `replace` is false.
        FileNotFoundError: if there is no finished job in the folder.
        ValueError: if a file is missing, half-written or changed, of another code space than the
            manifest, an id stands in several shards, there are bad images or no good one.
    """
    folder, output = Path(folder), Path(output)
    if not replace:
        check_no_index(output)
    manifest = Manifest.load(folder)
    bad = read_bad_images(folder, manifest)
    total = f"{manifest.items + len(bad):,} images"
    if bad and on_bad_image == "error":
        raise ValueError(f"{report(bad, total)}\nMake an index of the others: --on-bad-image skip")
    if not manifest.shards:
        raise ValueError(f"None of the {total} can be used")
    parts = [_shard(folder, written, manifest) for written in manifest.shards]
    _refuse_repeated(parts, manifest)
    labels = [part.labels for part in parts if part.labels is not None]
    if labels and len(labels) < len(parts):
        raise ValueError(f"Some shards in {str(folder)!r} have labels, and others none")
    index = CodeIndex(
        np.concatenate([part.codes for part in parts]),
        parts[0].ids.followed_by(*(part.ids for part in parts[1:])),
        manifest.fingerprint,
        labels[0].followed_by(*labels[1:]) if labels else None,
        bits=manifest.bits,
    )
    return finished_index(BuiltIndex(index, bad, "images"), output, id_type)


def _content(folder: Path, written: WrittenFile) -> bytes:
    """The content of a file, if it is as it was written."""
    try:
        content = (folder / written.file).read_bytes()
    except FileNotFoundError:
        raise ValueError(
            f"{written.file} is missing in {str(folder)!r}. Copy all files again, or run the job "
            "again"
        ) from None
    if hashlib.sha256(content).hexdigest() != written.sha256:
        raise ValueError(
            f"{written.file} in {str(folder)!r} is half-written, or was changed (its SHA-256 is not"
            f" that in {MANIFEST}). Copy it again, or run the job again"
        )
    return content


def _shard(folder: Path, written: WrittenFile, manifest: Manifest) -> CodeIndex:
    """The codes of a shard, if they are what the manifest says."""
    _content(folder, written)
    shard = CodeIndex.load(folder / written.file)
    for name, found, expected in (
        ("fingerprint", shard.fingerprint, manifest.fingerprint),
        ("bits", shard.bits, manifest.bits),
        ("items", len(shard), written.items),
    ):
        if found != expected:
            raise ValueError(
                f"The shards of two models or jobs do not mix: `{name}` of {written.file} must be "
                f"{expected!r}, as in {MANIFEST}. Received: {found!r}"
            )
    return shard


def _refuse_repeated(parts: Sequence[CodeIndex], manifest: Manifest) -> None:
    """Names ids that stand in several shards, and the shards."""
    repeated = parts[0].ids.followed_by(*(part.ids for part in parts[1:])).repeated()
    if not repeated:
        return
    named = repeated[:NAMED_AT_MOST]
    found = [part.ids.positions_of(named) for part in parts]
    where = "; ".join(
        f"{name!r} in "
        + ", ".join(
            written.file
            for written, here in zip(manifest.shards, found, strict=True)
            if name in here
        )
        for name in named
    )
    raise ValueError(f"Ids must differ. {len(repeated):,} stand in several shards: {where}")
