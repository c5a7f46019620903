import itertools
import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

from keras_hashing import losses, methods
from keras_hashing.callbacks import ScaleContinuation
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel
from keras_hashing.retrieval import pack_codes

PARTS = {"similarity_loss", "quantization_loss"}
STATISTICS = {"bit_balance", "bit_correlation", "quantization_error"}


def make_model(backbone, **options):
    options = {"bits": 16, "num_classes": 3, **options}
    model = HashingModel(backbone, **options)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def state_of(model):
    return [ops.convert_to_numpy(weight).copy() for weight in model.weights]


def settings_of(model):
    """The configuration, but for what says how the parts were built."""
    config = model.get_config()
    for part in ("backbone", "head", "method", "quantization"):
        if isinstance(config[part], dict):
            config[part] = config[part]["config"]
    del config["backbone"]["layers"]
    config["backbone"].pop("build_input_shape", None)
    return config


def memory_of(model):
    return [ops.convert_to_numpy(weight).copy() for weight in model.method.memory.weights]


def with_memory(size=40):
    return methods.HashNet(bits=16, num_classes=3, memory_size=size)


# All pairs are run, by `make test-all`; without the slow ones each name comes up at least once.
EVERYWHERE = {"native", "hswd"}


@pytest.mark.parametrize(
    ("method", "quantization", "quantize"),
    [
        pytest.param(
            *(method, quantization, quantize),
            marks=()
            if method == "hashnet" or (quantization in EVERYWHERE and quantize is None)
            else pytest.mark.slow,
        )
        for method in methods.available()
        for quantization, quantize in [
            *itertools.product(["none", "native", "sign", "hswd", "swd"], [None]),
            ("hswd", "relaxed"),
        ]
    ],
)
def test_every_method_trains_with_every_quantization(
    method, quantization, quantize, make_backbone, blobs
):
    model = make_model(make_backbone(), method=method, quantization=quantization, quantize=quantize)
    history = model.fit(*blobs, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(list(history.values())).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", methods.available())
def test_every_method_trains_inside_xla(method, make_backbone, blobs):
    model = HashingModel(make_backbone(), 16, method, quantization="native", num_classes=3)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=True)
    history = model.fit(*blobs, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize("method", [m for m in methods.available() if m != "greedyhash"])
def test_every_method_for_several_labels_trains_on_them(method, make_backbone, blobs):
    images, labels = blobs
    several = np.maximum(labels, np.roll(labels, 1, axis=1) * (np.arange(96) % 2)[:, None])
    model = make_model(make_backbone(), method=method, quantization="native")
    history = model.fit(images, several, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_method_that_takes_one_label_shows_several_in_the_loss(make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), method="greedyhash")
    value = model.evaluate(images, np.ones_like(labels), verbose=0, return_dict=True)
    assert np.isnan(value["loss"])


def test_native_quantization_acts_where_the_paper_says_unless_told_otherwise(make_backbone):
    def place(method, **options):
        return make_model(make_backbone(), method=method, **options).quantization_place

    assert place("csq", quantization="native") == "relaxed"
    assert place("csq", quantization="native", quantize="raw") == "raw"
    assert place("csq") == place("dpsh", quantization="native") == "raw"


def test_head_is_normalized_where_the_method_asks_for_it(make_backbone):
    assert make_model(make_backbone(), method="orthohash").head.batch_normalization
    assert not make_model(make_backbone(), method="csq").head.batch_normalization
    own = HashHead(16, dtype="float32")
    assert make_model(make_backbone(), method="orthohash", head=own).head is own


def test_optimal_transport_trains(make_backbone, blobs):
    model = make_model(make_backbone(), quantization="ot")
    history = model.fit(*blobs, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_history_shows_the_parts_of_the_loss_and_the_bit_statistics(make_backbone, blobs):
    model = make_model(make_backbone(), quantization_weight=0.3)
    history = model.fit(*blobs, validation_data=blobs, epochs=2, verbose=0).history
    names = {"loss"} | PARTS | STATISTICS
    assert set(history) == names | {f"val_{name}" for name in names}
    for prefix in ("", "val_"):
        total = np.add(
            history[f"{prefix}similarity_loss"],
            0.3 * np.array(history[f"{prefix}quantization_loss"]),
        )
        np.testing.assert_allclose(history[f"{prefix}loss"], total, rtol=1e-4)


def test_no_quantization_shows_no_quantization_loss(make_backbone, blobs):
    model = make_model(make_backbone(), quantization="none")
    history = model.fit(*blobs, verbose=0).history
    assert set(history) == {"loss", "similarity_loss"} | STATISTICS


def test_loss_equals_the_stateless_loss_of_the_same_parts(make_backbone, blobs):
    model = make_model(make_backbone(), method="dpsh", quantization_weight=0.3)
    images, labels = blobs
    codes = model.predict(images, verbose=0)
    expected = float(losses.HashingLoss(losses.DPSH(), "hswd", 0.3)(labels, codes))
    value = model.evaluate(images, labels, batch_size=96, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_sample_weights_scale_a_samples_terms(make_backbone, blobs):
    model = make_model(make_backbone(), method="dpsh")
    images, labels = blobs
    weights = np.random.default_rng(0).uniform(size=96).astype("float32")
    codes = model.predict(images, verbose=0)
    expected = float(losses.HashingLoss(losses.DPSH())(labels, codes, sample_weight=weights))
    value = model.evaluate(
        images, labels, sample_weight=weights, batch_size=96, verbose=0, return_dict=True
    )
    np.testing.assert_allclose(value["loss"], expected, rtol=1e-5)
    parts = value["similarity_loss"] + model.quantization_weight * value["quantization_loss"]
    np.testing.assert_allclose(parts, expected, rtol=1e-5)


def test_regularizers_of_head_and_backbone_count(make_backbone, blobs):
    plain = make_model(make_backbone(), head=HashHead(16, dtype="float32"))
    head = HashHead(16, kernel_regularizer=keras.regularizers.L2(1.0), dtype="float32")
    regularized = make_model(make_backbone(), head=head)
    regularized.set_weights(plain.get_weights())
    difference = (
        regularized.evaluate(*blobs, verbose=0, return_dict=True)["loss"]
        - plain.evaluate(*blobs, verbose=0, return_dict=True)["loss"]
    )
    kernel = ops.convert_to_numpy(head.projection.kernel)
    np.testing.assert_allclose(difference, np.sum(kernel**2), rtol=1e-3)


def test_a_loss_given_to_compile_is_added(make_backbone, blobs):
    images, labels = blobs
    model = HashingModel(make_backbone(), bits=16)
    model.compile("adam")
    plain = model.evaluate(images, labels, batch_size=96, verbose=0, return_dict=True)["loss"]
    model.compile("adam", loss=losses.SignDistance())
    both = model.evaluate(images, labels, batch_size=96, verbose=0, return_dict=True)["loss"]
    codes = model.predict(images, verbose=0)
    np.testing.assert_allclose(both - plain, float(losses.SignDistance()(codes, codes)), rtol=1e-3)


@pytest.mark.filterwarnings("error:.*`build")
@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_method_with_state_trains_inside_xla_and_out_of_it(jit_compile, make_backbone, blobs):
    model = HashingModel(make_backbone(), bits=16, method=with_memory())
    model.compile(keras.optimizers.Adam(0.01), jit_compile=jit_compile)
    history = model.fit(*blobs, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_memory_is_first_in_first_out_and_bounded(make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), method=with_memory(40))
    model.optimizer.learning_rate.assign(0.0)
    codes = model.predict(images, verbose=0)
    for start in range(0, 96, 16):
        model.train_on_batch(images[start : start + 16], labels[start : start + 16])
        stored, stored_labels, count = memory_of(model)
        seen = np.concatenate([codes[k : k + 16] for k in range(start, -1, -16)])[:40]
        assert count == min(start + 16, 40)
        np.testing.assert_allclose(stored[: len(seen)], seen, rtol=1e-4, atol=1e-5)
        assert stored_labels[: len(seen)].sum() == len(seen)


def test_a_batch_larger_than_the_memory_keeps_its_first_rows(make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), method=with_memory(10))
    model.optimizer.learning_rate.assign(0.0)
    codes = model.predict(images, verbose=0)
    model.train_on_batch(images[:32], labels[:32])
    stored, stored_labels, count = memory_of(model)
    assert count == 10
    np.testing.assert_allclose(stored, codes[:10], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(stored_labels, labels[:10])


def test_empty_memory_changes_nothing_and_a_filled_one_adds_its_pairs(make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), method=with_memory(96), quantization="none")
    codes = ops.convert_to_tensor(model.predict(images[:16], verbose=0))
    alone = float(losses.HashNet()(labels[:16], codes))
    np.testing.assert_allclose(
        np.mean(ops.convert_to_numpy(model.method(labels[:16], codes))), alone, rtol=1e-5
    )
    # A memory that holds the other 80 samples makes these 16 rows those of the whole batch.
    whole = model.predict(images, verbose=0)
    objective = losses.HashNet()
    expected = ops.convert_to_numpy(
        objective.compare(
            labels[:16],
            objective.similarity_code(codes),
            labels[16:],
            objective.similarity_code(ops.convert_to_tensor(whole[16:])),
            np.ones(80, "float32"),
        )
    )
    model.method.memory.write(labels[16:], whole[16:])
    value = ops.convert_to_numpy(model.method(labels[:16], codes))
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    assert not np.allclose(value.mean(), alone)


def test_evaluation_and_prediction_change_no_state(make_backbone, blobs):
    model = make_model(make_backbone(), method=with_memory())
    model.fit(*blobs, batch_size=32, epochs=1, verbose=0)
    model.method.beta.assign(2.5)
    before = state_of(model)
    model.evaluate(*blobs, verbose=0)
    model.predict(blobs[0], verbose=0)
    model.encode(blobs[0])
    for old, new in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("place", ["raw", "relaxed"])
def test_quantization_sees_the_codes_of_earlier_batches(place, make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), quantize=place, quantization_memory=40)
    model.optimizer.learning_rate.assign(0.0)
    codes = model.predict(images, verbose=0)
    for start in (0, 32):
        model.train_on_batch(images[start : start + 32], labels[start : start + 32])
    stored = ops.convert_to_numpy(model.memory.codes)
    np.testing.assert_allclose(stored[:32], codes[32:64], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stored[32:], codes[:8], rtol=1e-4, atol=1e-5)
    before = state_of(model)
    value = model.evaluate(images[64:], labels[64:], verbose=0, return_dict=True)
    for old, new in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(old, new)
    relax = np.tanh if place == "relaxed" else np.asarray
    expected = losses.HashSlicedWasserstein().call(
        None, relax(codes[64:]), (relax(stored), np.ones(40, "float32"))
    )
    np.testing.assert_allclose(
        value["quantization_loss"], np.mean(ops.convert_to_numpy(expected)), rtol=1e-4
    )


def test_evaluation_leaves_the_classifier_of_dsdh_alone(make_backbone, blobs):
    model = make_model(make_backbone(), method="dsdh", quantization="native")
    model.fit(*blobs, batch_size=32, epochs=1, verbose=0)
    before = state_of(model)
    assert np.any(ops.convert_to_numpy(model.method.classifier))
    model.evaluate(*blobs, verbose=0)
    for old, new in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_classifier_of_greedy_hash_trains(make_backbone, blobs):
    model = make_model(make_backbone(), method="greedyhash", quantization="none")
    before = ops.convert_to_numpy(model.method.classifier).copy()
    model.fit(*blobs, epochs=1, verbose=0)
    assert np.any(ops.convert_to_numpy(model.method.classifier) != before)


def test_beta_changed_by_a_callback_acts_in_fit_and_shows_in_the_loss(make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), quantization="none")
    schedule = ScaleContinuation(initial=1.0, gamma=1.0, power=1.0, every=3)
    model.fit(images, labels, batch_size=16, epochs=2, callbacks=[schedule], verbose=0)
    beta = float(ops.convert_to_numpy(model.method.beta))
    assert beta == schedule.beta_at(12) == 13
    codes = model.predict(images, verbose=0)
    expected = float(losses.HashNet(beta=beta)(labels, codes))
    value = model.evaluate(images, labels, batch_size=96, verbose=0, return_dict=True)
    np.testing.assert_allclose(value["similarity_loss"], expected, rtol=1e-4)


def test_continuation_resumes_from_the_optimizers_step(make_backbone, blobs, tmp_path):
    def fit(model, first, last):
        schedule = ScaleContinuation(gamma=0.5, every=4)
        model.fit(
            *blobs, batch_size=16, epochs=last, initial_epoch=first, callbacks=[schedule],
            shuffle=False, verbose=0,
        )  # fmt: skip
        return model

    keras.utils.set_random_seed(0)
    whole = fit(make_model(make_backbone()), 0, 4)
    keras.utils.set_random_seed(0)
    fit(make_model(make_backbone()), 0, 2).save(tmp_path / "half.keras")
    resumed = fit(keras.saving.load_model(tmp_path / "half.keras"), 2, 4)
    for old, new in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(old, new, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        *(
            pytest.param({"method": method, "quantization": "native"}, marks=pytest.mark.slow)
            for method in ("dpsh", "dch")
        ),
        {"method": "dsdh", "quantization": "native"},
        {"method": "greedyhash", "quantization": "native"},
        {"method": lambda: methods.CSQ(16, 3, seed=5), "quantization": "native"},
        {"method": lambda: methods.OrthoHash(16, 3, margin=0.3, seed=5)},
        {"method": with_memory, "quantization": losses.HashSlicedWasserstein(p=1)},
        {"quantization": "hswd-pairs", "quantization_memory": 50},
        {
            "quantization": "none",
            "quantize": "relaxed",
            "head": lambda: HashHead(16, batch_normalization=True, dtype="float32"),
        },
    ],
)
def test_survives_save_and_reload_whole(options, make_backbone, blobs, tmp_path):
    options = {
        name: value() if callable(value) and not isinstance(value, keras.losses.Loss) else value
        for name, value in options.items()
    }
    model = make_model(make_backbone(), **options)
    model.fit(*blobs, batch_size=32, epochs=2, verbose=0)
    if hasattr(model.method, "beta"):
        model.method.beta.assign(3.0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert settings_of(again) == settings_of(model)
    for old, new in zip(state_of(model), state_of(again), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(again.encode(blobs[0]), model.encode(blobs[0]))
    expected = model.evaluate(*blobs, verbose=0, return_dict=True)
    for name, value in again.evaluate(*blobs, verbose=0, return_dict=True).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5)
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    expected = model.fit(*blobs, **options).history["loss"]
    np.testing.assert_allclose(again.fit(*blobs, **options).history["loss"], expected, rtol=1e-4)


def test_encoder_gives_raw_codes_and_encode_packs_their_signs(make_backbone, blobs):
    images, _ = blobs
    model = make_model(make_backbone())
    codes = model.encoder.predict(images, verbose=0)
    assert codes.shape == (96, 16)
    np.testing.assert_array_equal(model.encode(images), pack_codes(codes))
    np.testing.assert_allclose(ops.convert_to_numpy(model(images)), codes, rtol=1e-4, atol=1e-5)


def test_encode_of_no_image_gives_no_code(make_backbone, blobs):
    codes = make_model(make_backbone()).encode(blobs[0][:0])
    assert codes.shape == (0, 2)
    assert codes.dtype == np.uint8


def test_encode_takes_a_dataset(make_backbone, blobs):
    tf = pytest.importorskip("tensorflow")
    images, _ = blobs
    model = make_model(make_backbone())
    batches = tf.data.Dataset.from_tensor_slices(images).batch(20)
    np.testing.assert_array_equal(model.encode(batches), model.encode(images))


def test_mixed_precision_trains_with_codes_in_float32(blobs):
    policy = "mixed_bfloat16"
    backbone = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(dtype=policy),
            keras.layers.Dense(16, "relu", dtype=policy),
        ]
    )
    model = make_model(backbone)
    history = model.fit(*blobs, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert model.encoder.output.dtype == "float32"


def test_non_finite_codes_show_in_the_loss_and_are_refused_by_encode(make_backbone, blobs):
    model = make_model(make_backbone())
    model.head.projection.kernel.assign(np.full((16, 16), np.nan))
    assert not np.isfinite(model.evaluate(*blobs, verbose=0, return_dict=True)["loss"])
    with pytest.raises(ValueError, match="finite"):
        model.encode(blobs[0])


def test_terminate_on_nan_sees_non_finite_labels(make_backbone, blobs):
    images, labels = blobs
    bad = labels.copy()
    bad[0, 0] = np.nan
    model = make_model(make_backbone())
    stop = keras.callbacks.TerminateOnNaN()
    batches = ((images, bad) for _ in range(5))
    history = model.fit(batches, epochs=5, steps_per_epoch=1, callbacks=[stop], verbose=0)
    assert len(history.epoch) == 1


TWO_VIEWS = ["cibhash", "crovca", "ntxent"]


def two_views(images):
    noise = np.random.default_rng(3).normal(size=(2, *images.shape)).astype("float32")
    return tuple(images + 0.05 * noise)


@pytest.mark.parametrize("method", TWO_VIEWS)
@pytest.mark.parametrize(
    "quantization",
    ["hswd", *(pytest.param(q, marks=pytest.mark.slow) for q in ("none", "native", "sign", "swd"))],
)
def test_every_method_without_labels_trains_on_two_views(
    method, quantization, make_backbone, blobs, tmp_path
):
    views = two_views(blobs[0])
    model = make_model(make_backbone(), method=method, quantization=quantization)
    history = model.fit(views, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(list(history.values())).all()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert settings_of(again) == settings_of(model)
    np.testing.assert_array_equal(again.encode(blobs[0]), model.encode(blobs[0]))
    again.fit(views, epochs=1, verbose=0)


def test_views_go_through_the_encoder_once_in_whatever_form_they_come(make_backbone, blobs):
    (first, second), labels = two_views(blobs[0]), blobs[1]
    model = make_model(make_backbone(), method="ntxent", quantization_weight=0.3)
    codes = model.predict(np.concatenate([first, second]), verbose=0)
    expected = np.mean(ops.convert_to_numpy(model.method(None, codes)))
    expected += 0.3 * float(losses.HashSlicedWasserstein()(codes, codes))
    for views, given in (((first, second), None), ([first, second], labels)):
        value = model.evaluate(views, given, batch_size=96, verbose=0, return_dict=True)
        np.testing.assert_allclose(value["loss"], expected, rtol=1e-4)
    for batch in ((first, second), ((first, second),), ((first, second), labels)):
        value = model.evaluate((one for one in [batch]), steps=1, verbose=0, return_dict=True)
        np.testing.assert_allclose(value["loss"], expected, rtol=1e-4)


def test_sample_weights_count_for_both_views(make_backbone, blobs):
    views = two_views(blobs[0])
    model = make_model(make_backbone(), method="ntxent")
    weights = np.random.default_rng(0).uniform(size=96).astype("float32")
    value = model.evaluate(
        list(views), blobs[1], sample_weight=weights, batch_size=96, verbose=0, return_dict=True
    )
    codes = model.predict(np.concatenate(views), verbose=0)
    values = ops.convert_to_numpy(model.method(None, codes))
    expected = np.mean(values * np.tile(weights, 2))
    np.testing.assert_allclose(value["similarity_loss"], expected, rtol=1e-4)


def test_missing_labels_and_views_are_refused(make_backbone, blobs):
    images, labels = blobs
    with pytest.raises(ValueError, match=r"DPSH learns from labels.*cibhash.*need none"):
        make_model(make_backbone(), method="dpsh").fit(images, verbose=0)
    with pytest.raises(ValueError, match="CroVCA takes 2 views of each image. Received: one view"):
        make_model(make_backbone(), method="crovca").fit(images, labels, verbose=0)
    with pytest.raises(ValueError, match="DPSH takes one view of each image. Received: 2 views"):
        make_model(make_backbone(), method="dpsh").fit([images, images], labels, verbose=0)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(m, marks=pytest.mark.slow if m in ("dhn", "dpsh") else ())  # as hashnet
        for m in methods.available()
    ],
)
def test_batch_of_one_trains(method, make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), method=method, quantization="native")
    history = model.fit(images[:3], labels[:3], batch_size=1, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_loss_that_is_not_finite_ends_the_training_with_what_to_look_for(blobs):
    images, labels = blobs
    bad = images.copy()
    bad[40] = np.nan
    model = make_model(keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()]))
    with pytest.raises(ValueError, match="became nan in step 2 of epoch 1.*not finite"):
        model.fit(bad, labels, shuffle=False, verbose=0)


def test_input_alone_is_the_backbone_of_features(blobs, tmp_path):
    features, labels = blobs[0].reshape(96, 16), blobs[1]
    model = make_model(keras.Sequential([keras.Input((16,))]))
    model.fit(features, labels, verbose=0)
    codes = ops.convert_to_numpy(model.head(features))
    np.testing.assert_allclose(model.encoder.predict(features, verbose=0), codes, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.encoder.predict(features, verbose=0), codes, rtol=1e-5)


def test_bad_arguments_are_refused(make_backbone):
    with pytest.raises(ValueError, match=r"`method` must be one of .*hashnet"):
        HashingModel(make_backbone(), bits=16, method="hashnett")
    with pytest.raises(ValueError, match="`bits` must be a positive integer"):
        HashingModel(make_backbone(), bits=0)
    with pytest.raises(ValueError, match="same number of bits"):
        HashingModel(make_backbone(), bits=16, method=methods.DPSH(bits=8))
    with pytest.raises(ValueError, match="same number of bits"):
        HashingModel(make_backbone(), bits=16, head=HashHead(8))
    with pytest.raises(ValueError, match="`quantization` must be one of .*'native'"):
        HashingModel(make_backbone(), bits=16, quantization="hsd")
    with pytest.raises(ValueError, match="QuantizationLoss"):
        HashingModel(make_backbone(), bits=16, quantization=keras.losses.MeanSquaredError())
    with pytest.raises(ValueError, match="`quantize` must be one of"):
        HashingModel(make_backbone(), bits=16, quantize="sign")
    with pytest.raises(ValueError, match="`backbone` must be a built"):
        HashingModel(keras.Sequential([keras.layers.Dense(3)]), bits=16)
    with pytest.raises(ValueError, match="global pooling"):
        HashingModel(keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(3, 3)]), bits=16)
    for quantization in ("none", "native", "sign"):
        with pytest.raises(ValueError, match="`quantization_memory` must be 0 unless"):
            make_model(make_backbone(), quantization=quantization, quantization_memory=10)
    with pytest.raises(ValueError, match="`quantization_memory` must be an integer of at least 0"):
        make_model(make_backbone(), quantization_memory=-1)
    with pytest.raises(ValueError, match="Only one of model and head may have a quantization loss"):
        HashingModel(make_backbone(), bits=16, head=HashHead(16, quantization="hswd"))
    with pytest.raises(ValueError, match="`num_classes` must be given: CSQ keeps"):
        HashingModel(make_backbone(), bits=16, method="csq")
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        methods.HashNet(bits=16, memory_size=5)
    with pytest.raises(ValueError, match="`memory_size` must be an integer of at least 0"):
        methods.HashNet(bits=16, memory_size=-5)


def test_labels_of_another_shape_are_refused(make_backbone, blobs):
    images, labels = blobs

    def fit(labels):
        make_model(make_backbone(), num_classes=3).fit(images, labels, verbose=0)

    with pytest.raises(ValueError, match=r"shape \(batch, classes\), or class numbers"):
        fit(labels[:, None])
    with pytest.raises(ValueError, match="each of the 3 classes"):
        fit(labels[:, :2])
    with pytest.raises(ValueError, match="no labels"):
        fit(None)


@pytest.mark.parametrize(
    ("method", "build_config"),
    [
        ("dpsh", {"input_shape": [32, 3]}),
        (with_memory, {"shapes_dict": {"labels_shape": [32, 3]}}),
        (with_memory, None),
    ],
)
def test_model_whose_file_tells_the_methods_shapes_otherwise_loads(
    method, build_config, make_backbone, blobs, tmp_path
):
    # The first version had no `build`, so Keras wrote the shape of the labels alone.
    model = make_model(make_backbone(), method=method() if callable(method) else method)
    model.fit(*blobs, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    assert config["config"]["method"].pop("build_config")
    if build_config is not None:
        config["config"]["method"]["build_config"] = build_config
    parts["config.json"] = json.dumps(config)
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
    again = keras.saving.load_model(tmp_path / "old.keras")
    for expected, received in zip(state_of(model), state_of(again), strict=True):
        np.testing.assert_array_equal(received, expected)
    assert again.evaluate(*blobs, verbose=0) == pytest.approx(model.evaluate(*blobs, verbose=0))
    again.fit(*blobs, epochs=1, verbose=0)


def test_labels_that_the_method_is_not_defined_for_are_refused_by_fit(make_backbone, blobs):
    images, labels = blobs
    model = make_model(make_backbone(), method="greedyhash")
    with pytest.raises(ValueError, match="GreedyHash needs exactly one label per image.*96 images"):
        model.fit(images, np.ones_like(labels), verbose=0)
    with pytest.raises(ValueError, match=r"Labels must be 0 or 1.*-1.0 at position \(0, "):
        model.fit(images, 2 * labels - 1, verbose=0)
    with pytest.raises(ValueError, match="Class numbers must be integers from 0 to 2. Received: 3"):
        model.fit(images, labels.argmax(axis=1) + 1, verbose=0)


@pytest.mark.parametrize(
    "method",
    ["csq", with_memory, *(pytest.param(m, marks=pytest.mark.slow) for m in ("dsdh", "dch"))],
)
def test_class_numbers_train_like_one_hot_labels(method, make_backbone, blobs):
    images, labels = blobs
    numbers, losses = labels.argmax(axis=1), []
    for y in (labels, numbers, numbers[:, None]):
        keras.utils.set_random_seed(0)
        model = make_model(make_backbone(), method=method() if callable(method) else method)
        losses.append(model.fit(images, y, shuffle=False, epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-5)
