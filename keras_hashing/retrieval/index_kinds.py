"""How an index is searched besides comparing with all codes: by FAISS's binary indexes."""

from __future__ import annotations

import math
from abc import abstractmethod
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from keras_hashing.checks import check_integer
from keras_hashing.settings import Settings

_LONGEST_KEY = 64  # bits of a part that FAISS's MultiHash takes
_DRAWN = 1 << 24  # bits of pairs that are drawn to see how often two codes agree
_POINTS = 64  # codes for each list that the lists of an inverted file are found from
_ROWS = 1 << 16  # codes that are added at a time


class MeasuredRecall(Settings):
    """What an approximate kind was found to find.

    Attributes:
        k: items asked for.
        mean: the mean recall@k, tie-aware.
        low: where it lies with 95% confidence, the lower end.
        high: the upper end.
        queries: how many were asked.
    """

    k: int
    mean: float
    low: float
    high: float
    queries: int

    def __str__(self) -> str:
        return f"recall@{self.k} {self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


class FaissKind(Settings):
    """A kind that FAISS answers for."""

    approximate: ClassVar[bool]
    recall: MeasuredRecall | None = None

    def __str__(self) -> str:
        own = self.model_dump(exclude={"kind", "recall"})
        return f"{self.kind}, " + ", ".join(f"{name} {value:,}" for name, value in own.items())  # type: ignore[attr-defined]

    def make(self, codes: NDArray[np.uint8]) -> Any:
        """FAISS's index of packed codes, uint8 [n, bytes]."""
        index = self._empty(faiss(self), codes)
        for start in range(0, len(codes), _ROWS):
            index.add(codes[start : start + _ROWS])
        return index

    @abstractmethod
    def _empty(self, faiss: ModuleType, codes: NDArray[np.uint8]) -> Any:
        """FAISS's index without codes, its parameters set; trained, if the kind needs it."""


class MultiHash(FaissKind):
    """Exact within a radius, and many times as fast as comparing with all codes.

    `parts` disjoint parts of `width` bits are looked up in a table each, with up to `flips` bits of
    the query's part flipped. Two codes that differ in at most `radius` bits differ in at most
    ⌊radius / parts⌋ in one of the parts (the pigeonhole principle; Norouzi, Punjani and Fleet, CVPR
    2012), so with `flips` as many none is missed.
    """

    approximate = False
    kind: Literal["multihash"] = "multihash"
    radius: int = Field(ge=0)
    parts: int = Field(ge=1)
    width: int = Field(ge=1, le=_LONGEST_KEY)
    flips: int = Field(ge=0)

    @classmethod
    def of(cls, codes: NDArray[np.uint8], radius: int) -> Self:
        """The parts that answer queries like these codes with the least work.

        The work is the look-ups, parts · Σ_{i ≤ flips} C(width, i), and the codes to compare: those
        with a part that differs in at most `flips` bits, as often as drawn pairs show.

        Args:
            codes: packed codes, uint8 [n, bytes].
            radius: the largest distance that is to be exact.

        Raises:
            ValueError: if `radius` is not 0 to 8 · bytes - 1.
        """
        bits = 8 * codes.shape[1]
        check_integer("radius", radius, 0, bits - 1, f"an integer from 0 to {bits - 1}")
        random = np.random.default_rng(0)
        drawn = random.integers(0, max(1, len(codes)), (2, _DRAWN // bits if len(codes) else 0))
        first, second = drawn[:, drawn[0] != drawn[1]]
        # The bits in FAISS's order, the least significant of a byte first.
        differing = np.unpackbits(codes[first] ^ codes[second], axis=1, bitorder="little")
        best, least = None, math.inf
        for parts in range(1, radius + 2):
            width, flips = min(bits // parts, _LONGEST_KEY), radius // parts
            work: float = parts * sum(math.comb(width, flipped) for flipped in range(flips + 1))
            if work < least:
                cut = differing[:, : parts * width].reshape(-1, parts, width)
                alike = np.count_nonzero(cut.sum(axis=2, dtype=np.uint8) <= flips)
                work += len(codes) * alike / max(1, len(differing))
            if work < least:
                best, least = cls(radius=radius, parts=parts, width=width, flips=flips), work
        assert best is not None
        return best

    def _empty(self, faiss: ModuleType, codes: NDArray[np.uint8]) -> Any:
        index = faiss.IndexBinaryMultiHash(8 * codes.shape[1], self.parts, self.width)
        index.nflip = self.flips
        return index


class IVF(FaissKind):
    """Approximate: the codes lie in lists around centres, and a query sees the nearest lists.

    Attributes:
        lists: how many lists.
        probes: how many of them a query sees.
    """

    approximate = True
    kind: Literal["ivf"] = "ivf"
    lists: int = Field(ge=1)
    probes: int = Field(ge=1)

    def _empty(self, faiss: ModuleType, codes: NDArray[np.uint8]) -> Any:
        bits = 8 * codes.shape[1]
        quantizer = faiss.IndexBinaryFlat(bits)
        index = faiss.IndexBinaryIVF(quantizer, bits, self.lists)
        index.own_fields = True
        quantizer.this.disown()
        index.nprobe = self.probes
        index.cp.min_points_per_centroid = 1  # fewer are no reason to write to the terminal
        index.cp.max_points_per_centroid = _POINTS
        index.train(codes)
        return index


class HNSW(FaissKind):
    """Approximate: a walk through a graph of near codes. Equal and clustered codes mislead it.

    Attributes:
        links: neighbours of a code in the graph.
        ef: codes that the walk keeps in sight; more find more and take longer.
    """

    approximate = True
    kind: Literal["hnsw"] = "hnsw"
    links: int = Field(ge=2)
    ef: int = Field(ge=1)

    def _empty(self, faiss: ModuleType, codes: NDArray[np.uint8]) -> Any:
        index = faiss.IndexBinaryHNSW(8 * codes.shape[1], self.links)
        index.hnsw.efSearch = self.ef
        return index


IndexKind = MultiHash | IVF | HNSW
_ANY: TypeAdapter[IndexKind] = TypeAdapter(Annotated[IndexKind, Field(discriminator="kind")])


def read_kind(document: str) -> IndexKind:
    """The kind that `model_dump_json` wrote; `ValueError` if it is none."""
    return _ANY.validate_json(document)


def faiss(kind: FaissKind) -> ModuleType:
    """FAISS; `ImportError` says how to get it."""
    try:
        import faiss
    except ModuleNotFoundError:
        raise ImportError(
            f"An index of the kind {kind} needs FAISS: pip install 'keras-hashing[stores]'"
        ) from None
    return faiss
