import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from training.data import ImageDataset, load_dataset
from training.data.protocols import MAP_AT, PROTOCOLS, Split, make_split
from training.settings import FitSettings

MakeDataset = Callable[..., ImageDataset]

OF_LISTS = ["lists", "nus-wide-21", "coco", "imagenet-100"]


@pytest.fixture
def like_cifar10(labelled: MakeDataset) -> ImageDataset:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 6000))
    return labelled(labels, part=np.repeat(["train", "test"], [50_000, 10_000]))


def class_counts(dataset: ImageDataset, positions: np.ndarray) -> list[int]:
    return dataset.labels[positions].sum(axis=0, dtype=int).tolist()


def assert_partition(dataset: ImageDataset, *parts: np.ndarray) -> None:
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(dataset)))


def test_cifar10_keeps_query_train_and_database_apart(like_cifar10: ImageDataset) -> None:
    split = make_split(like_cifar10, "cifar10", seed=0)
    assert class_counts(like_cifar10, split.query) == [100] * 10
    assert class_counts(like_cifar10, split.train) == [500] * 10
    assert len(split.database) == 54_000
    assert_partition(like_cifar10, split.query, split.train, split.database)


def test_cifar10_1_trains_on_images_of_the_database(like_cifar10: ImageDataset) -> None:
    split = make_split(like_cifar10, "cifar10-1", seed=0)
    assert class_counts(like_cifar10, split.query) == [100] * 10
    assert class_counts(like_cifar10, split.train) == [500] * 10
    assert len(split.database) == 59_000
    assert np.isin(split.train, split.database).all()
    assert_partition(like_cifar10, split.query, split.database)


def test_cifar10_2_trains_on_the_whole_database(like_cifar10: ImageDataset) -> None:
    split = make_split(like_cifar10, "cifar10-2", seed=0)
    assert class_counts(like_cifar10, split.query) == [1000] * 10
    assert class_counts(like_cifar10, split.train) == [5000] * 10
    np.testing.assert_array_equal(split.train, split.database)
    assert_partition(like_cifar10, split.query, split.database)


@pytest.mark.parametrize("protocol", ["cifar10", "cifar10-1", "cifar10-2"])
def test_the_cifar10_protocols_draw_from_both_parts(
    like_cifar10: ImageDataset, protocol: str
) -> None:
    split = make_split(like_cifar10, protocol, seed=0)
    for positions in (split.query, split.train, split.database):
        assert set(like_cifar10.part[positions]) == {"train", "test"}


@pytest.mark.parametrize("protocol", ["cifar10", "cifar10-1", "cifar10-2"])
def test_the_cifar10_protocols_refuse_other_data(labelled: MakeDataset, protocol: str) -> None:
    with pytest.raises(ValueError, match=r"10 classes of 6,000.*'labelled' with 100 images of 10"):
        make_split(labelled(np.repeat(np.arange(10), 10)), protocol, seed=0)


@pytest.mark.parametrize("protocol", ["cifar10", "per-class"])
def test_the_seed_decides_the_split(like_cifar10: ImageDataset, protocol: str) -> None:
    first, again, other = (make_split(like_cifar10, protocol, seed) for seed in (3, 3, 4))
    for name in ("query", "train", "database"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.query, other.query)


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name not in OF_LISTS])
def test_splits_are_ascending_int64(like_cifar10: ImageDataset, protocol: str) -> None:
    split = make_split(like_cifar10, protocol, seed=0)
    for positions in (split.query, split.train, split.database):
        assert positions.dtype == np.int64
        assert (np.diff(positions) > 0).all()


def test_per_class_makes_everything_but_the_query_train_and_database() -> None:
    digits = load_dataset("digits")
    split = make_split(digits, "per-class", seed=0)
    assert class_counts(digits, split.query) == [20] * 10
    np.testing.assert_array_equal(split.train, split.database)
    assert_partition(digits, split.query, split.database)


def test_per_class_draws_a_training_set_from_the_database() -> None:
    digits = load_dataset("digits")
    split = make_split(digits, "per-class", seed=0, query_per_class=5, train_per_class=30)
    assert class_counts(digits, split.train) == [30] * 10
    assert np.isin(split.train, split.database).all()
    assert_partition(digits, split.query, split.database)


@pytest.mark.parametrize("options", [{}, {"train_per_class": 12, "query_per_class": 3}])
def test_unseen_classes_is_per_class_trained_on_some(
    labelled: MakeDataset, options: dict[str, int]
) -> None:
    dataset = labelled(np.repeat(np.arange(10), 30))
    whole = make_split(dataset, "per-class", seed=5, **options)
    drawn = set()
    for number in (None, 4):
        chosen = {} if number is None else {"train_classes": number}
        split = make_split(dataset, "unseen-classes", seed=5, **options, **chosen)
        np.testing.assert_array_equal(split.query, whole.query)
        np.testing.assert_array_equal(split.database, whole.database)
        counts = class_counts(dataset, split.train)
        seen = np.flatnonzero(counts)
        assert len(seen) == (number or 7)
        np.testing.assert_array_equal(
            split.train, [at for at in whole.train if dataset.labels[at].argmax() in seen]
        )
        drawn.add(tuple(seen))
    few, many = sorted(drawn, key=len)
    assert set(few) < set(many)
    others = {
        tuple(np.flatnonzero(class_counts(dataset, split.train)))
        for split in (make_split(dataset, "unseen-classes", seed, **options) for seed in range(5))
    }
    assert len(others) > 1


def test_unseen_classes_leaves_out_images_that_also_show_an_unseen_class(
    labelled: MakeDataset,
) -> None:
    labels = np.tile([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], (20, 1))
    dataset = labelled(labels.astype("uint8"))
    split = make_split(dataset, "unseen-classes", seed=0, query_per_class=2)
    seen = dataset.labels[split.train].any(axis=0)
    assert seen.sum() == 2
    expected = [at for at in split.database if not dataset.labels[at][~seen].any()]
    np.testing.assert_array_equal(split.train, expected)


@pytest.mark.parametrize("number", [1, 10, 11])
def test_unseen_classes_leaves_a_class_unseen_and_trains_on_two(
    labelled: MakeDataset, number: int
) -> None:
    dataset = labelled(np.repeat(np.arange(10), 30))
    with pytest.raises(ValueError, match=f"`train_classes` must be .*train_classes={number}, cl"):
        make_split(dataset, "unseen-classes", seed=0, train_classes=number)


def test_per_class_draws_the_query_from_the_part_asked_for(labelled: MakeDataset) -> None:
    part = np.array(["train"] * 40 + ["test"] * 20)
    dataset = labelled(np.arange(60) % 4, part=part)
    split = make_split(dataset, "per-class", 0, query_per_class=3, query_part="test")
    assert class_counts(dataset, split.query) == [3] * 4
    assert set(part[split.query]) == {"test"}
    assert set(part[split.database]) == {"train", "test"}


@pytest.mark.prepared_data("fashion_mnist")
def test_fashion_mnist_query_comes_from_its_test_images(prepared_data: object) -> None:
    dataset = load_dataset("fashion_mnist", prepared_data)
    split = make_split(dataset, "per-class", 0, query_per_class=100, query_part="test")
    assert class_counts(dataset, split.query) == [100] * 10
    assert set(dataset.part[split.query]) == {"test"}
    assert len(split.database) == 69_000
    np.testing.assert_array_equal(split.train, split.database)


def test_every_label_of_an_image_counts(labelled: MakeDataset) -> None:
    labels = np.random.default_rng(2).random((400, 6)) < [0.05, 0.1, 0.2, 0.3, 0.5, 0.7]
    dataset = labelled(labels)
    split = make_split(dataset, "per-class", 0, query_per_class=5, train_per_class=10)
    assert min(class_counts(dataset, split.query)) >= 5
    assert min(class_counts(dataset, split.train)) >= 10
    assert len(split.query) < 6 * 5
    assert not np.isin(split.query, split.train).any()
    assert np.isin(split.train, split.database).all()


def test_the_rarest_class_is_drawn_just_as_often_as_asked(labelled: MakeDataset) -> None:
    labels = np.zeros((50, 2), dtype=int)
    labels[:, 0] = 1
    labels[:10, 1] = 1
    dataset = labelled(labels)
    split = make_split(dataset, "per-class", 0, query_per_class=4)
    assert class_counts(dataset, split.query) == [4, 4]
    assert len(split.query) == 4


def test_images_without_a_label_are_only_in_the_database(labelled: MakeDataset) -> None:
    labels = np.eye(2, dtype=int)[np.arange(20) % 2]
    labels[:6] = 0
    split = make_split(labelled(labels), "per-class", 0, query_per_class=3, train_per_class=4)
    assert not np.isin(np.arange(6), np.concatenate([split.query, split.train])).any()
    assert np.isin(np.arange(6), split.database).all()


def test_too_few_images_names_the_option_and_all_the_classes(labelled: MakeDataset) -> None:
    dataset = labelled([0] * 10 + [1] * 3 + [2] * 10 + [3] * 2)
    with pytest.raises(
        ValueError, match=r"`query_per_class`: 'class 1' \(3\), 'class 3' \(2\).*query_per_class=4"
    ):
        make_split(dataset, "per-class", 0, query_per_class=4)
    with pytest.raises(ValueError, match=r"`train_per_class`: 'class 1' \(1\), 'class 3' \(0\)"):
        make_split(dataset, "per-class", 0, query_per_class=2, train_per_class=2)


def test_too_few_images_counts_the_part_asked_for(labelled: MakeDataset) -> None:
    dataset = labelled([0, 1] * 10, part=np.array(["test"] * 2 + ["train"] * 18))
    with pytest.raises(ValueError, match=r"'class 0' \(1\), 'class 1' \(1\)"):
        make_split(dataset, "per-class", 0, query_per_class=2, query_part="test")


def test_queries_without_an_image_in_the_database_are_told_of(labelled: MakeDataset) -> None:
    dataset = labelled([0] * 5 + [1] + [2] * 5 + [3])
    with pytest.warns(UserWarning, match=r"2 of 4 queries.*'class 1', 'class 3'.*query_per_class"):
        make_split(dataset, "per-class", 0, query_per_class=1)
    # One label of a query is enough; an image without a label asks for nothing.
    labels = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_split(labelled(labels), "per-class", 0, query_per_class=1)


def test_a_query_that_takes_every_image_is_refused(labelled: MakeDataset) -> None:
    with pytest.raises(ValueError, match="no image for `train`"):
        make_split(labelled([0, 1] * 4), "per-class", 0, query_per_class=4)


@pytest.fixture
def listed(labelled: MakeDataset) -> MakeDataset:
    """Makes a data set with a split of the given sizes; the training set is in the database."""

    def make(query: int, train: int, classes: int, single_label: bool = False) -> ImageDataset:
        labels = np.eye(classes, dtype=int)[np.arange(query + train + 5) % classes]
        if not single_label:
            labels[0, :2] = 1
        split = Split(
            query=np.arange(query),
            train=np.arange(query, query + train),
            database=np.arange(query, query + train + 5),
        )
        return replace(labelled(labels), given_split=split)

    return make


def test_lists_takes_the_split_that_came_with_the_data(listed: MakeDataset) -> None:
    dataset = listed(query=3, train=4, classes=2)
    assert make_split(dataset, "lists", seed=7) is dataset.given_split


@pytest.mark.parametrize("protocol", OF_LISTS)
def test_data_without_a_split_has_no_lists(labelled: MakeDataset, protocol: str) -> None:
    classes = {"nus-wide-21": 21, "coco": 80}.get(protocol, 100)
    with pytest.raises(ValueError, match=r"'labelled', which gives none; use the data set 'lists'"):
        make_split(labelled(np.arange(classes)), protocol, seed=0)


@pytest.mark.parametrize(
    ("protocol", "query", "train", "classes"),
    [
        ("nus-wide-21", 2100, 10_500, 21),
        ("coco", 5000, 10_000, 80),
        ("imagenet-100", 5000, 10_000, 100),
        ("imagenet-100", 5000, 13_000, 100),
    ],
)
def test_presets_know_the_published_lists(
    listed: MakeDataset, protocol: str, query: int, train: int, classes: int
) -> None:
    single_label = protocol == "imagenet-100"
    dataset = listed(query, train, classes, single_label)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_split(dataset, protocol, seed=0) is dataset.given_split
    with pytest.warns(UserWarning, match=f"{query:,} images for `query`, and these lists have 7"):
        make_split(listed(7, train, classes, single_label), protocol, seed=0)
    with pytest.warns(UserWarning, match="images for `train`, and these lists have 9"):
        make_split(listed(query, 9, classes, single_label), protocol, seed=0)
    with pytest.raises(ValueError, match=rf"has {classes} classes. Received: .* with 20"):
        make_split(listed(query, train, 20, single_label), protocol, seed=0)


def test_imagenet_100_has_one_label_an_image(listed: MakeDataset) -> None:
    with pytest.raises(ValueError, match="ImageNet-100 has one label per image"):
        make_split(listed(7, 9, 100), "imagenet-100", seed=0)


def test_a_preset_sets_the_cut_of_map() -> None:
    assert {name: FitSettings(protocol=name).k for name in PROTOCOLS} == {
        **dict.fromkeys(PROTOCOLS),
        "nus-wide-21": 5000,
        "coco": 5000,
        "imagenet-100": 1000,
    }
    assert set(MAP_AT) <= set(PROTOCOLS)
    assert FitSettings(protocol="coco", k=100).k == 100


def test_per_class_draws_from_several_lists_as_from_any_data(listed: MakeDataset) -> None:
    dataset = listed(query=20, train=30, classes=2)
    split = make_split(dataset, "per-class", seed=0, query_per_class=3, train_per_class=5)
    assert min(class_counts(dataset, split.query)) >= 3
    assert_partition(dataset, split.query, split.database)


def test_unknown_protocols_options_and_parts_are_named(labelled: MakeDataset) -> None:
    dataset = labelled([0, 1] * 10)
    with pytest.raises(ValueError, match=r"'cifar'.*cifar10, cifar10-1, cifar10-2, per-class"):
        make_split(dataset, "cifar", 0)
    with pytest.raises(ValueError, match=r"'cifar10' takes no option query_per_class.*none"):
        make_split(dataset, "cifar10", 0, query_per_class=3)
    with pytest.raises(ValueError, match=r"no option per.*query_per_class, train_per_class"):
        make_split(dataset, "per-class", 0, per=3)
    with pytest.raises(ValueError, match=r"no part 'test'. It has: train"):
        make_split(dataset, "per-class", 0, query_part="test")


@pytest.mark.parametrize("option", ["query_per_class", "train_per_class"])
def test_a_draw_of_nothing_is_refused(labelled: MakeDataset, option: str) -> None:
    with pytest.raises(ValueError, match=f"`{option}` must be at least 1"):
        make_split(labelled([0, 1] * 10), "per-class", 0, **{option: 0})


@pytest.mark.parametrize(
    ("query", "train", "database", "message"),
    [
        ([0, 1], [1, 2], [2, 3], "`query` and `train` must be disjoint"),
        ([0, 1], [2], [1, 2], "`query` and `database` must be disjoint"),
        ([1, 0], [2], [3], "`query` must be ascending"),
        ([0], [2, 2], [3], "`train` must be ascending"),
        ([0], [1], [], "no image for `database`"),
    ],
)
def test_an_inconsistent_split_cannot_be_made(
    query: list[int], train: list[int], database: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Split(np.array(query), np.array(train), np.array(database))


def test_a_share_of_each_class_is_held_out_and_something_of_each_is_left(
    labelled: MakeDataset,
) -> None:
    dataset = labelled(np.repeat([0, 1, 2, 3], [100, 30, 4, 1]))
    split = make_split(dataset, "held-out-share", seed=0, query_share=0.2)
    assert class_counts(dataset, split.query) == [20, 6, 1, 0]
    assert_partition(dataset, split.query, split.database)
    np.testing.assert_array_equal(split.train, split.database)
    tiny = make_split(labelled([0, 0, 1]), "held-out-share", seed=0)
    assert (len(tiny.query), len(tiny.database)) == (1, 2)
    large = labelled(np.arange(60_000) % 7)
    assert len(make_split(large, "held-out-share", seed=0).query) == pytest.approx(1000, abs=7)
    without = replace(dataset, labels=np.zeros((135, 0), np.uint8), class_names=[])
    assert len(make_split(without, "held-out-share", seed=1).query) == round(0.05 * 135)
    with pytest.raises(ValueError, match="`query_share` must be between 0 and 1"):
        make_split(dataset, "held-out-share", seed=0, query_share=1.0)
