"""The recall of a search, against counting by hand."""

import math

import numpy as np
import pytest

from export.index.certificate import Recall, certify, draw_queries
from keras_hashing.retrieval import CodeIndex

CODES = np.array([[0b0], [0b1], [0b10], [0b111], [0b11111111]], np.uint8)
INDEX = CodeIndex(CODES, list("abcde"), "space")
QUERY = np.zeros((1, 1), np.uint8)  # distances 0, 1, 1, 3, 8


@pytest.mark.parametrize(
    ("ids", "k", "at_k", "within_1"),
    [
        ("abc", 3, 1, 1),
        ("ab", 2, 1, 1),
        ("ac", 2, 1, 1),  # as near as b, which the order of the index puts first
        ("ad", 2, 1 / 2, 1 / 2),
        ("ade", 3, 1 / 3, 1 / 3),
        ("aaa", 3, 1 / 3, 1 / 3),  # one item, three times
        ("axy", 3, 1 / 3, 1 / 3),  # ids that the index does not have
        ("", 3, 0, 0),
        ("abcde", 3, 1, 1),  # no more count than were asked for
    ],
)
def test_an_answer_counts_by_its_true_distance(
    ids: str, k: int, at_k: float, within_1: float
) -> None:
    found = certify(INDEX, lambda codes, k: [list(ids)], QUERY, k, radius=1)
    assert found.at_k.mean == pytest.approx(at_k)
    assert found.within_radius.mean == pytest.approx(within_1)


def test_queries_without_a_neighbour_in_the_radius_do_not_count() -> None:
    far = np.array([[0b10101010], [0b0]], np.uint8)
    found = certify(INDEX, lambda codes, k: [["a"]] * len(codes), far, 1, radius=0)
    assert (found.at_k.queries, found.within_radius.queries) == (2, 1)


def test_the_interval_holds_more_often_than_it_claims() -> None:
    random = np.random.default_rng(0)
    for share in (0.5, 0.9, 0.99):
        samples = random.binomial(10, share, (400, 200)) / 10
        intervals = [Recall.of(sample, 0.95) for sample in samples]
        assert sum(one.low <= share <= one.high for one in intervals) >= 0.95 * 400
    perfect = Recall.of(np.ones(1000), 0.95)
    assert perfect.high == 1
    assert perfect.low == pytest.approx(1 - 7 * math.log(4 / 0.05) / (3 * 999))


def test_queries_are_items_with_so_many_bits_flipped() -> None:
    random = np.random.default_rng(1)
    index = CodeIndex(random.integers(0, 256, (50, 4), np.uint8), list(map(str, range(50))), "s")
    queries = draw_queries(index, 50, flips=3, seed=0)
    flipped = np.bitwise_count(queries ^ index.codes).sum(axis=1)
    assert flipped.tolist() == [3] * 50
    np.testing.assert_array_equal(queries, draw_queries(index, 50, flips=3, seed=0))
    assert not np.array_equal(queries, draw_queries(index, 50, flips=3, seed=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 6}, "`k` must be 1 to 5"),
        ({"radius": 9}, "`radius` must be 0 to 8"),
        ({"confidence": 1.0}, "`confidence` must be between 0 and 1"),
    ],
)
def test_arguments_are_checked(options: dict, message: str) -> None:
    arguments = {"k": 1, "radius": 1, **options}
    with pytest.raises(ValueError, match=message):
        certify(INDEX, lambda codes, k: [["a"]], QUERY, **arguments)
