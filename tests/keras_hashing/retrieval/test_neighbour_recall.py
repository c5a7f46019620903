import itertools
import sys

import numpy as np
import pytest

from keras_hashing.retrieval import (
    hamming_distance,
    neighbour_recall,
    pack_codes,
    reranked_neighbour_recall,
)


@pytest.fixture
def vectors():
    """Queries and a database with equal cosines and many equal distances, and 3-bit codes."""
    rng = np.random.default_rng(4)
    query, database = rng.integers(-1, 3, (40, 3)), rng.integers(-1, 3, (5, 3))
    query, database = query[query.any(axis=1)], database[database.any(axis=1)]
    codes = [np.pad(part > 0, ((0, 0), (0, 5))) * 2 - 1 for part in (query, database)]
    return query.astype("float32"), pack_codes(codes[0]), database, pack_codes(codes[1])


def cosine(a, b):
    """Exact for small whole numbers: sign and square of the cosine, as a fraction."""
    inner = int(a @ b)
    return np.sign(inner) * inner**2 / (int(a @ a) * int(b @ b))


def chosen(values, count):
    """Each set of the `count` smallest, over all orders of equal values."""
    orders = itertools.permutations(range(len(values)))
    return [set(o[:count]) for o in orders if list(values[list(o)]) == sorted(values)]


@pytest.mark.parametrize("neighbours", [1, 2, 4])
def test_it_is_the_mean_over_all_orders_of_ties(neighbours, vectors):
    query, query_codes, database, codes = vectors
    distances = hamming_distance(query_codes, codes)
    received = neighbour_recall(query, query_codes, database, codes, neighbours, (1, 2, 3, 9))
    for cut, value in received.items():
        shares = []
        for i, row in enumerate(query):
            true = chosen(np.array([-cosine(row, item) for item in database]), neighbours)
            found = chosen(distances[i], cut)
            shares.append(np.mean([len(t & f) for t in true for f in found]) / neighbours)
        assert value == pytest.approx(np.mean(shares), abs=1e-12)


@pytest.mark.parametrize("candidates", [1, 3, 4, 9])
@pytest.mark.parametrize("neighbours", [1, 2])
def test_reranked_it_is_the_mean_over_all_orders_of_the_database(neighbours, candidates):
    rng = np.random.default_rng(0)
    query, database = rng.normal(size=(10, 3)), rng.normal(size=(6, 3))
    continuous = rng.choice([0.5, 2.0], (10, 3)) * np.sign(query)  # few values: equal similarities
    signs = np.sign(database)
    true = np.argsort(-query @ (database.T / np.linalg.norm(database, axis=1)), axis=1)
    distances = hamming_distance(pack_codes(continuous), pack_codes(signs))
    shares = []
    for order in map(list, itertools.permutations(range(6))):
        for row in range(10):
            nearest = np.argsort(distances[row][order], kind="stable")
            kept = np.sort(nearest[: max(candidates, neighbours)])
            similarity = (signs[order] @ continuous[row])[kept]
            first = kept[np.argsort(-similarity, kind="stable")][:neighbours]
            found = {order[position] for position in first}
            shares.append(len(found & set(true[row, :neighbours])) / neighbours)
    packed = pack_codes(signs)
    received = reranked_neighbour_recall(
        query, continuous, database, packed, neighbours, candidates
    )
    assert received == pytest.approx(np.mean(shares), abs=1e-9)
    assert np.ptp(shares) > 0


def test_vectors_that_are_their_codes_are_found_and_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = rng.choice([-1.0, 1.0], (300, 64))
    query, codes = vectors[:70], pack_codes(vectors)
    own = neighbour_recall(query, codes[:70], vectors, codes, 1, (1, 10))
    assert own == {1: 1.0, 10: 1.0}
    whole = neighbour_recall(query, codes[:70], rng.normal(size=(300, 64)), codes)
    assert whole[1000] == pytest.approx(1)
    assert 0 < whole[10] < whole[100] < 1
    monkeypatch.setattr(sys.modules["keras_hashing.retrieval.true_neighbours"], "_ITEMS", 7)
    again = neighbour_recall(query, codes[:70], vectors, codes, 1, (1, 10))
    assert again == own


def test_what_breaks_a_rule_is_refused(vectors):
    query, query_codes, database, codes = vectors
    zero = database.copy()
    zero[2] = 0
    with pytest.raises(ValueError, match="`database_vectors` must have no zero vector.*position 2"):
        neighbour_recall(query, query_codes, zero, codes, 1)
    with pytest.raises(ValueError, match="`query_codes` must have one row per vector"):
        neighbour_recall(query[1:], query_codes, database, codes, 1)
    with pytest.raises(ValueError, match="same width. Received: 3 and 2"):
        neighbour_recall(query, query_codes, database[:, :2] + 5, codes, 1)
    with pytest.raises(ValueError, match="`neighbours` must be an integer from 1"):
        neighbour_recall(query, query_codes, database, codes, 10)
    with pytest.raises(ValueError, match="`within` must be positive integers"):
        neighbour_recall(query, query_codes, database, codes, 1, (0,))
    bad = query.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"`query_vectors` must be finite.*\(3, 1\)"):
        neighbour_recall(bad, query_codes, database, codes, 1)
