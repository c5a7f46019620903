"""What the clients do, step by step, without a network."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from brute_force_model import make_card

from keras_hashing.client import (
    CardUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    ServerBusyError,
    ServerUnreachableError,
    ServingError,
    Tls,
    VersionNotLoadedError,
)
from keras_hashing.client.calls import (
    GetMetadata,
    GetStatus,
    Model,
    ModelMetadata,
    Predict,
    Prediction,
    Signature,
    TensorSpec,
    VersionState,
)
from keras_hashing.client.errors import error_of_status
from keras_hashing.client.operations import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Operations,
    Pause,
    Request,
    Settings,
    pause_before,
)
from keras_hashing.client.rows import BytesRows, blocks
from keras_hashing.client.tensors import array_of_tensor, tensor_of_array
from keras_hashing.encoder.card import IndexCard

SETTINGS = Settings(Model("thumbs"))


def carry_out(steps: object, answer: Callable) -> tuple[object, list[Request], list[Pause]]:
    """Runs an operation against a function that stands for the server; pauses take no time."""
    requests, pauses = [], []
    value, error = None, None
    while True:
        try:
            step = steps.send(value) if error is None else steps.throw(error)
        except StopIteration as stop:
            return stop.value, requests, pauses
        value, error = None, None
        if isinstance(step, Pause):
            pauses.append(step)
            continue
        requests.append(step)
        try:
            value = answer(step.call)
        except ServingError as raised:
            error = raised


def first_bytes(call: Predict) -> Prediction:
    """A model whose code is the first byte of an image."""
    (rows,) = [array for name, array in call.inputs.items() if name in ("images", "encoded")]
    first = [row[0] if isinstance(row, bytes) else row.flat[0] for row in rows]
    return Prediction({"code": np.array(first, dtype=np.uint8)[:, None]}, 1)


def failing(times: int, error: Exception, answer: Callable = first_bytes) -> Callable:
    left = [times]

    def call(call: Predict) -> Prediction:
        if left[0]:
            left[0] -= 1
            raise error
        return answer(call)

    return call


# Retries


def test_an_unreachable_server_is_tried_again() -> None:
    server = failing(3, ServerUnreachableError("down"))
    codes, requests, pauses = carry_out(Operations(SETTINGS).encode([b"a"]), server)
    assert codes.tolist() == [[ord("a")]]
    assert len(requests) == 4
    assert len(pauses) == 3


def test_retries_are_limited() -> None:
    operations = Operations(replace(SETTINGS, retries=2))
    with pytest.raises(ServerUnreachableError, match="down"):
        carry_out(operations.encode([b"a"]), failing(3, ServerUnreachableError("down")))


@pytest.mark.parametrize(
    "error", [DeadlineExceededError, ModelNotFoundError, InvalidRequestError, ServingError]
)
def test_nothing_else_is_tried_again(error: type[ServingError]) -> None:
    requests: list[object] = []

    def server(call: Predict) -> Prediction:
        requests.append(call)
        raise error("no")

    with pytest.raises(error):
        carry_out(Operations(SETTINGS).encode([b"a"]), server)
    assert len(requests) == 1


def test_pauses_grow_with_jitter_up_to_a_limit() -> None:
    for attempt in range(12):
        plain = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        pauses = [pause_before(attempt) for _ in range(50)]
        assert all(0.5 * plain <= pause <= 1.5 * plain for pause in pauses)
        assert len(set(pauses)) > 1


def test_the_deadline_covers_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    timeouts = []
    steps = Operations(replace(SETTINGS, deadline=1.0, retries=1000)).encode([b"a"])
    step = next(steps)
    with suppress(ServerUnreachableError):
        while True:
            if isinstance(step, Pause):
                clock[0] += step.seconds
                step = steps.send(None)
            else:
                timeouts.append(step.timeout)
                clock[0] += 0.05
                step = steps.throw(ServerUnreachableError("down"))
    assert len(timeouts) > 2
    assert clock[0] <= 101.05
    assert timeouts[0] == pytest.approx(1.0)
    assert timeouts == sorted(timeouts, reverse=True)


# Splitting


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("most_bytes", [1, 50, 1000, 10**6])
@pytest.mark.parametrize("most_rows", [1, 3, 256])
def test_requests_are_whole_in_order_and_below_the_limits(
    count: int, most_bytes: int, most_rows: int
) -> None:
    sizes = np.random.default_rng(count).integers(0, 60, count)
    rows = BytesRows([b"x" * size for size in sizes])
    cut = list(blocks(rows, most_bytes, most_rows, answer_bytes=1))
    assert [row for start, stop in cut for row in range(start, stop)] == list(range(count))
    for start, stop in cut:
        assert stop - start <= most_rows
        total = sum(rows.size(row) for row in range(start, stop))
        assert total <= most_bytes or stop - start == 1


def test_large_answers_make_small_requests() -> None:
    rows = BytesRows([b"x"] * 100)
    cut = list(blocks(rows, 4 * 2**20, 256, answer_bytes=2**20))
    assert {stop - start for start, stop in cut} == {4}


def test_a_request_whose_answer_is_too_large_is_halved() -> None:
    def server(call: Predict) -> Prediction:
        if len(call.inputs["encoded"]) > 3:
            raise MessageTooLargeError("too large")
        return first_bytes(call)

    contents = [bytes([value]) for value in range(11)]
    codes, _, _ = carry_out(Operations(SETTINGS).encode(contents), server)
    assert codes.ravel().tolist() == list(range(11))


def test_what_is_too_large_by_itself_is_named() -> None:
    server = failing(99, MessageTooLargeError("received message larger than max"))
    with pytest.raises(MessageTooLargeError, match=r"image 0: received .*`max_message_bytes`"):
        carry_out(Operations(SETTINGS).encode([b"a", b"b"]), server)


@pytest.mark.parametrize("bad", range(9))
def test_a_refused_image_is_named(bad: int) -> None:
    def server(call: Predict) -> Prediction:
        if b"bad" in call.inputs["encoded"].tolist():
            raise InvalidRequestError("no image")
        return first_bytes(call)

    contents = [b"bad" if row == bad else b"good" for row in range(9)]
    with pytest.raises(InvalidRequestError, match=rf"^image {bad} is no image \(JPEG"):
        carry_out(Operations(SETTINGS).encode(contents), server)


def test_an_image_is_not_blamed_for_another_clients_file() -> None:
    """A server that joins requests refuses all that are in a batch with a bad file."""
    error = InvalidRequestError("The file is no JPEG, PNG, GIF or BMP")
    for contents in ([b"a"], [b"a", b"b", b"c"]):
        codes, _, _ = carry_out(Operations(SETTINGS).encode(contents), failing(1, error))
        assert codes.ravel().tolist() == [content[0] for content in contents]


def test_a_request_above_the_servers_limit_is_halved() -> None:
    """As TensorFlow Serving refuses one that is above max_batch_size of its batching."""

    def server(call: Predict) -> Prediction:
        if (rows := len(call.inputs["encoded"])) > 64:
            raise InvalidRequestError(
                f"Task size {rows} is larger than maximum input batch size 64"
            )
        return first_bytes(call)

    contents = [bytes([row % 256]) for row in range(400)]
    codes, requests, _ = carry_out(Operations(SETTINGS).encode(contents), server)
    assert codes.ravel().tolist() == [row % 256 for row in range(400)]
    assert len(requests) == 14  # 256 and 144 in vain and as halves; 128 and 72 likewise


def test_what_is_not_about_an_image_is_not_blamed_on_one() -> None:
    message = "Task size 1 is larger than maximum input batch size 0"
    for error in (InvalidRequestError(message), InvalidRequestError("No such thing")):
        with pytest.raises(InvalidRequestError) as caught:
            carry_out(Operations(SETTINGS).encode([b"a"]), failing(9, error))
        assert str(caught.value) == error.message


def test_a_full_queue_is_told_and_tried_again() -> None:
    queue = "The batch scheduling queue to which this task was submitted is full"
    message = f"The server at h:1 cannot be reached: {queue}; currently 100 batches"
    error = error_of_status("UNAVAILABLE", message)
    assert isinstance(error, ServerBusyError)
    assert "The server is busy, its batching queue is full" in str(error)
    assert "currently 100 batches" in str(error)
    assert "cannot be reached" not in str(error)
    codes, _, pauses = carry_out(Operations(SETTINGS).encode([b"a"]), failing(2, error))
    assert codes.tolist() == [[ord("a")]]
    assert len(pauses) == 2


def test_an_unknown_signature_is_not_blamed_on_an_image() -> None:
    error = InvalidRequestError("Serving signature key not found", "FAILED_PRECONDITION")
    with pytest.raises(InvalidRequestError, match="^Serving signature key"):
        carry_out(Operations(SETTINGS).encode([b"a", b"b"]), failing(9, error))


def test_a_refused_k_is_not_blamed_on_an_image() -> None:
    error = InvalidRequestError("`k` must be an integer from 1 to 1000")
    steps = Operations(SETTINGS).search([b"a", b"b"], k=5000)
    with pytest.raises(InvalidRequestError, match="^`k` must be"):
        carry_out(steps, failing(9, error))


def test_what_the_graph_asserts_is_told_in_words() -> None:
    message = "assertion failed: [At most 3 pixels. Received:] [4]\n\t [[{{node Assert}}]]"
    assert str(error_of_status("INVALID_ARGUMENT", message)) == "At most 3 pixels. Received: 4"


def test_pixels_are_searched_in_the_version_that_has_encoded_them() -> None:
    versions = iter([4, 5])
    asked = []

    def server(call: Predict) -> Prediction:
        if call.signature == "encode":
            return Prediction(first_bytes(call).outputs, next(versions))
        if call.signature == "card":
            raise InvalidRequestError("no such signature")
        asked.append(call.model.version)
        if call.model.version == 4:
            raise ModelNotFoundError("gone")
        ids = np.array([[b"x"]], dtype=object)
        return Prediction({"ids": ids, "distances": np.zeros((1, 1), np.int32)}, 5)

    found, _, _ = carry_out(
        Operations(SETTINGS).search(np.zeros((1, 4, 4, 1), np.uint8), k=1), server
    )
    assert found.ids.tolist() == [["x"]]
    assert asked == [4, 5]


def test_limits_go_in_the_form_that_the_version_takes() -> None:
    """One a row, or scalars for an old version, also when one of the other form takes over."""
    index = IndexCard(items=9, ids="string", default_k=10, largest_k=99, rerank=False)
    batchable, shapes = [True], []

    def server(call: Predict) -> Prediction:
        if call.signature == "card":
            found = index.model_copy(update={"batchable": batchable[0]})
            card = make_card().model_copy(update={"index": found}).model_dump_json().encode()
            return Prediction({"card": np.array([card], dtype=object)}, 1)
        shapes.append(call.inputs["k"].shape)
        if call.inputs["max_distance"].shape != ((3,) if batchable[0] else ()):
            raise InvalidRequestError("Batching input tensors must have at least one dimension")
        columns = 4 if batchable[0] else 2  # joined with a row of k = 4
        ids = np.full((3, columns), b"x", dtype=object)
        return Prediction({"ids": ids, "distances": np.zeros((3, columns), np.int32)}, 1)

    operations = Operations(SETTINGS)
    for form in (True, False, False, True):
        batchable[0] = form
        found, _, _ = carry_out(operations.search(np.zeros((3, 2), np.uint8), k=2), server)
        assert found.ids.shape == found.distances.shape == (3, 2)
    assert shapes == [(3,), (3,), (), (), (), (3,)]


# Card and fingerprint


def with_cards(fingerprints: dict[int | None, str], answers: list[int | None]) -> Callable:
    """A server whose versions have these fingerprints; `answers` answer in turn."""
    turns = iter(answers)

    def server(call: Predict) -> Prediction:
        if call.signature != "card":
            return Prediction(first_bytes(call).outputs, next(turns))
        version = call.model.version or next(iter(fingerprints))
        card = make_card(fingerprints[version]).model_dump_json().encode()
        return Prediction({"card": np.array([card], dtype=object)}, version)

    return server


def test_the_fingerprint_is_compared_before_anything_else() -> None:
    operations = Operations(replace(SETTINGS, fingerprint="mine"))
    with pytest.raises(FingerprintMismatchError, match=r"version 1, has .* yours is not mine"):
        carry_out(operations.encode([b"a"]), with_cards({1: "yours"}, []))


def test_a_version_that_takes_over_is_compared_too() -> None:
    operations = Operations(replace(SETTINGS, fingerprint="mine"))
    server = with_cards({1: "mine", 2: "yours"}, [1, 1, 2])
    for _ in range(2):
        carry_out(operations.encode([b"a"]), server)
    with pytest.raises(FingerprintMismatchError, match="now version 2"):
        carry_out(operations.encode([b"a"]), server)


def test_each_version_is_compared_once() -> None:
    operations = Operations(replace(SETTINGS, fingerprint="mine"))
    server = with_cards({1: "mine", 2: "mine"}, [1, 2, 2, 2])
    requests = [carry_out(operations.encode([b"a"]), server)[1] for _ in range(4)]
    assert [len(found) for found in requests] == [2, 2, 1, 1]


def test_without_versions_in_the_answers_the_card_is_asked_for_each_time() -> None:
    operations = Operations(replace(SETTINGS, fingerprint="mine"))
    server = with_cards({None: "mine"}, [None, None])
    assert len(carry_out(operations.encode([b"a"]), server)[1]) == 2
    assert len(carry_out(operations.encode([b"a"]), server)[1]) == 2


def test_without_a_signature_the_card_comes_from_the_folder(tmp_path: Path) -> None:
    def server(call: object) -> object:
        if isinstance(call, GetMetadata):
            return ModelMetadata(7, {})
        raise InvalidRequestError("Serving signature key not found", "FAILED_PRECONDITION")

    for version in ("7", "8"):
        (tmp_path / version).mkdir()
        make_card(version).save(tmp_path / version)
    card, _, _ = carry_out(
        Operations(replace(SETTINGS, model_folder=tmp_path)).model_card(), server
    )
    assert card.fingerprint == "7"
    with pytest.raises(CardUnavailableError, match="no signature `card`.*`model_folder=`"):
        carry_out(Operations(SETTINGS).model_card(), server)
    (tmp_path / "empty").mkdir()
    settings = replace(SETTINGS, model_folder=tmp_path / "empty")
    with pytest.raises(CardUnavailableError, match="has no version 7 .* versions: \\[\\]"):
        carry_out(Operations(settings).model_card(), server)


# Waiting


def test_waiting_ends_when_a_version_is_available() -> None:
    answers = iter(
        [
            ServerUnreachableError("down"),
            ModelNotFoundError("none"),
            [VersionState(1, "LOADING", "")],
            [VersionState(1, "AVAILABLE", ""), VersionState(2, "LOADING", "")],
        ]
    )

    def server(call: GetStatus) -> list[VersionState]:
        answer = next(answers)
        if isinstance(answer, ServingError):
            raise answer
        return answer

    version, _, pauses = carry_out(Operations(SETTINGS).wait_until_ready(60), server)
    assert version == 1
    assert len(pauses) == 3


def test_waiting_in_vain_tells_the_last_state() -> None:
    states = [VersionState(3, "END", "the file variables.index is damaged")]
    with pytest.raises(DeadlineExceededError, match=r"version 3 is END \(the file .* damaged\)"):
        carry_out(Operations(SETTINGS).wait_until_ready(0.0), lambda call: states)


def test_waiting_for_a_version_that_cannot_be_loaded_ends_at_once() -> None:
    states = [VersionState(3, "END", "the file variables.index is damaged")]
    operations = Operations(replace(SETTINGS, model=Model("thumbs", 3)))
    with pytest.raises(VersionNotLoadedError, match="version 3: version 3 is END .*is damaged"):
        carry_out(operations.wait_until_ready(600), lambda call: states)


# Arguments


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((1, 4, 4, 1)), ValueError, r"uint8 \[n, h, w, C\]. Received: float64"),
        (np.zeros((4, 4, 1), np.uint8), ValueError, r"Received: uint8 \[4, 4, 1\]"),
        (np.zeros((4, 2), np.uint8), ValueError, r"Received: uint8 \[4, 2\]"),
        (b"one image", TypeError, "a list of paths or of bytes. Received: bytes"),
        ("one path", TypeError, "Received: str"),
        (Path("one path"), TypeError, "Received: PosixPath"),
        ([b"a", "b"], TypeError, "Received: a list of bytes, str"),
        ([1, 2], TypeError, "Received: a list of int"),
    ],
)
def test_images_of_no_known_kind_are_refused(
    images: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        next(Operations(SETTINGS).encode(images))


@pytest.mark.parametrize("k", [0, -1, 2**31, True, 1.0, "3"])
def test_k_is_a_positive_int(k: object) -> None:
    with pytest.raises(ValueError, match="`k` must be an int"):
        next(Operations(SETTINGS).search([b"a"], k=k))


def test_max_distance_is_not_negative() -> None:
    with pytest.raises(ValueError, match="`max_distance` must be an int"):
        next(Operations(SETTINGS).search([b"a"], max_distance=-1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": Model("")}, "`model` must be the name"),
        ({"model": Model("m", 1, "stable")}, "Either `version` or `label`"),
        ({"deadline": 0}, "`deadline` must be above 0"),
        ({"deadline": float("nan")}, "`deadline` must be above 0"),
        ({"retries": -1}, "`retries` must be above -1"),
        ({"max_message_bytes": 100}, "`max_message_bytes` must be above 4095"),
        ({"max_batch_size": 0}, "`max_batch_size` must be above 0"),
    ],
)
def test_settings_have_rules(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)


def test_no_images_give_empty_answers() -> None:
    code = TensorSpec("uint8", (None, 4))
    ids = TensorSpec("string", (None, None))
    signatures = {
        "encode": Signature({}, {"code": code}),
        "search_code": Signature({}, {"ids": ids, "distances": TensorSpec("int32", (None, None))}),
    }
    codes, _, _ = carry_out(
        Operations(SETTINGS).encode([]), lambda call: ModelMetadata(1, signatures)
    )
    assert (codes.shape, codes.dtype) == ((0, 4), np.uint8)
    found, _, _ = carry_out(
        Operations(SETTINGS).search([], k=3), lambda call: ModelMetadata(1, signatures)
    )
    assert found.ids.shape == found.distances.shape == (0, 3)
    assert found.ids.dtype.kind == "U"


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"code": np.zeros((3, 1), np.uint8)},
        {"code": np.array(1, np.uint8)},
    ],
)
def test_a_damaged_answer_is_an_error(outputs: dict) -> None:
    with pytest.raises(ServingError, match="The server's answer"):
        carry_out(Operations(SETTINGS).encode([b"a"]), lambda call: Prediction(outputs, 1))


def test_certificate_and_key_go_together() -> None:
    with pytest.raises(ValueError, match="must be given together"):
        Tls(certificate="client.pem")


# Messages


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.array(-5, dtype=np.int32),
        np.array([[2**40, -1]], dtype=np.int64),
        np.array([[0.5, np.nan, -np.inf]], dtype=np.float32),
        np.zeros((0, 4), dtype=np.uint8),
        np.array([b"", b"\xff\x00", "ä".encode()], dtype=object),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1),
    ],
)
def test_tensors_are_those_of_tensorflow(array: np.ndarray) -> None:
    np.testing.assert_array_equal(tf.make_ndarray(tensor_of_array(array)), array)
    np.testing.assert_array_equal(array_of_tensor(tf.make_tensor_proto(array)), array)
    np.testing.assert_array_equal(array_of_tensor(tensor_of_array(array)), array)


def test_one_value_may_stand_for_many() -> None:
    tensor = tf.make_tensor_proto(7, dtype=tf.int32, shape=[2, 3])
    assert array_of_tensor(tensor).tolist() == [[7] * 3] * 2


@pytest.mark.parametrize("array", [np.zeros(2, np.float64), np.array(["text"])])
def test_tensors_of_other_types_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="must be uint8, int32, int64, float32 or bytes"):
        tensor_of_array(array)
    with pytest.raises(TypeError, match="Received: DT_BOOL"):
        array_of_tensor(tf.make_tensor_proto([True]))


def test_the_client_needs_no_tensorflow() -> None:
    script = (
        "import sys, keras_hashing.client as client\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
        "import tensorflow as tf\n"  # whose messages have other names
        "from keras_hashing.client.tensors import array_of_tensor\n"
        "assert array_of_tensor(tf.make_tensor_proto([1, 2])).tolist() == [1, 2]\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True, capture_output=True)
