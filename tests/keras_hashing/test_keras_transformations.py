"""What Keras does to any model works on ours, and survives a file."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

import keras_hashing
from keras_hashing import callbacks, layers, losses, methods, metrics, models, optimizers

BITS = 16


def make_network(**head):
    return keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(32, "relu"),
            layers.HashHead(BITS, name="head", **head),
        ]
    )


def make_model():
    backbone = keras.Sequential([keras.Input((20,)), keras.layers.Dense(32, "relu")])
    return models.HashingModel(backbone, BITS, "csq", num_classes=3)


def with_lora(model):
    model.layers[-1].projection.enable_lora(2)
    weights = model.layers[-1].projection.lora_kernel_b
    weights.assign(np.random.default_rng(0).normal(size=weights.shape))


def with_policy(model):
    model.layers[-1].projection.dtype_policy = "mixed_bfloat16"


TRANSFORMATIONS = {
    "as it is": (make_network, lambda model: None),
    "int8": (make_network, lambda model: model.quantize("int8")),
    "int8, normalized": (
        lambda: make_network(batch_normalization=True),
        lambda model: model.quantize("int8"),
    ),
    "int4": (make_network, lambda model: model.quantize("int4")),
    "LoRA": (make_network, with_lora),
    "a policy of its own": (make_network, with_policy),
    "mixed precision": (lambda: make_network(dtype="mixed_bfloat16"), lambda model: None),
    "HashingModel": (make_model, lambda model: None),
    "HashingModel in int8": (make_model, lambda model: model.quantize("int8")),
}


@pytest.mark.filterwarnings("ignore:.*quantize.*")
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformed_model_survives_save_and_load(name, tmp_path, rng):
    make, transform = TRANSFORMATIONS[name]
    features = rng.normal(size=(12, 20)).astype("float32")
    model = make()
    before = ops.convert_to_numpy(ops.cast(model(features), "float32"))
    transform(model)
    codes = ops.convert_to_numpy(ops.cast(model(features), "float32"))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    received = ops.convert_to_numpy(ops.cast(again(features), "float32"))
    np.testing.assert_allclose(received, codes, rtol=1e-5, atol=1e-6)
    if "int" in name:
        assert 0 < np.abs(codes - before).max() < 0.5
        assert "int8" in {keras.backend.standardize_dtype(w.dtype) for w in again.weights}


def test_clone_has_the_codes_of_the_weights_it_is_given(rng):
    features = rng.normal(size=(12, 20)).astype("float32")
    model = make_network(batch_normalization=True)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(features, verbose=0), model(features))


def ours():
    """One of each of our public Keras classes."""
    codes = np.zeros((3, 2), np.uint8)
    yield make_model()
    yield layers.HashHead(BITS, batch_normalization=True, quantization="hswd")
    yield from (layers.Binarize(), layers.PackBits(), layers.HammingSearch(codes))
    for name in (*methods.available(), *methods.available(labels=False)):
        yield methods.get(name, bits=BITS, num_classes=3)
    yield methods.CodeMemory(4, BITS, 3)
    yield from (metrics.BitBalance(BITS), metrics.BitCorrelation(BITS), metrics.QuantizationError())
    for name in losses.__all__:
        if name != "HashingLoss":
            yield getattr(losses, name)()
    yield losses.HashingLoss(losses.DPSH())
    yield from (callbacks.RefuseNonFiniteLoss(), callbacks.ScaleContinuation())
    yield callbacks.RetrievalEvaluation((codes, codes), (codes, codes))
    yield optimizers.DiscriminativeAdamW()


def test_every_public_class_is_among_them():
    bases = {"ClosedFormMethod", "HashingMethod", "PairwiseMethod", "TwoViewMethod"}
    found = {type(one).__name__ for one in ours()} | bases
    for module in (callbacks, layers, losses, methods, metrics, models, optimizers):
        for name in module.__all__:
            if inspect.isclass(getattr(module, name)):
                assert name in found


@pytest.mark.parametrize("one", list(ours()), ids=lambda one: type(one).__name__)
def test_no_attribute_hides_a_method_of_keras(one):
    bases = [base for base in type(one).__mro__ if base.__module__.startswith("keras.")]
    assert bases
    for name, value in vars(one).items():
        hidden = inspect.getattr_static(bases[0], name, None)
        # Keras itself keeps wrapped methods, and the `loss` of compile, on the instance.
        assert callable(value) or name == "loss" or not callable(hidden), (
            f"{name} of {type(one).__name__} hides Keras' method"
        )
    for base in type(one).__mro__[: -len(bases)]:
        if not base.__module__.startswith(keras_hashing.__name__):
            continue
        for name, own in vars(base).items():
            inherited = inspect.getattr_static(bases[0], name, None)
            if inherited is not None and not name.startswith("__"):
                assert callable(getattr(own, "__func__", own)) == callable(
                    getattr(inherited, "__func__", inherited)
                ), f"{name} of {base.__name__} is of another kind in Keras"
