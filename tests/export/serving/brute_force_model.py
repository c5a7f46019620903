"""A small SavedModel with the signatures of an exported one, and its answers in NumPy.

A code is the image's 4×4 grey thumbnail against fixed thresholds: 16 bits. The index is searched
by brute force. It stands for any model: what the tests of client and server need is the contract.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_hashing.encoder.card import Card
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.retrieval import hamming_distance

BITS = 16
PREPROCESSING = ImagePreprocessing(4, 4, 1)
THRESHOLDS = np.arange(BITS) * 16 + 8
FINGERPRINT = "0123456789abcdef"


class BruteForceModel(tf.Module):
    def __init__(self, codes: np.ndarray, ids: list[str] | np.ndarray, card: Card | None) -> None:
        super().__init__()
        self.codes = tf.Variable(codes, trainable=False)
        self.ids = tf.Variable(ids, trainable=False)
        self.card_json = None if card is None else card.model_dump_json()

    def _codes(self, pixels: tf.Tensor) -> tf.Tensor:
        flat = tf.cast(tf.reshape(pixels, [-1, BITS]), tf.int32)
        bits = tf.reshape(tf.cast(flat > THRESHOLDS, tf.int32), [-1, BITS // 8, 8])
        return tf.cast(tf.reduce_sum(bits * [128, 64, 32, 16, 8, 4, 2, 1], axis=-1), tf.uint8)

    def encode(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": self._codes(PREPROCESSING.resize(images))}

    def encode_bytes(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": self._codes(PREPROCESSING.decode_batch(encoded))}

    def search_code(
        self, code: tf.Tensor, k: tf.Tensor, max_distance: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        checks = [
            tf.debugging.assert_greater_equal(k, 1, "`k` must be at least 1"),
            tf.debugging.assert_less_equal(k, 1000, "`k` must be at most 1000"),
        ]
        with tf.control_dependencies(checks):
            differences = tf.bitwise.bitwise_xor(code[:, None, :], self.codes[None])
        counts = tf.cast(tf.raw_ops.PopulationCount(x=differences), tf.int32)
        distances = tf.reduce_sum(counts, axis=-1)
        size = tf.shape(self.codes)[0]
        nearness, positions = tf.math.top_k(-distances, tf.minimum(k, size))
        found = -nearness <= max_distance
        none = tf.constant("" if self.ids.dtype == tf.string else -1, self.ids.dtype)
        ids = tf.where(found, tf.gather(self.ids, positions), none)
        padding = [[0, 0], [0, k - tf.minimum(k, size)]]
        return {
            "ids": tf.pad(ids, padding, constant_values=none),
            "distances": tf.pad(tf.where(found, -nearness, -1), padding, constant_values=-1),
        }

    def search(
        self, encoded: tf.Tensor, k: tf.Tensor, max_distance: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return self.search_code(self.encode_bytes(encoded)["code"], k, max_distance)

    def card(self, request: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"card": tf.fill(tf.shape(request), tf.constant(self.card_json))}


def make_card(fingerprint: str = FINGERPRINT) -> Card:
    return Card.model_validate(
        {
            "bits": BITS,
            "preprocessing": {**PREPROCESSING.to_config(), "description": "thumbnail"},
            "signatures": ["encode", "encode_bytes", "search", "search_code", "card"],
            "class_names": [],
            "training": {},
            "metrics": {},
            "fingerprint": fingerprint,
            "versions": {},
            "created": "2026-01-01T00:00:00Z",
        }
    )


def save_model(
    folder: Path,
    codes: np.ndarray,
    ids: list[str] | np.ndarray,
    fingerprint: str = FINGERPRINT,
    with_card: bool = True,
) -> Path:
    """Writes a version whole or not at all, as a publisher does."""
    card = make_card(fingerprint)
    model = BruteForceModel(codes, ids, card if with_card else None)
    limits = {
        "k": tf.constant(10, tf.int32),
        "max_distance": tf.constant(2**31 - 1, tf.int32),
    }
    specs = {
        "encode": {"images": tf.TensorSpec([None, None, None, 1], tf.uint8)},
        "encode_bytes": {"encoded": tf.TensorSpec([None], tf.string)},
        "search": {"encoded": tf.TensorSpec([None], tf.string)},
        "search_code": {"code": tf.TensorSpec([None, BITS // 8], tf.uint8)},
    }
    if with_card:
        specs["card"] = {"request": tf.TensorSpec([None], tf.string)}
    signatures = {}
    for name, inputs in specs.items():
        optional = limits if name.startswith("search") else {}
        scalars = {key: tf.TensorSpec([], tf.int32) for key in optional}
        function = tf.function(getattr(model, name)).get_concrete_function(
            **{
                key: tf.TensorSpec(spec.shape, spec.dtype, name=key)
                for key, spec in {**inputs, **scalars}.items()
            }
        )
        signatures[name] = function
    signatures["serving_default"] = signatures["encode"]
    temporary = folder.parent / f".{folder.name}.partial"
    folder.parent.mkdir(parents=True, exist_ok=True)
    tf.saved_model.save(model, str(temporary), signatures=signatures)
    _set_defaults(temporary, limits)
    card.save(temporary)
    return temporary.rename(folder)


def _set_defaults(folder: Path, limits: dict[str, tf.Tensor]) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = folder / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    for name in ("search", "search_code"):
        defaults = saved.meta_graphs[0].signature_def[name].defaults
        for key, value in limits.items():
            defaults[key].CopyFrom(tf.make_tensor_proto(value))
    path.write_bytes(saved.SerializeToString())


def expected_codes(pixels: np.ndarray) -> np.ndarray:
    """Codes of images that have the model's size, uint8 [n, 4, 4, 1]."""
    return np.packbits(pixels.reshape(-1, BITS) > THRESHOLDS, axis=1)


def expected_neighbours(
    queries: np.ndarray, codes: np.ndarray, ids: np.ndarray, k: int, max_distance: int = BITS
) -> tuple[list[list], list[list]]:
    """By a stable sort of all distances."""
    none = "" if np.asarray(ids).dtype.kind == "U" else -1
    all_ids, all_distances = [], []
    for row in hamming_distance(queries, codes):
        order = [j for j in np.argsort(row, kind="stable")[:k] if row[j] <= max_distance]
        missing = k - len(order)
        all_ids.append([np.asarray(ids)[j].item() for j in order] + [none] * missing)
        all_distances.append([int(row[j]) for j in order] + [-1] * missing)
    return all_ids, all_distances
