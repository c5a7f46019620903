import tracemalloc
from collections import Counter

import numpy as np
import pytest

from keras_hashing.retrieval import text_column
from keras_hashing.retrieval.text_column import TextColumn

NAMES = ["cat", "", "ünï — 猫", "nul\0", "not utf-8 \udcff", "x" * 1000, "cat, dog", ""]


@pytest.mark.parametrize("block", [1, 3, 100])
def test_it_is_the_list_it_was_made_of(monkeypatch, block):
    monkeypatch.setattr(text_column, "_BLOCK", block)
    column = TextColumn.of(NAMES)
    assert list(column) == NAMES == column
    assert [column[at] for at in range(-8, 8)] == NAMES + NAMES
    assert column[1:6:2] == NAMES[1:6:2]
    assert "nul\0" in column
    assert column == TextColumn.of(NAMES)
    assert column != NAMES[:-1]
    with pytest.raises(IndexError):
        column[8]


def test_none_is_a_list_as_well():
    column = TextColumn.of([])
    assert (len(column), list(column), column.repeated(), column.positions_of(["a"])) == (
        0,
        [],
        [],
        {},
    )
    assert list(column.followed_by(TextColumn.of(["a"]))) == ["a"]


def test_where_takes_what_a_mask_takes():
    mask = np.random.default_rng(0).random(len(NAMES)) < 0.5
    expected = [name for name, chosen in zip(NAMES, mask, strict=True) if chosen]
    assert TextColumn.of(NAMES).where(mask) == expected


def test_followed_by_joins():
    first, second = TextColumn.of(NAMES), TextColumn.of(["a", ""])
    assert first.followed_by(second, first) == [*NAMES, "a", "", *NAMES]


def test_positions_are_found():
    column = TextColumn.of([f"item/{at}" for at in range(1000)])
    assert column.positions_of(["item/7", "item/999", "item/1000"]) == {
        "item/7": 7,
        "item/999": 999,
    }


def test_repeated_strings_are_those_that_a_counter_finds():
    names = [str(number) for number in np.random.default_rng(0).integers(0, 3000, 2000)]
    expected = [name for name, count in Counter(names).items() if count > 1]
    assert TextColumn.of(names).repeated() == expected


def test_equal_hashes_are_not_taken_for_equal_strings(monkeypatch):
    monkeypatch.setattr(text_column, "hash", len, raising=False)
    assert TextColumn.of(["ab", "cd", "e", "cd"]).repeated() == ["cd"]


def test_memory_is_about_the_size_of_the_text():
    tracemalloc.start()
    column = TextColumn.of([f"shop/photos/{at:08}.jpg" for at in range(20_000)])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1.1 * (len(column.text) + 8 * len(column))


@pytest.mark.parametrize(
    "lengths", [np.array([-1, 4]), np.array([2]), np.array([3.0]), np.array([[3]])]
)
def test_lengths_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ValueError, match="length"):
        TextColumn(np.frombuffer(b"cat", np.uint8), lengths)
