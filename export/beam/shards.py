"""Writing codes in shards with a manifest: retried work leaves no second copy."""

import secrets
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems

from export.beam.encode_images import BAD, CODES
from export.index.code_shards import MANIFEST, Manifest, WrittenFile
from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.packed_width import packed_width

LABELS = "labels"
REPEATED = "has the id of another image"


class CodeSpace(NamedTuple):
    """What the codes are: the name of their space, and their length."""

    fingerprint: str
    bits: int


class WriteShards(beam.PTransform):
    """Writes codes, ids and labels into the shards of a folder, and a manifest at the end.

    An id belongs to the shard that its checksum says, and a shard is sorted by id: whoever writes
    it, and however often, writes the same. Each file gets its name when it is whole. The names are
    the job's own: what an earlier job left is deleted when this one has finished, and the result
    of an earlier one stays until then.

    The input is a dictionary with `codes` and `bad` as `EncodeImages` gives them and, perhaps,
    `labels`: pairs of an id and a label.

    Args:
        folder: on any file system that Beam writes; it must exist.
        space: what the codes are.
        shards: their number.
    """

    def __init__(self, folder: str, space: CodeSpace, shards: int) -> None:
        super().__init__()
        self._folder, self._space, self._shards = folder, space, shards
        self._job = secrets.token_hex(4)

    def expand(self, inputs: Any) -> Any:
        """Groups by shard, writes the shards, and then the manifest."""
        count = self._shards
        keyed = {
            name: rows | f"Shard {name}" >> beam.Map(lambda row: (shard_of(row[0], count), row))
            for name, rows in inputs.items()
        }
        pattern = f"codes-{{:05}}-of-{count:05}-{self._job}.npz"
        return (
            keyed
            | beam.CoGroupByKey()
            | "Write shards" >> beam.Map(_write_shard, self._folder, pattern, self._space)
            | beam.combiners.ToList()
            | "Write manifest" >> beam.Map(_finish, self._folder, self._job, self._space)
        )


def shard_of(name: str, shards: int) -> int:
    """The shard that an id belongs to."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass")) % shards


def _write_shard(
    group: tuple[int, dict[str, Iterable[Any]]], folder: str, pattern: str, space: CodeSpace
) -> tuple[WrittenFile | None, list[tuple[str, str]]]:
    """Writes one shard; returns what was written, and the bad images."""
    number, rows = group
    bad = list(rows[BAD])
    codes: dict[str, bytes] = {}
    for name, code in sorted(rows[CODES]):  # so that the same one is kept by each attempt
        if name in codes:
            bad.append((name, REPEATED))
        else:
            codes[name] = code
    if not codes:
        return None, bad
    labels = dict(rows[LABELS]) if LABELS in rows else None
    index = CodeIndex(
        np.frombuffer(b"".join(codes.values()), np.uint8).reshape(-1, packed_width(space.bits)),
        list(codes),
        space.fingerprint,
        None if labels is None else [labels[name] for name in codes],
        bits=space.bits,
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "shard.npz")
        index.save(path)
        content = path.read_bytes()
    name = pattern.format(number)
    _write_whole(folder, name, content)
    return WrittenFile.of(name, len(index), content), bad


def _finish(
    written: list[tuple[WrittenFile | None, list[tuple[str, str]]]],
    folder: str,
    job: str,
    space: CodeSpace,
) -> int:
    """Writes the list of bad images and the manifest; deletes what stands in no manifest."""
    if not written:
        raise ValueError("There are no images to encode")
    shards = sorted((shard for shard, _ in written if shard is not None), key=lambda one: one.file)
    bad = sorted(line for _, lines in written for line in lines)
    content = "".join(f"{name}\t{problem}\n" for name, problem in bad).encode()
    bad_file = f"bad-images-{job}.txt"
    _write_whole(folder, bad_file, content)
    manifest = Manifest(
        fingerprint=space.fingerprint,
        bits=space.bits,
        items=sum(shard.items for shard in shards),
        shards=shards,
        bad_images=WrittenFile.of(bad_file, len(bad), content),
    )
    _write_whole(folder, MANIFEST, manifest.model_dump_json(indent=2).encode())
    _delete_others(folder, {bad_file, *(shard.file for shard in shards)})
    return manifest.items


def _write_whole(folder: str, name: str, content: bytes) -> None:
    temporary = FileSystems.join(folder, f".{name}.{secrets.token_hex(4)}.partial")
    with FileSystems.create(temporary) as file:
        file.write(content)
    FileSystems.rename([temporary], [FileSystems.join(folder, name)])


def _delete_others(folder: str, kept: set[str]) -> None:
    """Deletes what earlier jobs and interrupted attempts left; files of other names stay."""
    patterns = ["codes-*-of-*-*.npz", "bad-images-*.txt", ".*.partial"]
    matches = FileSystems.match([FileSystems.join(folder, pattern) for pattern in patterns])
    paths = [file.path for match in matches for file in match.metadata_list]
    old = [path for path in paths if FileSystems.split(path)[1] not in kept]
    if old:
        FileSystems.delete(old)
