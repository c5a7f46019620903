"""What is measured while a run trains is never its query."""

import numpy as np
import pytest

from training.data.split import Split
from training.trainer.watched import hold_out

QUERY, TRAIN, OTHERS = np.arange(100), np.arange(100, 900), np.arange(900, 5000)


@pytest.mark.parametrize(
    ("database", "share", "trained_on"),
    [
        (np.concatenate([TRAIN, OTHERS]), 0.0, False),
        (OTHERS, 0.0, False),
        (TRAIN, 0.0, True),
        (TRAIN, 0.1, False),
        (np.concatenate([TRAIN, OTHERS]), 0.1, False),
    ],
)
def test_queries_are_unseen_wherever_they_can_be(
    database: np.ndarray, share: float, trained_on: bool
) -> None:
    whole = Split(QUERY, TRAIN, database)
    split, watched = hold_out(whole, share, seed=1)
    assert watched.trained_on == trained_on
    for part in (watched.query, watched.database):
        assert (np.diff(part) > 0).all()
        assert not np.isin(part, QUERY).any()
    assert not np.isin(watched.query, watched.database).any()
    assert np.isin(watched.database, database).all()
    assert np.isin(watched.query, split.train).all() == trained_on
    assert np.isin(watched.query, split.train).any() == trained_on
    assert len(split.train) == round((1 - share) * len(TRAIN))
    assert np.isin(split.train, TRAIN).all()
    np.testing.assert_array_equal(split.query, QUERY)
    np.testing.assert_array_equal(split.database, database)
    # A small part of an epoch.
    assert 20 <= len(watched.query) <= len(split.train) / 4
    assert len(watched.database) <= len(split.train) / 2
    again, other = (hold_out(whole, share, seed)[1].query for seed in (1, 2))
    np.testing.assert_array_equal(again, watched.query)
    assert not np.array_equal(other, watched.query)


def test_tiny_sets_leave_something_to_find() -> None:
    for count in (2, 3, 5):
        rows = np.arange(1, 1 + count)
        _, watched = hold_out(Split(np.array([0]), rows, rows), 0.0, seed=0)
        assert len(watched.query)
        assert len(watched.database)


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_a_share_of_nothing_or_all_is_refused(share: float) -> None:
    split = Split(QUERY, TRAIN, TRAIN)
    with pytest.raises(ValueError, match="`validation_share` must hold out some of the 800"):
        hold_out(split, share, seed=0)
