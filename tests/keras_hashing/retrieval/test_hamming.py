import tracemalloc

import faiss
import numpy as np
import pytest

from keras_hashing.retrieval import hamming, hamming_distance, query_blocks


def random_codes(rows, bits, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, bits // 8), dtype=np.uint8)


@pytest.mark.parametrize("bits", [8, 16, 24, 32, 48, 64, 72, 128, 256, 512])
def test_distances_equal_those_of_faiss(bits):
    queries, database = random_codes(9, bits, 1), random_codes(70, bits, 2)
    index = faiss.IndexBinaryFlat(bits)
    index.add(database)
    distance, position = index.search(queries, len(database))
    expected = np.empty((9, 70), dtype=np.int64)
    np.put_along_axis(expected, position, distance, axis=1)
    np.testing.assert_array_equal(hamming_distance(queries, database), expected)


@pytest.mark.parametrize(
    ("bits", "dtype"), [(64, np.uint8), (248, np.uint8), (256, np.uint16), (1024, np.uint16)]
)
def test_codes_that_differ_in_every_bit_do_not_wrap(bits, dtype):
    zeros = np.zeros((2, bits // 8), dtype=np.uint8)
    distance = hamming_distance(zeros, ~zeros)
    assert distance.dtype == dtype
    assert distance.tolist() == [[bits, bits]] * 2


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("pairs", [64, 96, 1 << 18])
def test_result_depends_on_neither_block_size_nor_threads(monkeypatch, threads, pairs):
    queries, database = random_codes(70, 128, 3), random_codes(41, 128, 4)
    expected = hamming_distance(queries, database)
    monkeypatch.setattr(hamming, "PAIRS", pairs)
    monkeypatch.setattr(query_blocks, "THREADS", threads)
    np.testing.assert_array_equal(hamming_distance(queries, database), expected)


@pytest.mark.parametrize(("queries", "items"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_gives_an_empty_result(queries, items):
    distance = hamming_distance(random_codes(queries, 64), random_codes(items, 64))
    assert distance.shape == (queries, items)


def test_codes_may_be_strided_views():
    wide = random_codes(6, 128)
    np.testing.assert_array_equal(
        hamming_distance(wide[::2, :8], wide[::-1, :8]),
        hamming_distance(wide[::2, :8].copy(), wide[::-1, :8].copy()),
    )


def test_extra_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(query_blocks, "THREADS", 2)
    queries, database = random_codes(64, 64), random_codes(120_000, 64)
    tracemalloc.start()
    distance = hamming_distance(queries, database)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < distance.nbytes + 2 * database.nbytes + 2 * 9 * hamming.PAIRS + 2**20


@pytest.mark.parametrize(
    ("queries", "database", "message"),
    [
        (np.zeros((2, 8)), random_codes(2, 64), "`query_codes` .* uint8 .*dtype=float64"),
        (random_codes(2, 64), np.zeros(8, np.uint8), r"`database_codes` .*shape=\(8,\)"),
        (random_codes(2, 64), np.zeros((3, 0), np.uint8), r"`database_codes` .*shape=\(3, 0\)"),
        (random_codes(2, 64), random_codes(2, 32), "same number of bits. Received: 64 and 32"),
    ],
)
def test_bad_codes_are_refused(queries, database, message):
    with pytest.raises(ValueError, match=message):
        hamming_distance(queries, database)
