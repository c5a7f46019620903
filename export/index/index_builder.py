"""From images or vectors to an index, piece by piece: an interrupted build can be resumed."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from export.index.certificate import measured
from export.index.file_encoder import FileEncoder, check_takes
from export.index.index_items import IndexItems
from export.index.load_index import check_code_space, check_no_index, load_index_file
from export.index.partial_work import begin_or_resume
from keras_hashing.command_line.progress import loading_progress
from keras_hashing.files.atomic_write import write_json
from keras_hashing.files.image_verdict import report
from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.code_index import is_int64
from keras_hashing.retrieval.packed_width import packed_width

OnBadImage = Literal["error", "skip"]
IdType = Literal["auto", "int64", "string"]

_PLAN = "build.json"


@dataclass(frozen=True)
class BuiltIndex:
    """An index, why each item that was left out is no usable one, by its id, and of what."""

    index: CodeIndex
    skipped: dict[str, str]
    kind: str  # "images" or "vectors"


def build_index(
    encoder: FileEncoder,
    items: IndexItems,
    output: str | os.PathLike[str],
    *,
    id_type: IdType = "auto",
    on_bad_image: OnBadImage = "error",
    resume: bool = False,
    replace: bool = False,
    shard: int | None = None,
) -> BuiltIndex:
    """Encodes images or vectors and writes an index of them, whole or not at all.

    The codes of every `shard` items are saved in the folder `<output>.partial` as soon as they are
    there; it goes once the index is written. `resume` resumes an interrupted build.

    Args:
        output: the index file (.npz); its folder must exist.
        id_type: "int64" if the ids are integers, "string" if not, "auto" to see.
        on_bad_image: "error" to fail if items cannot be read or encoded (all of them are named,
            and the codes of the others are kept for `resume`), "skip" to leave them out and say so
            in the result.
        shard: items that are saved together; `None` for as many as suits their kind.

    Returns:
        The index and what was left out.

    Raises:
        FileExistsError: if `output` exists and `replace` is false, or an interrupted build is
            there and `resume` is false.
        OSError: if something cannot be written.
        ValueError: if the encoder takes no such items, some are bad (they are named), none is
            good, an id is no int64 though it
            should be, or what was interrupted is another build.
    """
    output = Path(output)
    if not replace:
        check_no_index(output)
    if id_type == "int64":
        _check_int64(items.ids)
    built = _encode(encoder, items, output, on_bad_image, resume, shard)
    finished = finished_index(built, output, id_type)
    shutil.rmtree(_partial(output), ignore_errors=True)
    return finished


def finished_index(built: BuiltIndex, output: Path, id_type: IdType) -> BuiltIndex:
    """Writes what was built, with the ids of the type that is wanted.

    Raises:
        OSError: if it cannot be written.
        ValueError: if nothing was built, or an id is no int64 though it should be.
    """
    index = built.index
    if not len(index):
        raise ValueError(f"None of the {len(built.skipped)} {built.kind} can be used")
    if id_type == "int64":
        _check_int64(index.ids)
    as_int64 = id_type != "string" and all(map(is_int64, index.ids))
    typed = CodeIndex(index.codes, index.ids, index.fingerprint, index.labels, as_int64, index.bits)
    typed.save(output)
    return dataclasses.replace(built, index=typed)


def extend_index(
    encoder: FileEncoder,
    items: IndexItems,
    path: str | os.PathLike[str],
    *,
    on_bad_image: OnBadImage = "error",
    resume: bool = False,
    shard: int | None = None,
) -> BuiltIndex:
    """Encodes images or vectors and adds them to an index file, which is replaced in one step.

    Args:
        encoder: what encodes; of the index's code space.
        items: the images or vectors; none of their ids is in the index. Their labels are left out
            if the index has none.

    Returns:
        The index as it is now, and what was left out.

    Raises:
        FileNotFoundError: if there is no such index.
        IsADirectoryError: if `path` is a folder, such as a run's.
        FileExistsError: if an interrupted build is there and `resume` is false.
        OSError: if something cannot be written.
        ValueError: if the index is of another code space, an id is known already or does not fit
            the index (it is named), the encoder takes no such items, or some are bad (they are
            named).
    """
    path = Path(path)
    index = load_index_file(path)
    check_code_space(index, path, encoder)
    if index.labels is not None and items.labels is None:
        items = dataclasses.replace(items, labels=[""] * len(items))
    elif index.labels is None and items.labels is not None:
        items = dataclasses.replace(items, labels=None)
    # Before the work, what would fail after it.
    index.add(np.zeros((len(items), index.codes.shape[1]), np.uint8), items.ids, items.labels)
    built = _encode(encoder, items, path, on_bad_image, resume, shard)
    extended = measured(index.add(built.index.codes, built.index.ids, built.index.labels))
    extended.save(path)
    shutil.rmtree(_partial(path), ignore_errors=True)
    return BuiltIndex(extended, built.skipped, items.kind)


def _partial(output: Path) -> Path:
    return output.with_name(f"{output.name}.partial")


def _check_int64(ids: Sequence[str]) -> None:
    others = [repr(name) for name in ids if not is_int64(name)]
    if others:
        raise ValueError(
            f"{len(others)} ids are no integers of 64 bits, such as {', '.join(others[:3])}"
        )


def _encode(
    encoder: FileEncoder,
    items: IndexItems,
    output: Path,
    on_bad_image: OnBadImage,
    resume: bool,
    shard: int | None,
) -> BuiltIndex:
    """Encodes all items, shard by shard; what is there already is not done again."""
    check_takes(encoder.vector_width, items.width)
    shard = items.shard if shard is None else shard
    if not output.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(output.parent)!r} for the index")
    folder = _partial(output)
    _begin(folder, encoder, items, resume, shard)
    problems: dict[str, str] = {}
    with loading_progress(f"Encoding {items.kind}", len(items)) as advance:
        for start in range(0, len(items), shard):
            positions = range(start, min(start + shard, len(items)))
            path = _shard_path(folder, start)
            if path.exists():
                advance(len(positions))
            else:
                problems |= _encode_shard(encoder, items, positions, path, on_bad_image, advance)
    if problems and on_bad_image == "error":
        raise ValueError(
            report(problems, f"{len(items):,} {items.kind}")
            + "\nMend or remove them, or leave them out "
            "with --on-bad-image skip; --resume keeps what is done"
        )
    return _gathered(folder, encoder, items, shard)


def _begin(folder: Path, encoder: FileEncoder, items: IndexItems, resume: bool, shard: int) -> None:
    """Makes the folder of the shards, or checks that it is of this very build."""
    names = hashlib.sha256(json.dumps([list(items.ids), items.labels]).encode()).hexdigest()
    plan = {
        "fingerprint": encoder.fingerprint,
        items.kind: len(items),
        "names_sha256": names,
        "shard": shard,
    }
    begun = any(folder.glob("*.npz"))
    begin_or_resume(folder, _PLAN, plan, begun, resume, "build")


def _shard_path(folder: Path, start: int) -> Path:
    return folder / f"{start:012}.npz"


def _encode_shard(
    encoder: FileEncoder,
    items: IndexItems,
    positions: range,
    path: Path,
    on_bad_image: OnBadImage,
    advance: Callable[[int], None],
) -> dict[str, str]:
    """Encodes the items at `positions` and saves them; the file is there when all is done.

    Returns:
        What is wrong with each bad item. If they are errors, nothing is saved.
    """
    codes = [np.empty((0, packed_width(encoder.bits)), dtype=np.uint8)]
    encoded: list[int] = []
    skipped: dict[str, str] = {}

    def refuse(position: int, problem: str) -> None:
        skipped[items.ids[position]] = problem

    for start in range(0, len(positions), items.batch):
        batch = positions[start : start + items.batch]
        good, batch_codes = items.encode(encoder, batch, refuse)
        encoded += good
        codes.append(batch_codes)
        advance(len(batch))
    if skipped and on_bad_image == "error":
        return skipped
    write_json(path.with_suffix(".json"), skipped)
    CodeIndex(
        np.concatenate(codes),
        [items.ids[position] for position in encoded],
        encoder.fingerprint,
        None if items.labels is None else [items.labels[position] for position in encoded],
        bits=encoder.bits,
    ).save(path)
    return skipped


def _gathered(folder: Path, encoder: FileEncoder, items: IndexItems, shard: int) -> BuiltIndex:
    """All shards as one index."""
    shards = []
    skipped: dict[str, str] = {}
    for start in range(0, len(items), shard):
        path = _shard_path(folder, start)
        shards.append(CodeIndex.load(path))
        skipped |= json.loads(path.with_suffix(".json").read_text())
    first, *others = shards
    labels = [part.labels for part in others if part.labels is not None]
    index = CodeIndex(
        np.concatenate([part.codes for part in shards]),
        first.ids.followed_by(*(part.ids for part in others)),
        encoder.fingerprint,
        None if first.labels is None else first.labels.followed_by(*labels),
        bits=encoder.bits,
    )
    return BuiltIndex(index, skipped, items.kind)
