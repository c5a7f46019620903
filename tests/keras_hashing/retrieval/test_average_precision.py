import importlib
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from keras_hashing.retrieval import (
    average_precision,
    distance_histogram,
    mean_average_precision,
    query_blocks,
)
from keras_hashing.retrieval.average_precision import _harmonic_difference, _hypergeometric

# The package's attribute of this name is the function.
module = importlib.import_module("keras_hashing.retrieval.average_precision")


def ranking_average_precision(relevance, k):
    """AP@k of one ranking, in exact arithmetic."""
    hits = [rank for rank, relevant in enumerate(relevance[:k], 1) if relevant]
    return sum((Fraction(i, rank) for i, rank in enumerate(hits, 1)), Fraction(0)) / max(
        len(hits), 1
    )


def enumerated_average_precision(distance, relevant, k):
    """The mean of AP@k over every arrangement of relevant items inside each distance."""
    groups = []
    for d in np.unique(distance):
        group = relevant[distance == d]
        n, r = len(group), int(group.sum())
        groups.append(
            [[i in chosen for i in range(n)] for chosen in itertools.combinations(range(n), r)]
        )
    values = [
        ranking_average_precision([x for group in arrangement for x in group], k)
        for arrangement in itertools.product(*groups)
    ]
    return float(sum(values) / len(values))


def argsort_average_precision(distance, relevant, k):
    values = []
    for row, wanted in zip(distance, relevant, strict=True):
        top = wanted[np.argsort(row, kind="stable")][:k]
        ranks = np.flatnonzero(top) + 1
        values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else 0.0)
    return np.array(values)


@pytest.mark.parametrize("k", [None, 1, 2, 3, 4, 5, 7, 9, 10, 11, 50])
@pytest.mark.parametrize("seed", range(4))
def test_expected_value_equals_enumeration_of_all_tie_orders(
    make_retrieval, plain_distance, seed, k
):
    data = make_retrieval(queries=4, items=11, seed=seed, distinct_bits=2)
    distance = plain_distance(data.query_codes, data.database_codes)
    relevant = data.query_labels @ data.database_labels.T > 0
    expected = [
        enumerated_average_precision(*row, k or 11) for row in zip(distance, relevant, strict=True)
    ]
    np.testing.assert_allclose(average_precision(*data, k=k), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("k", [1, 3, 6, 7])
@pytest.mark.parametrize("relevant_items", range(8))
def test_one_tied_group_cut_anywhere_equals_enumeration_of_permutations(relevant_items, k):
    codes = np.zeros((8, 1), np.uint8)
    labels = (np.arange(7) < relevant_items).astype(float)[:, None]
    orders = list(itertools.permutations(labels[:, 0]))
    expected = sum(ranking_average_precision(order, k) for order in orders) / len(orders)
    value = mean_average_precision(codes[:1], np.ones((1, 1)), codes[1:], labels, k=k)
    assert value == pytest.approx(float(expected), abs=1e-14)


def test_a_deep_cut_inside_a_large_group_equals_exact_arithmetic():
    # 300 items at distance 0 (20 relevant), then 700 tied (400 relevant), cut after 450 of these.
    n0, r0, n, r, m = 300, 20, 700, 400, 450
    codes = np.repeat(np.array([[0], [1]], np.uint8), [n0, n], axis=0)
    labels = np.zeros((n0 + n, 1))
    labels[:r0] = labels[n0 : n0 + r] = 1

    def group(before, found, places, relevant):
        if relevant == 0:
            return Fraction(0)
        slope = Fraction(relevant - 1, max(places - 1, 1))
        terms = ((found + 1 + (i - 1) * slope) / Fraction(before + i) for i in range(1, places + 1))
        return Fraction(relevant, places) * sum(terms)

    first = group(0, 0, n0, r0)
    constant, linear = group(n0, r0, m, 1), group(n0, r0, m, 2)
    expected = Fraction(0)
    for x in range(max(0, m - (n - r)), min(m, r) + 1):
        weight = Fraction(math.comb(r, x) * math.comb(n - r, m - x), math.comb(n, m))
        # The group formula is a·x + b·x(x-1); two exact values give a and b.
        gain = constant * x + (linear - 2 * constant) / 2 * x * (x - 1)
        expected += weight * (first + gain) / (r0 + x)
    value = mean_average_precision(codes[:1], np.ones((1, 1)), codes, labels, k=n0 + m)
    assert value == pytest.approx(float(expected), abs=1e-13)


def test_expected_value_is_the_mean_of_stable_values_over_shuffles(make_retrieval):
    q, ql, d, dl = make_retrieval(queries=10, items=200, distinct_bits=4)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(400):
        order = rng.permutation(200)
        values.append(mean_average_precision(q, ql, d[order], dl[order], k=50, ties="stable"))
    error = np.std(values) / math.sqrt(len(values))
    value = mean_average_precision(q, ql, d, dl, k=50)
    assert abs(value - np.mean(values)) < 5 * error


@pytest.mark.parametrize("k", [None, 20])
def test_order_of_the_database_changes_nothing(make_retrieval, k):
    q, ql, d, dl = make_retrieval(items=300)
    order = np.random.default_rng(1).permutation(300)
    assert mean_average_precision(q, ql, d[order], dl[order], k=k) == pytest.approx(
        mean_average_precision(q, ql, d, dl, k=k), abs=1e-12
    )


@pytest.mark.parametrize("k", [None, 1, 17, 1000])
@pytest.mark.parametrize("bits", [8, 64, 256])
def test_stable_value_equals_a_plain_argsort(make_retrieval, plain_distance, bits, k):
    data = make_retrieval(queries=40, items=150, bits=bits, classes=20)
    distance = plain_distance(data.query_codes, data.database_codes)
    relevant = data.query_labels @ data.database_labels.T > 0
    np.testing.assert_allclose(
        average_precision(*data, k=k, ties="stable"),
        argsort_average_precision(distance, relevant, k),
        rtol=0,
        atol=1e-15,
    )


def test_both_values_agree_where_nothing_is_tied():
    database = np.packbits(np.tril(np.ones((16, 16), bool)), axis=1)  # distances 1..16
    labels = (np.random.default_rng(0).random((16, 1)) < 0.4).astype(float)
    arguments = np.zeros((1, 2), np.uint8), np.ones((1, 1)), database, labels
    for k in (None, 1, 5, 16):
        assert mean_average_precision(*arguments, k=k) == pytest.approx(
            mean_average_precision(*arguments, k=k, ties="stable"), abs=1e-15
        )


@pytest.mark.parametrize("ties", ["expected", "stable"])
def test_a_query_without_relevant_items_counts_zero(ties):
    codes, labels = np.zeros((3, 1), np.uint8), np.array([[1, 0], [0, 0], [0, 1]])
    values = average_precision(codes, labels, codes[:2], [[1, 0], [1, 0]], ties=ties)
    assert values.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("ties", ["expected", "stable"])
def test_result_depends_on_neither_block_size_nor_threads(monkeypatch, make_retrieval, ties):
    data = make_retrieval(queries=40)
    expected = average_precision(*data, k=23, ties=ties)
    monkeypatch.setattr(query_blocks, "THREADS", 3)
    monkeypatch.setattr(query_blocks, "QUERIES", 7)
    monkeypatch.setattr(module, "QUERIES", 3)
    monkeypatch.setattr(distance_histogram, "TILE", 13)
    np.testing.assert_allclose(
        average_precision(*data, k=23, ties=ties), expected, rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("start", [0, 1, 31, 32, 33, 1000, 10**6])
@pytest.mark.parametrize("count", [0, 1, 2, 50, 3000])
def test_harmonic_difference_keeps_its_digits(start, count):
    exact = math.fsum(1 / (start + i) for i in range(1, count + 1))
    value = _harmonic_difference(np.array([start]), np.array([count]))[0]
    assert value == pytest.approx(exact, rel=1e-14, abs=0)


def test_hypergeometric_weights_equal_those_of_scipy():
    from scipy.stats import hypergeom

    n, r, m = (np.array(x) for x in ([10, 5000, 5000, 6], [4, 1000, 4990, 0], [7, 3000, 20, 3]))
    count, weight = _hypergeometric(n, r, m)
    expected = hypergeom.pmf(count, n[:, None], r[:, None], m[:, None])
    np.testing.assert_allclose(weight, expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-10)


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "all"])
def test_a_cut_that_is_no_positive_integer_is_refused(make_retrieval, k):
    with pytest.raises(ValueError, match=f"`k` must be an integer.* Received: k={k!r}"):
        mean_average_precision(*make_retrieval(), k=k)


def test_unknown_ties_are_refused(make_retrieval):
    with pytest.raises(ValueError, match=r"`ties` must be .* Received: ties='random'"):
        mean_average_precision(*make_retrieval(), ties="random")
