"""Two views of features: the image itself, or one of its neighbours."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from training.data.neighbours import nearest_rows
from training.data.pipeline import training_feature_batches

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(60, 4)).astype(np.float32)
LABELS = np.eye(3, dtype=np.uint8)[np.arange(60) % 3]
TRAIN = np.arange(5, 50)


def batches(neighbours: np.ndarray | None, **options: int) -> Iterator[Any]:
    common = {"batch_size": 10, "epochs": 3, "seed": 4} | options
    found = training_feature_batches(
        FEATURES, LABELS, TRAIN, views=2, neighbours=neighbours, **common
    )
    assert found.steps_per_epoch == 5
    return found.batches.as_numpy_iterator()


def test_nearest_rows_are_those_of_largest_cosine() -> None:
    nearest = nearest_rows(FEATURES, 7)
    directions = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    cosines = directions @ directions.T - 3 * np.eye(60)
    for row, found in enumerate(nearest):
        assert set(found) == set(np.argsort(-cosines[row])[:7])
    for count, rows in ((60, FEATURES), (1, np.zeros((200_001, 1)))):
        with pytest.raises(ValueError, match=f"items, view_neighbours={count}"):
            nearest_rows(rows, count)


@pytest.mark.parametrize("with_neighbours", [False, True])
def test_the_second_view_is_the_same_image_or_one_of_its_neighbours(with_neighbours: bool) -> None:
    neighbours = nearest_rows(FEATURES[TRAIN], 3) if with_neighbours else None
    rows = {row.tobytes(): position for position, row in enumerate(FEATURES)}
    drawn = set()
    for (first, second), labels in batches(neighbours):
        for one, other, label in zip(first, second, labels, strict=True):
            at, partner = rows[one.tobytes()], rows[other.tobytes()]
            allowed = [at] if neighbours is None else TRAIN[neighbours[at - 5]]
            assert partner in allowed
            assert label.tolist() == LABELS[at].tolist()
            drawn.add((at, partner))
    assert len(drawn) > 45 or not with_neighbours


def test_a_resumed_run_sees_the_same_views() -> None:
    neighbours = nearest_rows(FEATURES[TRAIN], 3)
    whole, rest = list(batches(neighbours)), list(batches(neighbours, first_epoch=2))
    for ((first, second), _), ((again, other), _) in zip(whole[10:], rest, strict=True):
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(second, other)
