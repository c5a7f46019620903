"""The kinds of an index, against comparing with all codes."""

import sys

import numpy as np
import pytest

from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.index_kinds import HNSW, IVF, IndexKind, MultiHash


def clustered(bits: int, count: int = 360, seed: int = 0) -> np.ndarray:
    """Packed codes in clusters, with many duplicates and equal distances."""
    random = np.random.default_rng(seed)
    centres = random.random((count // 12, bits)) < 0.5
    noise = random.random((count, bits)) < 1 / bits
    return np.packbits(centres[random.integers(0, len(centres), count)] ^ noise, axis=1)


def index_of(bits: int, kind: IndexKind | None = None) -> CodeIndex:
    codes = clustered(bits)
    ids = [f"{at}.jpg" for at in range(len(codes))]
    return CodeIndex(codes, ids, "space", bits=bits).as_kind(kind)


def brute_force(queries: np.ndarray, index: CodeIndex, radius: int) -> list[list[tuple[int, int]]]:
    """Of each query, (distance, position) of all items within the radius, in order."""
    return [
        sorted(
            (int(distance), at)
            for at, distance in enumerate(np.unpackbits(index.codes ^ query, axis=1).sum(axis=1))
            if distance <= radius
        )
        for query in queries
    ]


def found_by(index: CodeIndex, queries: np.ndarray, radius: int) -> list[list[tuple[int, int]]]:
    found = index.search_radius(queries, radius)
    assert (found.limits.dtype, found.positions.dtype, found.distances.dtype) == ("i8", "i8", "i4")
    rows = (found.of(query) for query in range(len(queries)))
    return [list(zip(row[1].tolist(), row[0].tolist(), strict=True)) for row in rows]


@pytest.mark.parametrize("bits", [12, 33, 48, 64, 256])
@pytest.mark.parametrize("radius", [0, 2, 5])
def test_all_within_the_radius_are_found(bits: int, radius: int, tmp_path) -> None:
    flat = index_of(bits)
    tables = flat.as_kind(MultiHash.of(flat.codes, radius))
    tables.save(tmp_path / "i.npz")
    loaded = CodeIndex.load(tmp_path / "i.npz")
    assert loaded.kind == tables.kind
    random = np.random.default_rng(bits)
    far = np.packbits(random.random((20, bits)) < 0.5, axis=1)  # most of them find nothing
    queries = np.concatenate([clustered(bits)[:60], clustered(bits, 60, seed=1), far])
    queries[:30, 0] ^= 3  # two bits off
    expected = brute_force(queries, flat, radius)
    assert bits <= 33 or any(not row for row in expected)
    assert any(len(row) > 1 for row in expected)
    for index in (flat, tables, loaded):
        assert found_by(index, queries, radius) == expected
    smaller = tables.remove([name for name in tables.ids[:150]])
    assert smaller.kind == tables.kind
    assert found_by(smaller, queries, radius) == brute_force(queries, smaller, radius)
    again = smaller.add(tables.codes[:150], tables.ids[:150])
    assert found_by(again, queries, radius) == brute_force(queries, again, radius)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7])
def test_any_number_of_parts_is_exact(parts: int) -> None:
    """Not only the number that costs least."""
    for radius in range(min(7, 3 * parts)):
        kind = MultiHash(radius=radius, parts=parts, width=40 // parts, flips=radius // parts)
        index = index_of(40, kind)
        queries = clustered(40, 36, seed=1)
        assert found_by(index, queries, radius) == brute_force(queries, index, radius)


@pytest.mark.parametrize("bits", [33, 64])
def test_the_nearest_are_those_of_the_flat_index(bits: int) -> None:
    flat = index_of(bits)
    tables = flat.as_kind(MultiHash.of(flat.codes, 3))
    queries = clustered(bits, 24, seed=2) ^ np.packbits(np.eye(bits, dtype=bool)[:24], axis=1)
    values = np.random.default_rng(0).standard_normal((24, bits)).astype(np.float32)
    sure = {"continuous": values}
    for options in (
        {},
        {"radius": 3},
        {"radius": 3, "k": 20} | sure,
        {"radius": 5} | sure,
        {"radius": 1},
        {"radius": 5},
        {"radius": 2, "k": 1000},
    ):
        for found, expected in zip(
            tables.search(queries, **options), flat.search(queries, **options), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        tables.search_radius(queries, 3, **sure).nearest(50)[0],
        flat.search(queries, 50, 3, **sure)[0],
    )
    np.testing.assert_array_equal(  # this one sees all lists
        flat.as_kind(IVF(lists=4, probes=4)).search(queries, len(flat), **sure)[0],
        flat.search(queries, len(flat), **sure)[0],
    )
    assert tables.search(queries[0], k=4)[0].shape == (1, 4)


@pytest.mark.parametrize(
    "kind", [IVF(lists=20, probes=20), HNSW(links=16, ef=600), IVF(lists=20, probes=1)]
)
def test_an_approximate_kind_finds_what_it_looks_at(kind: IndexKind, tmp_path) -> None:
    flat = index_of(64)
    index = flat.as_kind(kind)
    index.save(tmp_path / "i.npz")
    queries = clustered(64, 60, seed=0)
    expected = flat.search(queries, 10)[1]
    for searched in (index, CodeIndex.load(tmp_path / "i.npz")):
        positions, distances = searched.search(queries, 10)
        true = np.unpackbits(flat.codes[positions] ^ queries[:, None], axis=2).sum(axis=2)
        np.testing.assert_array_equal(distances[positions >= 0], true[positions >= 0])
        if kind.kind == "ivf" and kind.probes == 20:
            np.testing.assert_array_equal(distances, expected)  # it sees all lists
        else:
            assert (distances == expected).mean() > 0.5
        # Within a radius it is exact nevertheless.
        assert found_by(searched, queries, 2) == brute_force(queries, flat, 2)
    few = index.search(queries, 100, radius=1)[1]
    assert few.max() == 1
    assert few.min() == -1


def test_the_parts_are_chosen_by_the_work() -> None:
    random = np.random.default_rng(0).integers(0, 256, (1 << 20, 8), dtype=np.uint8)
    assert MultiHash.of(random, 2) == MultiHash(radius=2, parts=3, width=21, flips=0)
    # In codes that agree in most of their bits, short parts would have everything in one list.
    alike = random & random[::-1] & np.roll(random, 1, axis=0) & np.roll(random, 2, axis=0)
    chosen = MultiHash.of(alike, 2)
    assert chosen.parts < 3
    assert chosen.flips == 2 // chosen.parts
    with pytest.raises(ValueError, match=r"`radius` must be an integer from 0 to 63"):
        MultiHash.of(random, 64)


def test_empty_sides() -> None:
    none = np.empty((0, 8), np.uint8)
    for kind in (None, MultiHash.of(none, 2), HNSW(links=4, ef=4)):
        empty = CodeIndex(none, [], "space").as_kind(kind)
        assert found_by(empty, clustered(64, 12), 2) == [[]] * 12
        assert empty.search(clustered(64, 12))[0].shape == (12, 0)
        assert found_by(index_of(64, kind), none, 2) == []


def test_without_faiss_the_index_loads_and_says_what_it_needs(tmp_path, monkeypatch) -> None:
    index = index_of(64)
    index.as_kind(MultiHash.of(index.codes, 2)).save(tmp_path / "i.npz")
    monkeypatch.setitem(sys.modules, "faiss", None)
    loaded = CodeIndex.load(tmp_path / "i.npz")
    with pytest.raises(
        ImportError, match=r"kind multihash, .*pip install 'keras-hashing\[stores\]'"
    ):
        loaded.search_radius(loaded.codes[:1], 2)
    assert loaded.as_kind(None).search_radius(loaded.codes[:1], 0).limits[-1] > 0


def test_a_damaged_kind_is_said(tmp_path) -> None:
    path = tmp_path / "i.npz"
    index = index_of(64)
    index.as_kind(MultiHash.of(index.codes, 2)).save(path)
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "kind": np.array('{"kind": "multihash", "radius": -1}')})
    with pytest.raises(ValueError, match="is damaged: "):
        CodeIndex.load(path)
    smaller = index.remove(index.ids[:3])
    smaller.as_kind(MultiHash.of(index.codes, 2)).save(tmp_path / "smaller.npz")
    other = np.load(tmp_path / "smaller.npz")["faiss"]
    np.savez(path, **{**arrays, "faiss": other})
    with pytest.raises(ValueError, match="damaged: FAISS's part of it is of other codes"):
        CodeIndex.load(path).search_radius(index.codes[:1], 1)
