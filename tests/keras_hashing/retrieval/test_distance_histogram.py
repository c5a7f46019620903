import tracemalloc

import numpy as np
import pytest

from keras_hashing.retrieval import distance_histogram as module
from keras_hashing.retrieval.distance_histogram import distance_histogram
from keras_hashing.retrieval.retrieval_inputs import RetrievalInputs


@pytest.mark.parametrize("tile", [7, 1 << 16])
@pytest.mark.parametrize("bits", [8, 64, 120, 128, 256])
def test_counts_equal_a_plain_count(monkeypatch, make_retrieval, plain_distance, bits, tile):
    monkeypatch.setattr(module, "TILE", tile)
    data = make_retrieval(bits=bits, classes=70)
    histogram = distance_histogram(RetrievalInputs.check(*data))
    distance = plain_distance(data.query_codes, data.database_codes)
    relevant = data.query_labels @ data.database_labels.T > 0
    for d in range(bits + 1):
        np.testing.assert_array_equal(histogram.items[:, d], (distance == d).sum(axis=1))
        np.testing.assert_array_equal(
            histogram.relevant[:, d], ((distance == d) & relevant).sum(axis=1)
        )


def test_codes_that_differ_in_all_256_bits_are_counted_there():
    zeros, label = np.zeros((1, 32), np.uint8), np.ones((1, 1))
    histogram = distance_histogram(RetrievalInputs.check(zeros, label, ~zeros, label))
    assert histogram.items[0, 256] == histogram.relevant[0, 256] == 1
    assert histogram.items.sum() == 1


def test_memory_does_not_grow_with_queries_times_items():
    codes = np.random.default_rng(0).integers(0, 256, (120_000, 8), dtype=np.uint8)
    labels = np.eye(10, dtype=bool)[codes[:, 0] % 10]
    inputs = RetrievalInputs.check(codes[:40], labels[:40], codes, labels)
    tracemalloc.start()
    distance_histogram(inputs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 40 * 65 + 32 * module.TILE + 2**16
