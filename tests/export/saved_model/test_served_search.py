"""The signatures `search` and `search_code` answer as brute force does, by the user's ids."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from served_session import Session
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from export.saved_model.export_saved_model import SEARCH_SIGNATURES, SIGNATURES, export_saved_model
from export.saved_model.graph_ops import check_standard_ops
from export.saved_model.warm_up import WARM_UP
from keras_hashing.encoder.card import Card
from keras_hashing.retrieval import CodeIndex, unpack_codes
from training.runs.run_folder import Run

ITEMS = 300
ODD_IDS = ["", "ünï — 猫", "line\nbreak", "nul\0", "not utf-8 \udcff", "x" * 1000, "dog.jpg"]


def make_index(run: Run, images: np.ndarray, ids: list[str], integer_ids: bool) -> CodeIndex:
    return CodeIndex(
        run.model.encode(images), ids, run.encoder.fingerprint, integer_ids=integer_ids
    )


@pytest.fixture(scope="module")
def indexes(grey_run: Run, digits: np.ndarray) -> dict[str, CodeIndex]:
    images = digits[:ITEMS]
    strings = ODD_IDS + [f"train/{position}" for position in range(ITEMS - len(ODD_IDS))]
    numbers = [str(number) for number in [-(2**63), 2**63 - 1, *range(10**12, 10**12 + ITEMS - 2)]]
    return {
        "string": make_index(grey_run, images, strings, integer_ids=False),
        "int64": make_index(grey_run, images, numbers, integer_ids=True),
    }


@pytest.fixture(scope="module")
def folders(
    grey_run: Run, indexes: dict[str, CodeIndex], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A version with each of `indexes`; that of string ids ranks by continuous codes as well."""
    root = tmp_path_factory.mktemp("searching")
    return {
        name: export_saved_model(
            grey_run.encoder, root / name, index=index, rerank=name == "string"
        )
        for name, index in indexes.items()
    }


@pytest.fixture(scope="module")
def sessions(folders: dict[str, Path]) -> dict[str, Session]:
    return {name: Session(folder) for name, folder in folders.items()}


def brute_force(
    index: CodeIndex, codes: np.ndarray, k: int, max_distance: int
) -> tuple[list[list[Any]], np.ndarray]:
    """Ids and distances after a stable sort of all distances, padded to k."""
    bits = unpack_codes(index.codes, index.bits)
    ids = [int(name) for name in index.ids] if index.integer_ids else served_strings(index)
    missing = -1 if index.integer_ids else b""
    all_ids, all_distances = [], []
    for query in unpack_codes(codes, index.bits):
        distance = (bits != query).sum(axis=1)
        order = [at for at in np.argsort(distance, kind="stable") if distance[at] <= max_distance]
        padding = max(0, k - len(order))
        all_ids.append([ids[at] for at in order[:k]] + [missing] * padding)
        all_distances.append([distance[at] for at in order[:k]] + [-1] * padding)
    return all_ids, np.array(all_distances).reshape(len(codes), k)


def served_strings(index: CodeIndex) -> list[bytes]:
    return [name.encode("utf-8", "surrogatepass") for name in index.ids]


@pytest.mark.parametrize("name", ["string", "int64"])
@pytest.mark.parametrize(
    "limits",
    [{}, {"k": 1}, {"k": 400}, {"max_distance": 4}, {"k": 60, "max_distance": 3}, {"k": 1000},
     {"max_distance": 10**6}],
)  # fmt: skip
def test_codes_find_what_brute_force_finds(
    name: str,
    limits: dict[str, int],
    sessions: dict[str, Session],
    indexes: dict[str, CodeIndex],
    grey_run: Run,
    digits: np.ndarray,
) -> None:
    codes = grey_run.model.encode(digits[200:400])
    answer = sessions[name]("search_code", code=codes, **limits)
    ids, distances = brute_force(
        indexes[name], codes, limits.get("k", 10), limits.get("max_distance", 32)
    )
    assert answer["distances"].dtype == np.int32
    np.testing.assert_array_equal(answer["distances"], distances)
    assert answer["ids"].tolist() == ids
    if name == "int64":
        assert answer["ids"].dtype == np.int64


@pytest.mark.parametrize("name", ["string", "int64"])
def test_each_row_may_have_limits_of_its_own(
    name: str,
    sessions: dict[str, Session],
    grey_run: Run,
    digits: np.ndarray,
    encode_image: Callable[..., bytes],
) -> None:
    """So a server can join requests: each row is answered as if it were asked alone."""
    session, images = sessions[name], digits[300:304]
    calls = {
        "search_code": ("code", grey_run.model.encode(images)),
        "search": ("encoded", np.array([encode_image(image[..., 0]) for image in images], object)),
    }
    k, max_distance = np.array([3, 150, 1, 20], np.int32), np.array([32, 9, 0, 4], np.int32)
    missing = -1 if name == "int64" else b""
    for signature, (given, queries) in calls.items():
        joined = session(signature, **{given: queries}, k=k, max_distance=max_distance)
        assert joined["ids"].shape == (4, 150)
        for row in range(4):
            limits = {"k": k[row], "max_distance": max_distance[row : row + 1]}
            alone = session(signature, **{given: queries[row : row + 1]}, **limits)
            for output, padding in (("ids", missing), ("distances", -1)):
                found = joined[output][row].tolist()
                assert found[: k[row]] == alone[output][0].tolist()
                assert set(found[k[row] :]) <= {padding}


def test_files_find_what_their_codes_find(
    sessions: dict[str, Session],
    grey_run: Run,
    digits: np.ndarray,
    encode_image: Callable[..., bytes],
) -> None:
    files = [encode_image(image[..., 0]) for image in digits[290:310]]
    by_file = sessions["int64"]("search", encoded=files, k=7)
    by_code = sessions["int64"]("search_code", code=grey_run.model.encode(digits[290:310]), k=7)
    np.testing.assert_array_equal(by_file["ids"], by_code["ids"])
    np.testing.assert_array_equal(by_file["distances"], by_code["distances"])


def test_rerank_orders_by_the_continuous_code(
    sessions: dict[str, Session],
    indexes: dict[str, CodeIndex],
    grey_run: Run,
    digits: np.ndarray,
    encode_image: Callable[..., bytes],
) -> None:
    images = digits[500:520]
    files = [encode_image(image[..., 0]) for image in images]
    answer = sessions["string"]("search", encoded=files, k=ITEMS)
    index = indexes["string"]
    continuous = grey_run.model.encoder.predict(images, verbose=0)
    similarity = continuous @ (2.0 * unpack_codes(index.codes, 32) - 1.0).T
    position = {name: at for at, name in enumerate(served_strings(index))}
    for row, ids, distances in zip(similarity, answer["ids"], answer["distances"], strict=True):
        order = [position[name] for name in ids.tolist()]
        assert sorted(order) == list(range(ITEMS))
        assert (np.diff(row[order]) <= 1e-3).all()
        assert (np.diff(distances) < 0).any()  # it is not the order of the distances


@pytest.mark.parametrize("signature", SEARCH_SIGNATURES)
@pytest.mark.parametrize("name", ["string", "int64"])
def test_no_query_gets_no_answer(signature: str, name: str, sessions: dict[str, Session]) -> None:
    inputs: dict[str, np.ndarray] = (
        {"code": np.zeros((0, 4), np.uint8)}
        if signature == "search_code"
        else {"encoded": np.zeros(0, dtype=np.bytes_)}
    )
    answer = sessions[name](signature, **inputs, k=3)
    assert answer["ids"].shape == answer["distances"].shape == (0, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"code": np.zeros((2, 3), np.uint8)}, "`code` must have 4 bytes a row"),
        ({"code": np.zeros((2, 8), np.uint8)}, "the index holds codes of 32 bits"),
        ({"code": np.zeros(4, np.uint8)}, None),
        ({"code": np.zeros((1, 4), np.int32)}, None),
        ({"k": np.int32(0)}, "`k` must be an integer from 1 to 1000"),
        ({"k": np.int32(-1)}, "`k` must be an integer from 1 to 1000"),
        ({"k": np.int32(1001)}, "`k` must be an integer from 1 to 1000"),
        ({"k": np.int32(2**31 - 1)}, "`k` must be an integer from 1 to 1000"),
        ({"k": np.array([3, 4], np.int32)}, "`k` must be one number, or one per row"),
        ({"max_distance": np.array([3, 4], np.int32)}, "`max_distance` must be one number, or"),
        ({"code": np.zeros((2, 4), np.uint8), "k": np.array([3, 0], np.int32)}, "`k` must be an"),
        ({"max_distance": np.int32(-1)}, "`max_distance` must be at least 0"),
        (
            {"code": np.zeros((1049, 4), np.uint8), "k": np.int32(1000)},
            "Rows times `k` must be at most 1048576",
        ),
    ],
)
def test_a_wrong_request_is_an_invalid_argument(
    inputs: dict[str, np.ndarray], message: str | None, sessions: dict[str, Session]
) -> None:
    request = {"code": np.zeros((1, 4), np.uint8), **inputs}
    for _ in range(2):  # the second time with the optimised graph
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            sessions["string"].unchecked("search_code", **request)
    sessions["string"]("search_code", code=np.zeros((1, 4), np.uint8))  # it goes on


def test_bits_that_do_not_fill_their_bytes_are_trained_exported_and_searched(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = make_run((4, 4, 1), bits=12)
    images = np.random.default_rng(1).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    signs = np.asarray(run.encoder.continuous(images)) > 0
    index = CodeIndex(
        run.encoder.encode(images), list(map(str, range(40))), run.encoder.fingerprint, bits=12
    )
    session = Session(export_saved_model(run.encoder, tmp_path, index=index, rerank=True))
    np.testing.assert_array_equal(session("encode", images=images)["code"], index.codes)
    answer = session("search_code", code=index.codes, k=5)
    distances = (signs[:, None] != signs[None]).sum(axis=-1)
    np.testing.assert_array_equal(answer["distances"], np.sort(distances, axis=1)[:, :5])


@pytest.mark.parametrize("integer_ids", [True, False])
def test_an_empty_index_answers_nothing(integer_ids: bool, grey_run: Run, tmp_path: Path) -> None:
    codes = np.zeros((0, 4), np.uint8)
    index = CodeIndex(codes, [], grey_run.encoder.fingerprint, integer_ids=integer_ids)
    session = Session(export_saved_model(grey_run.encoder, tmp_path, index=index))
    answer = session("search_code", code=np.zeros((2, 4), np.uint8), k=2)
    missing = -1 if integer_ids else b""
    assert answer["ids"].tolist() == [[missing] * 2] * 2
    assert answer["distances"].tolist() == [[-1] * 2] * 2


def test_the_card_names_the_index(folders: dict[str, Path]) -> None:
    for name, folder in folders.items():
        card = Card.load(folder)
        assert card.signatures == SIGNATURES + SEARCH_SIGNATURES
        assert card.index is not None
        assert card.index.model_dump() == {
            "items": ITEMS,
            "ids": name,
            "default_k": 10,
            "largest_k": 1000,
            "rerank": name == "string",
            "batchable": True,
        }


def test_the_graph_holds_standard_ops_and_neither_codes_nor_ids(
    folders: dict[str, Path], exports: dict[str, Path]
) -> None:
    for folder in folders.values():
        check_standard_ops(folder)
        graph = (folder / "saved_model.pb").read_bytes()
        assert b"train/17" not in graph
        assert len(graph) < 4 * (exports["grey"] / "saved_model.pb").stat().st_size


def test_an_index_of_another_code_space_is_refused(
    grey_run: Run, colour_run: Run, digits: np.ndarray, tmp_path: Path
) -> None:
    index = make_index(grey_run, digits[:1], ["a"], integer_ids=False)
    with pytest.raises(
        ValueError, match=f"{grey_run.encoder.fingerprint}.*{colour_run.encoder.fingerprint}"
    ):
        export_saved_model(colour_run.encoder, tmp_path / "m", index=index)
    with pytest.raises(ValueError, match="needs an index"):
        export_saved_model(colour_run.encoder, tmp_path / "m", rerank=True)
    assert list(tmp_path.iterdir()) == []


def test_every_warm_up_request_can_be_answered(
    folders: dict[str, Path], sessions: dict[str, Session], exports: dict[str, Path]
) -> None:
    replayed = {"string": folders["string"], "int64": folders["int64"], "none": exports["grey"]}
    for name, folder in replayed.items():
        session = sessions[name] if name in sessions else Session(folder)
        answered = []
        for record in tf.data.TFRecordDataset(str(folder / WARM_UP)).as_numpy_iterator():
            log = PredictionLog.FromString(record)
            assert log.WhichOneof("log_type") == "predict_log"
            request = log.predict_log.request
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            outputs = session(request.model_spec.signature_name, **inputs)
            assert all(len(output) == 1 for output in outputs.values())
            answered.append(request.model_spec.signature_name)
        assert answered == Card.load(folder).signatures
