"""Near-duplicates in an index: what lies within a small Hamming distance, in clusters."""

import csv
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from export.index.partial_work import begin_or_resume
from keras_hashing.files.atomic_write import atomic_write, write_text
from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.near_pairs import near_pairs

CLUSTERS, DELETE = "clusters.csv", "delete.txt"
_PARTIAL, _PLAN = "partial", "plan.json"


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The clusters of an index: items that a chain of near pairs connects.

    Attributes:
        clusters: positions in the index of the items of each cluster of at least two, int64, in the
            order of the index; the largest cluster first.
        different_codes: the different codes of the index.
        pairs: the pairs of different codes within the radius.
    """

    clusters: list[NDArray[np.int64]]
    different_codes: int
    pairs: int

    @property
    def removable(self) -> NDArray[np.int64]:
        """The items that may go if the first of each cluster stays, in the order of the index."""
        others = [cluster[1:] for cluster in self.clusters]
        return np.sort(np.concatenate(others)) if others else np.empty(0, np.int64)


def find_duplicates(
    index: CodeIndex,
    radius: int,
    output: str | os.PathLike[str],
    *,
    keep_first: bool = False,
    resume: bool = False,
    begin: Callable[[int, int], None] = lambda part, parts: None,
) -> Duplicates:
    """Finds all pairs of items within a radius, exactly, and writes their clusters.

    `clusters.csv` has a line for each item of a cluster: number of the cluster, id, label. The work
    has `radius` + 1 parts (`near_pairs`); the pairs of each are saved in `output/partial` as soon
    as they are found, so that an interrupted search can be resumed.

    Args:
        index: what to search.
        radius: the largest distance of a pair, 0 to K - 1.
        output: the folder, made if need be.
        keep_first: whether to write `delete.txt` as well: the ids of all items of a cluster but its
            first in the order of the index, a line each.
        resume: whether to use what an interrupted search has left.
        begin: called as each part begins, with its number from 0 and the number of parts.

    Raises:
        FileExistsError: if `output` has clusters, or an interrupted search and `resume` is false.
        ValueError: if `radius` breaks its rule, or what was interrupted is another search.
        OSError: if something cannot be written.
    """
    folder = Path(output)
    if (folder / CLUSTERS).exists():
        raise FileExistsError(f"The folder has clusters already: {folder}")
    partial = folder / _PARTIAL
    _begin(partial, index, radius, resume)
    codes, code_of_item = different_codes(index.codes)
    for part in range(radius + 1):
        begin(part, radius + 1)
        path = partial / f"{part:03}.npy"
        if not path.exists():
            blocks = [np.stack(block[:2]) for block in near_pairs(codes, radius, part)]
            with atomic_write(path) as temporary:
                np.save(temporary, np.concatenate([np.empty((2, 0), np.int64), *blocks], axis=1))
    pairs = np.concatenate([np.load(path) for path in sorted(partial.glob("*.npy"))], axis=1)
    found = Duplicates(_clusters(len(codes), pairs, code_of_item), len(codes), pairs.shape[1])
    if keep_first:
        names = (index.ids[position] + "\n" for position in found.removable)
        write_text(folder / DELETE, "".join(names))
    with atomic_write(folder / CLUSTERS) as temporary, temporary.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["cluster", "id", "label"])
        lines.writerows(_lines(index, found))
    shutil.rmtree(partial)
    return found


def _begin(partial: Path, index: CodeIndex, radius: int, resume: bool) -> None:
    """Makes the folder of the parts, or checks that it is of this very search."""
    digest = hashlib.sha256(index.codes.tobytes()).hexdigest()
    plan = {"codes_sha256": digest, "items": len(index), "radius": radius}
    begun = (partial / _PLAN).exists()
    begin_or_resume(partial, _PLAN, plan, begun, resume, "search")


def different_codes(codes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The different codes, and for each item the position of its own among them."""
    rows = np.ascontiguousarray(codes).view(f"V{codes.shape[1]}")[:, 0]
    # As big-endian numbers where they fit: bytes as such sort several times as slowly.
    keys = rows.view(">u8").astype(np.uint64) if codes.shape[1] == 8 else rows
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return codes[first], inverse.astype(np.int64)


def _clusters(
    count: int, pairs: NDArray[np.int64], code_of_item: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    graph = coo_array((np.ones(pairs.shape[1], bool), pairs), shape=(count, count))
    _, cluster_of_code = connected_components(graph, directed=False)
    cluster_of_item = cluster_of_code[code_of_item]
    order = np.argsort(cluster_of_item, kind="stable")
    sizes = np.bincount(cluster_of_item)
    groups = np.split(order, np.cumsum(sizes)[:-1])
    several = [group for group in groups if len(group) > 1]
    return sorted(several, key=lambda group: (-len(group), group[0]))


def _lines(index: CodeIndex, found: Duplicates) -> Iterator[tuple[int, str, str]]:
    for number, cluster in enumerate(found.clusters, start=1):
        for position in cluster.tolist():
            label = "" if index.labels is None else index.labels[position]
            yield number, index.ids[position], label
