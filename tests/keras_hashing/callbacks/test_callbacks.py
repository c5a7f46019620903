import keras
import numpy as np
import pytest

from keras_hashing import losses, methods, retrieval
from keras_hashing.callbacks import RetrievalEvaluation, ScaleContinuation
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel


@pytest.fixture
def model(make_backbone):
    model = HashingModel(make_backbone(), bits=16)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def split(blobs):
    images, labels = blobs
    return (images[:16], labels[:16]), (images[16:], labels[16:])


def test_retrieval_figures_are_those_of_the_trained_model(model, blobs):
    query, database = split(blobs)
    callback = RetrievalEvaluation(query, database, k=20, radius=1)
    history = model.fit(*database, epochs=3, callbacks=[callback], verbose=0).history
    expected = retrieval.mean_average_precision(
        model.encode(query[0]), query[1], model.encode(database[0]), database[1], k=20
    )
    assert len(history["retrieval_map"]) == 3
    assert history["retrieval_map"][-1] == pytest.approx(expected)
    assert 0 <= history["retrieval_precision_within_radius"][-1] <= 1


def test_evaluates_every_n_epochs_and_after_the_last(model, blobs):
    query, database = split(blobs)
    callback = RetrievalEvaluation(query, database, every=2)
    history = model.fit(*database, epochs=5, callbacks=[callback], verbose=0).history
    assert len(history["retrieval_map"]) == 3  # after epochs 2, 4 and 5


def test_model_checkpoint_early_stopping_and_tensorboard_use_the_figures(model, blobs, tmp_path):
    pytest.importorskip("tensorboard")
    query, database = split(blobs)
    callbacks = [
        RetrievalEvaluation(query, database),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", monitor="retrieval_map", mode="max", save_best_only=True
        ),
        keras.callbacks.EarlyStopping("retrieval_map", mode="max", patience=2, min_delta=2.0),
        keras.callbacks.TensorBoard(tmp_path / "logs"),
    ]
    history = model.fit(*database, epochs=10, callbacks=callbacks, verbose=0)
    assert len(history.epoch) == 3  # no improvement of 2.0 is possible
    assert (tmp_path / "best.keras").exists()
    events = b"".join(path.read_bytes() for path in (tmp_path / "logs").rglob("events*"))
    for name in (b"epoch_retrieval_map", b"epoch_bit_balance", b"epoch_similarity_loss"):
        assert name in events


def test_retrieval_evaluation_takes_datasets(model, blobs):
    tf = pytest.importorskip("tensorflow")
    query, database = split(blobs)
    of_arrays = RetrievalEvaluation(query, database)
    of_datasets = RetrievalEvaluation(
        *(tf.data.Dataset.from_tensor_slices(pair).batch(7) for pair in (query, database))
    )
    of_arrays.set_model(model)
    of_datasets.set_model(model)
    # A product of matrices may round otherwise in a batch of another size.
    assert of_datasets.measure() == pytest.approx(of_arrays.measure(), rel=1e-6)


def test_a_dataset_that_reshuffles_keeps_images_and_labels_together(model, blobs):
    tf = pytest.importorskip("tensorflow")
    query, database = split(blobs)
    expected = RetrievalEvaluation(query, database)
    shuffled = RetrievalEvaluation(
        *(
            tf.data.Dataset.from_tensor_slices(pair).shuffle(100).batch(7)
            for pair in (query, database)
        )
    )
    model.fit(*database, epochs=5, verbose=0)
    expected.set_model(model)
    shuffled.set_model(model)
    assert expected.measure()["map"] > 0.8
    assert shuffled.measure()["map"] == pytest.approx(expected.measure()["map"])


def test_retrieval_evaluation_watches_any_model(make_backbone, blobs):
    query, database = split(blobs)
    backbone = make_backbone()
    head = HashHead(16, quantization="hswd")
    inputs = keras.Input((4, 4, 1))
    codes = head(backbone(inputs))
    classifier = keras.Model(inputs, keras.layers.Dense(3, "softmax")(codes))
    classifier.compile("adam", "categorical_crossentropy")
    callback = RetrievalEvaluation(query, database, encoder=keras.Model(inputs, codes))
    history = classifier.fit(*database, callbacks=[callback], verbose=0).history
    assert 0 < history["retrieval_map"][0] <= 1

    by_compile = keras.Sequential([keras.Input((4, 4, 1)), make_backbone(), HashHead(16)])
    by_compile.compile("adam", losses.HashingLoss(losses.DPSH()))
    history = by_compile.fit(
        *database, callbacks=[RetrievalEvaluation(list(query), list(database))], verbose=0
    ).history
    assert 0 < history["retrieval_map"][0] <= 1


def test_a_model_without_codes_is_refused_before_it_trains(make_backbone, blobs):
    query, database = split(blobs)
    classifier = keras.Sequential([keras.Input((4, 4, 1)), make_backbone()])
    classifier.add(keras.layers.Dense(3, "softmax"))
    classifier.add(keras.layers.Reshape((3, 1)))
    classifier.compile("adam", "categorical_crossentropy")
    with pytest.raises(ValueError, match=r"needs an encoder.*output shape \(None, 3, 1\)"):
        classifier.fit(*database, callbacks=[RetrievalEvaluation(query, database)], verbose=0)


def test_scale_starts_at_the_methods_own_beta(make_backbone, blobs):
    method = methods.HashNet(bits=16, beta=3.0)
    model = HashingModel(make_backbone(), bits=16, method=method)
    model.compile("adam")
    model.fit(*blobs, callbacks=[ScaleContinuation(every=1000)], verbose=0)
    assert float(np.asarray(method.beta.value)) == 3.0


def test_scale_grows_as_in_the_formula():
    schedule = ScaleContinuation(initial=2.0, gamma=0.01, power=0.5, every=100)
    assert schedule.beta_at(99) == 2.0
    assert schedule.beta_at(250) == pytest.approx(2.0 * (1 + 0.01 * 200) ** 0.5)
    assert ScaleContinuation(**schedule.get_config()).beta_at(250) == schedule.beta_at(250)


def test_scale_counts_steps_when_several_are_executed_at_once(make_backbone, blobs):
    model = HashingModel(make_backbone(), bits=16)
    model.compile("adam", steps_per_execution=4)
    schedule = ScaleContinuation(gamma=1.0, power=1.0, every=2)
    model.fit(*blobs, batch_size=16, epochs=3, callbacks=[schedule], verbose=0)
    assert float(np.asarray(model.method.beta.value)) == schedule.beta_at(18)


def test_scale_continuation_refuses_a_model_without_a_scale(make_backbone, blobs):
    model = HashingModel(make_backbone(), bits=16, method="dpsh")
    model.compile("adam")
    with pytest.raises(ValueError, match="needs a `HashingModel` whose method has a scale"):
        model.fit(*blobs, callbacks=[ScaleContinuation()], verbose=0)


def test_bad_arguments_are_refused(blobs):
    query, database = split(blobs)
    with pytest.raises(ValueError, match="`every` must be a positive integer"):
        RetrievalEvaluation(query, database, every=0)
    for options in ({"initial": 0}, {"gamma": -1}, {"every": 0}):
        name = next(iter(options))
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            ScaleContinuation(**options)


def test_native_quantization_of_hashnet_is_its_continuation(make_backbone, blobs):
    def beta_after(quantization, *callbacks):
        model = HashingModel(make_backbone(), bits=16, quantization=quantization)
        model.compile("adam")
        model.optimizer.build(model.trainable_variables)
        model.optimizer.iterations.assign(198)
        model.fit(*blobs, callbacks=list(callbacks), batch_size=32, epochs=2, verbose=0)
        return float(np.asarray(model.method.beta.value))

    assert beta_after("none") == 1
    assert beta_after("native") == pytest.approx((1 + 0.005 * 200) ** 0.5)
    assert beta_after("native", ScaleContinuation(gamma=1.0, power=1.0, every=100)) == 201
