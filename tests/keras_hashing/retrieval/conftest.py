from typing import NamedTuple

import numpy as np
import pytest


class Retrieval(NamedTuple):
    """The four arguments of every figure."""

    query_codes: np.ndarray
    query_labels: np.ndarray
    database_codes: np.ndarray
    database_labels: np.ndarray


@pytest.fixture
def make_retrieval():
    def make(queries=5, items=60, bits=16, classes=3, seed=0, distinct_bits=None):
        """Random codes and multi-hot labels; few `distinct_bits` make long runs of ties."""
        rng = np.random.default_rng(seed)
        codes = rng.random((queries + items, bits)) < 0.5
        codes[:, distinct_bits or bits :] = False
        labels = (rng.random((queries + items, classes)) < 0.3).astype(np.float32)
        packed = np.packbits(codes, axis=1)
        return Retrieval(packed[:queries], labels[:queries], packed[queries:], labels[queries:])

    return make


@pytest.fixture
def plain_distance():
    def distance(query_codes, database_codes):
        return (
            np.unpackbits(query_codes[:, None] ^ database_codes[None], axis=-1)
            .sum(axis=-1)
            .astype(int)
        )

    return distance
