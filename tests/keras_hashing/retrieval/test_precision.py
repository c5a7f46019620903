import numpy as np
import pytest

from keras_hashing.retrieval import (
    precision_at_k,
    precision_recall_curve,
    precision_within_radius,
)


def balls(data, plain_distance):
    """For each radius, which items lie in the ball; and which are relevant."""
    distance = plain_distance(data.query_codes, data.database_codes)
    radii = range(8 * data.query_codes.shape[1] + 1)
    return [distance <= radius for radius in radii], data.query_labels @ data.database_labels.T > 0


@pytest.mark.parametrize("k", [1, 2, 5, 30, 60])
def test_precision_at_k_is_the_mean_over_tie_orders(make_retrieval, plain_distance, k):
    data = make_retrieval(distinct_bits=3)
    distance = plain_distance(data.query_codes, data.database_codes)
    _, relevant = balls(data, plain_distance)
    total = 0.0
    for row, wanted in zip(distance, relevant, strict=True):
        # An item's chance to be above the cut: its group's places there over the group's size.
        for d, is_relevant in zip(row, wanted, strict=True):
            places = min(max(k - (row < d).sum(), 0), (row == d).sum())
            total += is_relevant * places / (row == d).sum()
    assert precision_at_k(*data, k=k) == pytest.approx(total / (k * len(distance)), abs=1e-14)


def test_precision_at_k_does_not_depend_on_the_order_of_the_database(make_retrieval):
    q, ql, d, dl = make_retrieval(distinct_bits=3)
    assert precision_at_k(q, ql, d[::-1], dl[::-1], k=9) == precision_at_k(q, ql, d, dl, k=9)


@pytest.mark.parametrize("radius", [0, 2, 16])
def test_precision_within_radius_counts_the_ball(make_retrieval, plain_distance, radius):
    data = make_retrieval(distinct_bits=6)
    inside, relevant = balls(data, plain_distance)
    expected = [
        wanted[ball].mean() if ball.any() else 0.0
        for ball, wanted in zip(inside[radius], relevant, strict=True)
    ]
    assert precision_within_radius(*data, radius=radius) == pytest.approx(np.mean(expected))


def test_an_empty_ball_counts_zero():
    queries = np.array([[0], [255]], np.uint8)
    labels = np.ones((2, 1))
    assert precision_within_radius(queries, labels, queries[:1], labels[:1]) == 0.5


def test_curve_equals_a_plain_count(make_retrieval, plain_distance):
    data = make_retrieval(queries=8, distinct_bits=6)
    data.query_labels[0] = 0  # nothing is relevant to it: recall 0
    curve = precision_recall_curve(*data)
    inside, relevant = balls(data, plain_distance)
    np.testing.assert_array_equal(curve.radius, np.arange(17))
    for radius, ball in enumerate(inside):
        found = (ball & relevant).sum(axis=1)
        precision = np.mean([f / b if b else 0.0 for f, b in zip(found, ball.sum(1), strict=True)])
        recall = np.mean([f / r if r else 0.0 for f, r in zip(found, relevant.sum(1), strict=True)])
        assert curve.precision[radius] == pytest.approx(precision)
        assert curve.recall[radius] == pytest.approx(recall)


def test_a_cut_beyond_the_database_is_refused(make_retrieval):
    with pytest.raises(ValueError, match=r"`k` .* 1 to the 60 items .* Received: k=61"):
        precision_at_k(*make_retrieval(), k=61)


@pytest.mark.parametrize("radius", [-1, 17, 1.5])
def test_a_radius_outside_the_code_is_refused(make_retrieval, radius):
    with pytest.raises(ValueError, match=f"`radius` must be .* Received: radius={radius}"):
        precision_within_radius(*make_retrieval(), radius=radius)
