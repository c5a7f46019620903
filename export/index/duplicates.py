"""Near-duplicates in an index: what lies within a small Hamming distance, in clusters."""

import csv
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
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
Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]
_AT_ONCE = 1 << 22  # pairs that are read from the disk


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
    progress: Progress = lambda total: nullcontext(lambda done: None),
) -> Duplicates:
    """Finds all pairs of items within a radius, exactly, and writes their clusters.

    `clusters.csv` has a line for each item of a cluster: number of the cluster, id, label. The work
    has `radius` + 1 parts (`near_pairs`). The pairs of each go to a file in `output/partial` as
    they are found, so that memory does not grow with them; an interrupted search can be resumed
    after the last part that it has finished.

    Args:
        index: what to search.
        radius: the largest distance of a pair, 0 to K - 1.
        output: the folder, made if need be.
        keep_first: whether to write `delete.txt` as well: the ids of all items of a cluster but its
            first in the order of the index, a line each.
        resume: whether to use what an interrupted search has left.
        progress: given the work there is, shows how far it is; gives what to call as some is done.

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
    files = [partial / f"{part:03}.pairs" for part in range(radius + 1)]
    with progress((radius + 1) * len(codes)) as advance:
        for part, path in enumerate(files):
            if path.exists():
                advance(len(codes))
                continue
            with atomic_write(path) as temporary, temporary.open("xb") as file:
                for block in near_pairs(codes, radius, part, advance):
                    np.stack(block[:2], axis=1).tofile(file)
    clusters, pairs = _clusters(files, len(codes), code_of_item)
    found = Duplicates(clusters, len(codes), pairs)
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
    files: list[Path], count: int, code_of_item: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], int]:
    """The clusters of the pairs in the files, and the number of pairs."""
    cluster_of_code, pairs = np.arange(count), 0
    for path in files:
        with path.open("rb") as file:
            while (block := np.fromfile(file, np.int64, 2 * _AT_ONCE)).size:
                pairs += block.size // 2
                joined = cluster_of_code[block.reshape(-1, 2).T]
                graph = coo_array((np.ones(joined.shape[1], bool), joined), shape=(count, count))
                cluster_of_code = connected_components(graph, directed=False)[1][cluster_of_code]
    cluster_of_item = cluster_of_code[code_of_item]
    sizes = np.bincount(cluster_of_item)
    several = np.flatnonzero(sizes[cluster_of_item] > 1)
    order = several[np.argsort(cluster_of_item[several], kind="stable")]
    groups = np.split(order, np.cumsum(sizes[sizes > 1])[:-1]) if len(order) else []
    return sorted(groups, key=lambda group: (-len(group), group[0])), pairs


def _lines(index: CodeIndex, found: Duplicates) -> Iterator[tuple[int, str, str]]:
    for number, cluster in enumerate(found.clusters, start=1):
        for position in cluster.tolist():
            label = "" if index.labels is None else index.labels[position]
            yield number, index.ids[position], label
