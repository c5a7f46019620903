"""Two replicas of batch n train like one of batch 2n."""

import keras
import numpy as np
import pytest

from keras_hashing import losses, methods
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute needs the TensorFlow backend"
)


@pytest.fixture(scope="module")
def two_replicas():
    """One strategy for all tests: collectives of two in one process share their keys."""
    from training.trainer.distribution import mirrored_strategy

    strategy = mirrored_strategy(("/device:CPU:0", "/device:CPU:1"))
    assert strategy.num_replicas_in_sync == 2
    return strategy


def hashing_model(**options):
    def make(backbone):
        return HashingModel(backbone, bits=16, **options)

    return make


def with_loss(loss):
    def make(backbone):
        model = keras.Sequential([keras.Input((4, 4, 1)), backbone, HashHead(16)])
        model.loss_to_compile = loss
        return model

    return make


def with_fixed_draw(loss):
    """The loss with the same draw for every batch: a draw depends on the last bit of a code."""
    import tensorflow as tf

    drawn = loss.draw(tf.random.stateless_normal((32, 16), (1, 2)))
    loss.draw = lambda batch: drawn
    return with_loss(loss)


def with_head_quantization(backbone):
    head = HashHead(16, quantization="hswd", quantization_weight=1.0, quantization_memory=50)
    classifier = keras.layers.Dense(3, "softmax")
    model = keras.Sequential([keras.Input((4, 4, 1)), backbone, head, classifier])
    model.loss_to_compile = "categorical_crossentropy"
    return model


TWO_VIEWS = ("cibhash", "crovca", "ntxent")


def with_plain_head(backbone, method):
    """Without batch normalization, which each replica does by itself."""
    return HashingModel(backbone, bits=16, method=method, head=HashHead(16, dtype="float32"))


MAKERS = {
    "hswd": with_loss(losses.HashSlicedWasserstein()),
    "hswd_p1": with_loss(losses.HashSlicedWasserstein(p=1)),
    "swd": lambda backbone: with_fixed_draw(losses.SlicedWasserstein(20))(backbone),
    "ot": lambda backbone: with_fixed_draw(losses.OptimalTransport())(backbone),
    "hashing_loss": with_loss(losses.HashingLoss(losses.HashNet())),
    "pairs": lambda backbone: with_fixed_draw(losses.HashSlicedWassersteinPairs())(backbone),
    "head": with_head_quantization,
    "dpsh": hashing_model(method="dpsh"),
    "hashnet": hashing_model(method="hashnet", quantize="relaxed"),
    **{
        name: hashing_model(method=name, quantization="native", num_classes=3)
        for name in ("dch", "dsdh", "greedyhash")
    },
    **{name: lambda backbone, name=name: with_plain_head(backbone, name) for name in TWO_VIEWS},
    "memory": lambda backbone: HashingModel(
        backbone,
        bits=16,
        method=methods.HashNet(bits=16, num_classes=3, memory_size=50),
        quantization_memory=50,
    ),
}


def train(maker, make_backbone, data, strategy):
    """Loss and weights after three steps of plain gradient descent, batch 32 in all."""
    import tensorflow as tf

    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = maker(make_backbone())
        loss = getattr(model, "loss_to_compile", None)
        model.compile(keras.optimizers.SGD(0.1), loss=loss, jit_compile=False)
        batches = tf.data.Dataset.from_tensor_slices(data).batch(32)
        history = model.fit(batches, epochs=1, shuffle=False, verbose=0).history
        evaluated = model.evaluate(batches, verbose=0, return_dict=True)
    return history, evaluated, [np.asarray(value) for value in model.get_weights()]


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("head", "memory", "dsdh") else pytest.param(name, marks=pytest.mark.slow)
        for name in MAKERS
    ],
)
def test_two_replicas_equal_one_with_twice_the_batch(name, make_backbone, blobs, two_replicas):
    import tensorflow as tf

    if name in TWO_VIEWS:
        blobs = ((blobs[0], blobs[0][::-1] + 1), blobs[1])
    alone = train(MAKERS[name], make_backbone, blobs, tf.distribute.get_strategy())
    together = train(MAKERS[name], make_backbone, blobs, two_replicas)
    for expected, received in zip(alone[:2], together[:2], strict=True):
        assert set(expected) == set(received)
        for key, value in expected.items():
            np.testing.assert_allclose(received[key], value, rtol=2e-4, atol=1e-5, err_msg=key)
    for expected, received in zip(alone[2], together[2], strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        *(("hswd", 33), ("head", 35), ("hashnet", 33)),
        *(
            pytest.param(name, samples, marks=pytest.mark.slow)
            for name, samples in (("hswd", 35), ("head", 33), ("hashnet", 35))
        ),
    ],
)
def test_an_uneven_last_batch_is_finite_even_where_a_replica_gets_nothing(
    name, samples, make_backbone, blobs, two_replicas
):
    data = tuple(part[:samples] for part in blobs)
    history, evaluated, weights = train(MAKERS[name], make_backbone, data, two_replicas)
    for values in (*history.values(), *evaluated.values(), *weights):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("loss", [losses.SlicedWasserstein(20), losses.OptimalTransport()])
def test_replicas_draw_the_same_directions_and_targets(loss, two_replicas, rng):
    import tensorflow as tf

    from keras_hashing import backend

    codes = tf.constant(rng.normal(size=(8, 16)).astype("float32"))

    @tf.function
    def draws():
        def draw():
            own = codes[:4] + tf.cast(
                tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32
            )
            return tf.nest.flatten(loss.draw(backend.all_gather(own)))[-1]

        return two_replicas.run(draw)

    first, second = two_replicas.experimental_local_results(draws())
    np.testing.assert_array_equal(first, second)
