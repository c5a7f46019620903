import numpy as np
import pytest

from training.data.epoch_order import epoch_order

ONE_HOT = np.eye(3, dtype=np.uint8)[[0] * 50 + [1] * 20 + [2] * 5]


def batches_of_classes(batch_size: int, labels: np.ndarray = ONE_HOT, epoch: int = 0) -> np.ndarray:
    order = epoch_order(labels, batch_size, seed=0, epoch=epoch, class_balanced=True)
    return labels[order].reshape(-1, batch_size, labels.shape[1]).sum(axis=1, dtype=int)


def test_an_epoch_visits_every_image_and_fills_its_last_batch_with_its_first_images() -> None:
    order = epoch_order(ONE_HOT, batch_size=10, seed=0, epoch=0)
    assert sorted(order[:75].tolist()) == list(range(75))
    assert order[75:].tolist() == order[:5].tolist()
    assert order.dtype == np.int64


@pytest.mark.parametrize("class_balanced", [False, True])
def test_seed_and_epoch_decide_the_order(class_balanced: bool) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return epoch_order(ONE_HOT, 10, seed, epoch, class_balanced).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_a_balanced_batch_has_as_many_images_of_each_class() -> None:
    counts = batches_of_classes(batch_size=12)
    assert len(counts) == -(-75 // 12)
    assert (counts == 4).all()


def test_places_left_over_in_a_balanced_batch_go_round_the_classes() -> None:
    counts = batches_of_classes(batch_size=13)
    assert (counts.max(axis=1) - counts.min(axis=1) == 1).all()
    totals = counts.sum(axis=0)
    assert totals.max() - totals.min() <= 1


def test_a_balanced_batch_smaller_than_the_classes_has_one_image_of_some() -> None:
    labels = np.eye(10, dtype=np.uint8)[np.arange(100) % 10]
    counts = batches_of_classes(batch_size=4, labels=labels)
    assert ((counts == 1).sum(axis=1) == 4).all()
    totals = counts.sum(axis=0)
    assert totals.max() - totals.min() <= 1


def test_a_balanced_batch_repeats_no_image_of_a_class_that_is_large_enough() -> None:
    order = epoch_order(ONE_HOT, 12, 0, 0, class_balanced=True).reshape(-1, 12)
    assert all(len(set(batch)) == 12 for batch in order.tolist())


def test_classes_without_an_image_take_no_place() -> None:
    labels = np.eye(5, dtype=np.uint8)[[0, 4] * 10]
    assert (batches_of_classes(6, labels)[:, [0, 4]] == 3).all()


def test_the_places_of_a_balanced_batch_are_shuffled() -> None:
    order = epoch_order(ONE_HOT, 12, 0, 0, class_balanced=True).reshape(-1, 12)
    assert len({tuple(ONE_HOT[batch].argmax(axis=1)) for batch in order}) > 1


def test_balancing_refuses_several_labels_an_image() -> None:
    labels = ONE_HOT.copy()
    labels[:2] = 1
    with pytest.raises(ValueError, match="2 of 75 images"):
        epoch_order(labels, 10, 0, 0, class_balanced=True)


def test_fewer_images_than_a_batch_names_both() -> None:
    with pytest.raises(ValueError, match="75 training images, batch_size=76"):
        epoch_order(ONE_HOT, 76, 0, 0)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1"):
        epoch_order(ONE_HOT, 0, 0, 0)
