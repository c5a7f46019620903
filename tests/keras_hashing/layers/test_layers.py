import keras
import numpy as np
import pytest
from keras import ops
from keras.src import testing

from keras_hashing.layers import Binarize, HashHead, PackBits
from keras_hashing.losses import HashSlicedWasserstein


class HarnessTest(testing.TestCase):
    """Keras' own harness: build, symbolic and eager calls, training, dtypes, serialisation."""

    def test_hash_head(self):
        self.run_layer_test(
            HashHead,
            init_kwargs={"bits": 16},
            input_shape=(4, 5),
            expected_output_shape=(4, 16),
            expected_num_trainable_weights=2,
            expected_num_non_trainable_weights=0,
            expected_num_losses=0,
        )

    def test_hash_head_with_every_option(self):
        self.run_layer_test(
            HashHead,
            init_kwargs={
                "bits": 8,
                "activation": "tanh",
                "batch_normalization": True,
                "quantization": HashSlicedWasserstein(p=1),
                "quantization_weight": 0.5,
                "use_bias": False,
                "kernel_initializer": "he_normal",
                "kernel_regularizer": "l2",
            },
            input_shape=(4, 5),
            call_kwargs={"training": True},
            expected_output_shape=(4, 8),
            expected_num_trainable_weights=1,
            expected_num_non_trainable_weights=2,
            expected_num_losses=2,  # quantization and the regularizer
        )

    def test_binarize(self):
        self.run_layer_test(
            Binarize,
            init_kwargs={},
            input_shape=(4, 16),
            expected_output_shape=(4, 16),
            expected_num_trainable_weights=0,
        )

    def test_pack_bits(self):
        self.run_layer_test(
            PackBits,
            init_kwargs={},
            input_shape=(4, 16),
            expected_output_shape=(4, 2),
            expected_output_dtype="uint8",
            expected_num_trainable_weights=0,
        )


def head_loss(head, features):
    head(features, training=True)
    return float(sum(ops.convert_to_numpy(loss) for loss in head.losses))


def test_head_adds_its_weighted_quantization_in_training_only(rng):
    features = rng.normal(size=(12, 5)).astype("float32")
    head = HashHead(16, quantization="hswd", quantization_weight=0.25)
    codes = head(features, training=False)
    assert head.losses == []
    expected = 0.25 * float(HashSlicedWasserstein()(codes, codes))
    np.testing.assert_allclose(head_loss(head, features), expected, rtol=1e-6)


def test_head_computes_its_quantization_in_float32_under_mixed_precision(rng):
    features = rng.normal(size=(12, 5)).astype("float32")
    head = HashHead(16, quantization="hswd", dtype="mixed_float16")
    codes = head(features, training=True)
    assert keras.backend.standardize_dtype(codes.dtype) == "float16"
    assert keras.backend.standardize_dtype(head.losses[0].dtype) == "float32"


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_head_remembers_codes_in_training_only_and_saves_them(dtype, rng, tmp_path):
    features = rng.normal(size=(24, 5)).astype("float32")
    head = HashHead(16, quantization="hswd", quantization_memory=15, dtype=dtype)
    model = keras.Sequential([keras.Input((5,)), head])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    targets = np.zeros((24, 16), "float32")
    codes = model.predict(features, verbose=0).astype("float32")
    for start in (0, 8):
        model.train_on_batch(features[start : start + 8], targets[:8])
    stored = ops.convert_to_numpy(head.memory.codes)
    np.testing.assert_allclose(stored, np.concatenate([codes[8:16], codes[:7]]), rtol=2e-3)
    model.evaluate(features, targets, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(head.memory.codes), stored)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    np.testing.assert_array_equal(ops.convert_to_numpy(again.memory.codes), stored)
    expected = HashSlicedWasserstein().call(None, codes[16:], (stored, np.ones(15, "float32")))
    received = head_loss(again, features[16:]) / again.quantization_weight
    np.testing.assert_allclose(received, np.mean(ops.convert_to_numpy(expected)), rtol=2e-3)


def test_head_trains_with_any_loss_and_its_quantization_falls(rng):
    images = rng.normal(size=(128, 20)).astype("float32")
    labels = (images[:, :1] > 0).astype("float32")

    def fit(weight):
        keras.utils.set_random_seed(0)
        head = HashHead(8, quantization="hswd", quantization_weight=weight)
        model = keras.Sequential([keras.Input((20,)), head, keras.layers.Dense(1, "sigmoid")])
        model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
        model.fit(images, labels, batch_size=64, epochs=30, verbose=0)
        codes = head(images)
        return float(HashSlicedWasserstein()(codes, codes))

    assert fit(1.0) < 0.7 * fit(0.0)


def test_head_with_batch_normalization_has_balanced_bits(rng):
    features = 3 + rng.normal(size=(64, 5)).astype("float32")
    codes = HashHead(16, batch_normalization=True)(features, training=True)
    np.testing.assert_allclose(ops.convert_to_numpy(codes).mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("bits", [0, -8, 8.0, True, "64"])
def test_head_refuses_bits_that_are_no_number_of_bits(bits):
    with pytest.raises(ValueError, match="`bits` must be (a positive|an) integer. Received"):
        HashHead(bits)


def test_head_takes_an_integer_of_numpy():
    head = HashHead(np.int64(16))
    assert head.bits == 16
    assert isinstance(head.bits, int)


def test_head_refuses_bad_arguments():
    with pytest.raises(ValueError, match="`quantization` must be one of"):
        HashHead(8, quantization="unknown")
    with pytest.raises(ValueError, match="`quantization_weight` must be a finite"):
        HashHead(8, quantization_weight=float("nan"))
    with pytest.raises(ValueError, match="expected ndim=2"):
        HashHead(8)(np.zeros((2, 3, 4), "float32"))


def test_binarize_gives_exact_signs_and_passes_the_gradient(rng, value_and_gradient):
    codes = np.concatenate([rng.normal(size=200), [0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30]])
    codes = codes.astype("float32")
    signs = ops.convert_to_numpy(Binarize()(codes))
    np.testing.assert_array_equal(signs, np.where(codes > 0, 1.0, -1.0))
    weights = rng.normal(size=codes.shape).astype("float32")
    _, gradient = value_and_gradient(lambda u: ops.sum(weights * Binarize()(u)), codes)
    np.testing.assert_array_equal(gradient, weights)


def test_binarize_shows_a_non_finite_code():
    assert np.isnan(ops.convert_to_numpy(Binarize()(np.array([np.nan, np.inf], "float32")))).all()


@pytest.mark.parametrize("shape", [(5, 8), (5, 64), (1, 256), (0, 16), (2, 3, 24)])
def test_pack_bits_equals_numpy_packbits(shape, rng):
    codes = rng.normal(size=shape).astype("float32")
    codes[codes < -1] = 0.0
    packed = ops.convert_to_numpy(PackBits()(codes))
    assert packed.dtype == np.uint8
    np.testing.assert_array_equal(packed, np.packbits(codes > 0, axis=-1))


def test_pack_bits_refuses_codes_without_bits():
    with pytest.raises(ValueError, match=r"at least one. Received: input_shape=\(2, 0\)"):
        PackBits()(np.zeros((2, 0), "float32"))
