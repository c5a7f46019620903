"""Codes whose bits do not fill their bytes, against brute force on the unpacked codes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hashing import metrics, retrieval
from keras_hashing.layers import HammingSearch, PackBits
from keras_hashing.methods import hash_centres
from keras_hashing.models import HashingModel
from keras_hashing.retrieval import CodeIndex

BITS = [1, 7, 12, 100, 255]


@pytest.fixture(params=BITS)
def case(request, rng):
    """Queries and database, continuous, and what a stable sort of all distances finds."""
    queries, database = rng.normal(size=(2, 60, request.param)).astype("float32")
    distances = ((queries[:, None] > 0) != (database[None] > 0)).sum(axis=-1)
    return request.param, queries, database, distances


def test_packing_fills_the_last_byte_with_zeros(case):
    bits, queries, database, distances = case
    packed = retrieval.pack_codes(queries)
    assert packed.shape == (60, retrieval.packed_width(bits)) == (60, -(-bits // 8))
    np.testing.assert_array_equal(np.unpackbits(packed, axis=1)[:, :bits], queries > 0)
    assert not np.unpackbits(packed, axis=1)[:, bits:].any()
    np.testing.assert_array_equal(
        retrieval.unpack_codes(packed, bits), np.where(queries > 0, 1, -1)
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(PackBits()(queries)), packed)
    balance = np.abs(np.where(queries > 0, 1, -1).mean(axis=0)).mean()
    assert retrieval.bit_balance(packed, bits) == pytest.approx(balance)
    with np.errstate(invalid="ignore"):
        correlation = np.abs(np.corrcoef((queries > 0).T)).reshape(bits, bits)
    off_diagonal = np.nan_to_num(correlation)[~np.eye(bits, dtype=bool)]
    expected = off_diagonal.mean() if bits > 1 else 0
    assert retrieval.bit_correlation(packed, bits) == pytest.approx(expected)
    of_all = retrieval.hamming_distance(packed, retrieval.pack_codes(database))
    np.testing.assert_array_equal(of_all, distances)


def test_index_and_layer_search_like_brute_force(case, tmp_path):
    bits, queries, database, distances = case
    packed, codes = retrieval.pack_codes(queries), retrieval.pack_codes(database)
    order = np.argsort(distances, axis=1, kind="stable")[:, :9]
    names = [str(i) for i in range(60)]
    index = CodeIndex(codes[:50], names[:50], "f", bits=bits).add(codes[50:], names[50:])
    index.save(tmp_path / "index.npz")
    loaded = CodeIndex.load(tmp_path / "index.npz")
    assert loaded.bits == bits == loaded.remove(["3"]).bits
    layer = HammingSearch(codes, k=9, bits=bits, rerank=True, rerank_candidates=60)
    for positions, found in (loaded.search(packed, k=9), map(ops.convert_to_numpy, layer(packed))):
        np.testing.assert_array_equal(positions, order)
        np.testing.assert_array_equal(found, np.take_along_axis(distances, order, axis=1))
    similarity = queries @ np.where(database > 0, 1, -1).T.astype("float32")
    best = np.take_along_axis(similarity, ops.convert_to_numpy(layer(packed, queries)[0]), axis=1)
    np.testing.assert_allclose(best, -np.sort(-similarity, axis=1)[:, :9], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [lambda c: CodeIndex(c, ["a"], "f", bits=12), HammingSearch])
def test_codes_of_another_length_are_refused(make):
    if make is HammingSearch:
        make = lambda codes: HammingSearch(codes, bits=12)  # noqa: E731
    with pytest.raises(ValueError, match="`codes` must have 2 bytes for codes of 12 bits"):
        make(np.zeros((1, 3), np.uint8))
    with pytest.raises(ValueError, match="`codes` must have zeros after the 12 bits"):
        make(np.array([[0, 0b00001000]], np.uint8))
    assert make(np.array([[0, 0b00010000]], np.uint8)).bits == 12


def test_distance_of_255_bits_is_a_distance(case):
    bits, *_ = case
    codes = retrieval.pack_codes(np.ones((1, bits)))
    query = retrieval.pack_codes(-np.ones((1, bits)))
    positions, distances = HammingSearch(codes, k=1, bits=bits)(query)
    assert (int(positions[0, 0]), int(distances[0, 0])) == (0, bits)


@pytest.mark.parametrize(
    ("classes", "bits"), [(2, 1), (3, 3), (10, 12), (30, 12), (9, 13), (9, 100)]
)
def test_hash_centres_are_balanced_and_apart(classes, bits):
    centres = hash_centres(classes, bits)
    assert centres.shape == (classes, bits)
    assert len(np.unique(centres, axis=0)) == classes
    if classes > 2 * bits or bits % 4:
        assert set(centres.sum(axis=1)) <= {0, -1, 1}


@pytest.mark.parametrize("bits", [1, 12])
def test_model_trains_encodes_and_reloads(bits, make_backbone, blobs, tmp_path):
    images, labels = blobs
    model = HashingModel(make_backbone(), bits, "dsdh", "native", num_classes=3)
    model.compile("adam")
    history = model.fit(images, labels, verbose=0).history
    assert np.isfinite([values[-1] for values in history.values()]).all()
    packed = model.encode(images)
    assert packed.shape == (96, -(-bits // 8))
    assert model.encode(images[:0]).shape == (0, -(-bits // 8))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode(images), packed)
    assert float(metrics.BitCorrelation(1)(None, np.ones((2, 1), "float32"))) == 0
