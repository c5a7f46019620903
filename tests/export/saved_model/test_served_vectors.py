"""A SavedModel of an encoder of vectors gives what the Keras model gives, bit for bit."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from served_session import Session
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from export.saved_model.export_saved_model import (
    VECTOR_SEARCH_SIGNATURES,
    VECTOR_SIGNATURES,
    export_saved_model,
)
from export.saved_model.served_encoder import ServedEncoder
from export.saved_model.warm_up import WARM_UP
from keras_hashing.encoder import HashEncoder
from keras_hashing.encoder.card import MODEL_CARD, Card, VectorCard
from keras_hashing.retrieval import CodeIndex, pack_codes


@pytest.fixture(scope="module")
def version(vector_encoder: HashEncoder, vector_index: CodeIndex, tmp_path_factory) -> Path:
    """It ranks by continuous codes."""
    folder = tmp_path_factory.mktemp("vectors")
    return export_saved_model(vector_encoder, folder, index=vector_index, rerank=True)


@pytest.fixture(scope="module")
def session(version: Path) -> Session:
    return Session(version)


def test_signatures_are_those_of_vectors(session: Session, version: Path) -> None:
    names = VECTOR_SIGNATURES + VECTOR_SEARCH_SIGNATURES
    assert {name for name in session.signatures if name[0] != "_"} == set(names)
    card = Card.load(version)
    assert card.signatures == names
    assert card.preprocessing == VectorCard(vector_width=5)
    assert card.vector_width == 5


def test_codes_are_those_of_keras(
    session: Session, version: Path, vector_encoder: HashEncoder, vectors: np.ndarray
) -> None:
    codes = vector_encoder.encode(vectors)
    assert len(np.unique(codes, axis=0)) > 20
    for name in ("encode_vectors", "serving_default"):
        np.testing.assert_array_equal(session(name, vectors=vectors)["code"], codes)
        assert session(name, vectors=vectors[:0])["code"].shape == (0, 2)
    continuous = session("continuous", vectors=vectors)["continuous"]
    np.testing.assert_allclose(continuous, vector_encoder.continuous(vectors), 1e-5, 1e-6)
    np.testing.assert_array_equal(pack_codes(continuous), codes)
    served = ServedEncoder.load(version)
    assert served.vector_width == 5
    np.testing.assert_array_equal(served.encode(vectors), codes)
    assert served.encode(vectors[:0]).shape == (0, 2)


def test_search_finds_what_the_index_finds(
    session: Session, vector_encoder: HashEncoder, vector_index: CodeIndex, vectors: np.ndarray
) -> None:
    queries, position = vectors[:3], {name.encode(): at for at, name in enumerate(vector_index.ids)}
    k, radius = np.array([40, 4, 1], np.int32), np.array([12, 12, 0], np.int32)
    codes, continuous = vector_encoder.encode(queries), vector_encoder.continuous(queries)
    by_vector = session("search_vectors", vectors=queries, k=k, max_distance=radius)
    by_code = session("search_code", code=codes, k=k, max_distance=radius)
    for row in range(3):
        positions, distances = vector_index.search(codes[row], int(k[row]), int(radius[row]))
        within = positions[0] >= 0
        found = [position.get(name, -1) for name in by_code["ids"][row, : k[row]].tolist()]
        assert found == positions[0].tolist()
        np.testing.assert_array_equal(by_code["distances"][row, : k[row]], distances[0])
        # The same items, and nearer ones, in the order of the continuous code.
        ranked = [position[name] for name in by_vector["ids"][row, : within.sum()].tolist()]
        signs = np.unpackbits(vector_index.codes[ranked], axis=1, count=12) * 2.0 - 1
        assert (np.diff(signs @ continuous[row]) <= 1e-5).all()
        assert set(by_vector["distances"][row].tolist()) <= {*range(radius[row] + 1), -1}
    assert sorted(by_vector["ids"][0].tolist()) == sorted(position)
    assert by_vector["ids"][0].tolist() != by_code["ids"][0].tolist()


@pytest.mark.parametrize("signature", ["encode_vectors", "continuous", "search_vectors"])
def test_what_is_no_finite_vector_is_an_invalid_argument(
    signature: str, session: Session, vectors: np.ndarray
) -> None:
    bad = vectors[:6].copy()
    bad[2, 1], bad[4, 0] = np.nan, np.inf
    rules = {
        r"must be finite. Received: values that are not, in row\] \[2 4\]": bad,
        r"must have shape \[n, 5\]. Received:\] \[6 4\]": bad[:, :4],
        r"\[5\] is not compatible with expected shape \[\?,5\]": vectors[0],
    }
    for message, given in rules.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            session.unchecked(signature, vectors=given)
    session(signature, vectors=vectors)  # it goes on


def test_each_signature_is_warmed_up(version: Path, session: Session) -> None:
    replayed = []
    for record in tf.data.TFRecordDataset(str(version / WARM_UP)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        session(request.model_spec.signature_name, **inputs)
        replayed.append(request.model_spec.signature_name)
    assert replayed == VECTOR_SIGNATURES + VECTOR_SEARCH_SIGNATURES


def test_what_does_not_fit_the_model_is_refused(version: Path) -> None:
    served = ServedEncoder.load(version)
    with pytest.raises(ValueError, match=r"shape \[n, 5\]. Received: shape=\(1, 4\)"):
        served.encode(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="model of images. Received: one of vectors of width 5"):
        served.encode_bytes([b""])


def test_the_code_of_its_card_runs(version: Path, vector_encoder: HashEncoder) -> None:
    text = (version / MODEL_CARD).read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    vectors = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
    names = {"version": str(version), "vectors": vectors}
    exec(code, names)
    np.testing.assert_array_equal(names["codes"], vector_encoder.encode(vectors))
    assert "Vectors must have 5 values" in text
