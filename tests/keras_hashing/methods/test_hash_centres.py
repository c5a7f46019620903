import numpy as np
import pytest

from keras_hashing import methods
from keras_hashing.methods.hash_centres import hadamard_matrix, hash_centres


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 24, 32, 48, 64, 80, 88, 104, 128, 136, 168, 256])
def test_hadamard_matrix_is_orthogonal_with_a_constant_first_row(order):
    matrix = hadamard_matrix(order)
    np.testing.assert_array_equal(matrix @ matrix.T, order * np.eye(order))
    assert abs(matrix[0].sum()) == order


def test_every_multiple_of_8_up_to_256_has_a_matrix_but_the_two_that_are_named():
    missing = [order for order in range(8, 257, 8) if hadamard_matrix(order) is None]
    assert missing == [184, 232]


@pytest.mark.parametrize(("classes", "bits"), [(3, 8), (10, 16), (10, 64), (21, 24), (48, 48)])
def test_centres_are_orthogonal_and_balanced_for_up_to_as_many_classes_as_bits(classes, bits):
    centres = hash_centres(classes, bits)
    np.testing.assert_array_equal(centres @ centres.T, bits * np.eye(classes))
    assert (centres.sum(axis=1)[: bits - 1] == 0).all()


@pytest.mark.parametrize(("classes", "bits"), [(16, 8), (21, 16), (100, 64), (80, 48)])
def test_centres_are_half_the_bits_apart_for_up_to_twice_as_many_classes(classes, bits):
    assert least_distance(hash_centres(classes, bits)) == bits // 2


@pytest.mark.parametrize(
    ("classes", "bits", "distance"),
    [(17, 8, 2), (70, 8, 2), (80, 16, 4), (100, 16, 4), (100, 32, 12), (200, 48, 16), (9, 184, 84)],
)
def test_other_centres_are_balanced_and_at_least_so_far_apart(classes, bits, distance):
    centres = hash_centres(classes, bits)
    assert centres.shape == (classes, bits)
    assert set(np.unique(centres)) == {-1.0, 1.0}
    assert (centres.sum(axis=1) == 0).all()
    assert least_distance(centres) >= distance


def least_distance(centres):
    hamming = (centres[:, None] != centres[None]).sum(axis=-1)
    return hamming[~np.eye(len(centres), dtype=bool)].min()


@pytest.mark.parametrize(("classes", "bits"), [(10, 64), (100, 32)])
def test_seed_decides_the_centres(classes, bits):
    first = hash_centres(classes, bits, seed=1)
    np.testing.assert_array_equal(first, hash_centres(classes, bits, seed=1))
    assert (first != hash_centres(classes, bits, seed=2)).any()


def test_bits_are_not_copies_of_each_other():
    # The first ten rows of Sylvester's matrix have 16 different columns only.
    assert len(np.unique(hash_centres(10, 64), axis=1).T) == 64


def test_first_rows_of_the_matrix_can_be_asked_for():
    np.testing.assert_array_equal(
        methods.get("csq:random_rows=false", bits=16, num_classes=5).centres,
        hadamard_matrix(16)[:5],
    )


def test_impossible_centres_are_refused():
    with pytest.raises(ValueError, match="70 balanced codes of 8 bits.*num_classes=71"):
        hash_centres(71, 8)
    with pytest.raises(ValueError, match="`bits` must be a positive integer"):
        hash_centres(3, 0)
