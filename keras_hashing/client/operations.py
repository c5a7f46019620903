"""What the clients do, as steps that either of them carries out, waiting or awaiting.

An operation is a generator. It yields a `Request` and is sent the answer, or has the `ServingError`
thrown into it; it yields a `Pause` and is sent `None`; what it returns is the result. So splitting,
retries and checks are written once for `Client` and `AsyncClient`, and need no network in tests.
"""

import os
import random
import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from keras_hashing.checks import check_integer
from keras_hashing.client.calls import (
    Call,
    GetMetadata,
    GetStatus,
    Model,
    ModelMetadata,
    Predict,
    Prediction,
    VersionState,
)
from keras_hashing.client.errors import (
    CardUnavailableError,
    DeadlineExceededError,
    FingerprintMismatchError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    ServerUnreachableError,
    ServingError,
    VersionNotLoadedError,
)
from keras_hashing.client.rows import (
    CodeRows,
    Images,
    Rows,
    VectorRows,
    blocks,
    rows_of_images,
    strings,
)
from keras_hashing.encoder.card import LARGEST_REQUEST, Card
from keras_hashing.encoder.vector_input import check_vectors
from keras_hashing.files.image_verdict import DAMAGED, verdict
from keras_hashing.files.version_folders import version_folders
from keras_hashing.retrieval.packed_width import packed_width

LARGEST_INT32 = 2**31 - 1
REQUEST_OVERHEAD = 1024  # names, shapes and the model's name, in a request and in an answer
CODE_BYTES = 512  # of a code in an answer, roughly
NEIGHBOUR_BYTES = 64  # of an id with its distance in an answer, roughly
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds, before jitter
POLL_SECONDS = 0.2
# Of a server that joins requests to batches, about a request that has more rows than it allows.
TOO_MANY_ROWS = "larger than maximum input batch size"
# What the graph says of a file, or of a vector.
ABOUT_A_ROW = re.compile(r"image|JPE?G|PNG|WebP|GIF|BMP|\bfile\b|must be finite", re.IGNORECASE)


class Request(NamedTuple):
    """A step: perform the call within `timeout` seconds."""

    call: Call
    timeout: float


class Pause(NamedTuple):
    """A step: let so many seconds pass."""

    seconds: float


T = TypeVar("T")
Steps = Generator[Request | Pause, Any, T]


class Neighbours(NamedTuple):
    """What a search has found, nearest first; equal distances in the order of the index.

    Attributes:
        ids: the user's ids, int64 or str, shape [n, k]; where there are fewer than k: -1 or "".
        distances: Hamming distances, int32, shape [n, k]; where there are fewer than k: -1.
    """

    ids: NDArray[Any]
    distances: NDArray[np.int32]


@dataclass(frozen=True)
class Settings:
    """How a client goes about its requests; see `Client`."""

    model: Model
    deadline: float = 30.0
    retries: int = 4
    max_message_bytes: int = 4 * 2**20
    max_batch_size: int = LARGEST_REQUEST
    fingerprint: str | None = None
    model_folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.model.name:
            raise ValueError("`model` must be the name of a model. Received: ''")
        if self.model.version is not None and self.model.label is not None:
            raise ValueError(
                "Either `version` or `label` names the version. Received: "
                f"version={self.model.version}, label={self.model.label!r}"
            )
        rules = {"deadline": 0.0, "retries": -1, "max_message_bytes": 4095, "max_batch_size": 0}
        for name, bound in rules.items():
            if not getattr(self, name) > bound:
                raise ValueError(
                    f"`{name}` must be above {bound}. Received: {getattr(self, name)!r}"
                )


def pause_before(attempt: int) -> float:
    """Returns the seconds to wait before a retry: doubled each time, with jitter of ±50%."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt) * random.uniform(0.5, 1.5))


class Operations:
    """The operations of a client.

    Attributes:
        settings: how it goes about its requests.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._checked_versions: set[int] = set()  # of them the fingerprint has been compared
        self._answers_name_version = False
        self._batchable: bool | None = None  # whether searches take limits by row, once known

    def encode(self, images: Images) -> Steps[NDArray[np.uint8]]:
        """Packed codes of images, uint8 [n, K/8]."""
        return (yield from self._codes(rows_of_images(images)))

    def encode_vectors(self, vectors: ArrayLike) -> Steps[NDArray[np.uint8]]:
        """Packed codes of vectors, uint8 [n, K/8]."""
        return (yield from self._codes(VectorRows(check_vectors(vectors))))

    def search(
        self, images: Images, k: int = 10, max_distance: int | None = None
    ) -> Steps[Neighbours]:
        """The items of the index that are nearest to images or codes."""
        rows = rows_of_images(images, also_codes=True)
        return (yield from self._nearest(rows, k, max_distance))

    def search_vectors(
        self, vectors: ArrayLike, k: int = 10, max_distance: int | None = None
    ) -> Steps[Neighbours]:
        """The items of the index that are nearest to vectors."""
        rows = VectorRows(check_vectors(vectors))
        return (yield from self._nearest(rows, k, max_distance))

    def wait_until_ready(self, timeout: float) -> Steps[int]:
        """The version that is ready, once there is one."""
        end = time.monotonic() + timeout
        while True:
            left = max(0.05, end - time.monotonic())
            try:
                states = yield Request(GetStatus(self.settings.model), min(left, 5.0))
            except (ServerUnreachableError, ModelNotFoundError, DeadlineExceededError) as error:
                problem = error.message
            else:
                ready = [state.version for state in states if state.state == "AVAILABLE"]
                if ready:
                    return max(ready)
                problem = _describe(states)
                if self.settings.model.version is not None and any(
                    state.state == "END" and state.problem for state in states
                ):
                    raise VersionNotLoadedError(
                        f"The server does not serve the model {self.settings.model}: {problem}"
                    )
            if time.monotonic() + POLL_SECONDS > end:
                raise DeadlineExceededError(
                    f"The model {self.settings.model} is not ready after {timeout:g} s: {problem}"
                )
            yield Pause(POLL_SECONDS)

    def metadata(self) -> Steps[ModelMetadata]:
        """The model's signatures, as the server tells them."""
        return (yield from self._request(GetMetadata(self.settings.model)))

    def model_card(self) -> Steps[Card]:
        """The model's card."""
        card, _ = yield from self._card(self.settings.model)
        return card

    def _request(self, call: Call) -> Steps[Any]:
        """The answer to a call; unreachable servers are tried again within the deadline."""
        end = time.monotonic() + self.settings.deadline
        attempt = 0
        while True:
            try:
                return (yield Request(call, max(0.001, end - time.monotonic())))
            except ServerUnreachableError:
                pause = pause_before(attempt)
                if attempt >= self.settings.retries or time.monotonic() + pause >= end:
                    raise
            yield Pause(pause)
            attempt += 1

    def _predict(
        self, signature: str, inputs: Mapping[str, NDArray[Any]], model: Model | None = None
    ) -> Steps[Prediction]:
        """The answer of a signature, from a version whose code space is the expected one."""
        call = Predict(model or self.settings.model, signature, inputs)
        prediction: Prediction = yield from self._request(call)
        if prediction.version is not None:
            self._answers_name_version = True
            yield from self._check_version(prediction.version)
        return prediction

    # Encoding and searching

    def _codes(self, rows: Rows) -> Steps[NDArray[np.uint8]]:
        yield from self._check_fingerprint()
        return (yield from self._encode(rows)).codes

    def _nearest(self, rows: Rows, k: int, max_distance: int | None) -> Steps[Neighbours]:
        _check_int("k", k, least=1)
        if max_distance is not None:
            _check_int("max_distance", max_distance, least=0)
        yield from self._check_fingerprint()
        if not len(rows):
            return (yield from self._no_neighbours(k))
        limits = {"k": k, "max_distance": LARGEST_INT32 if max_distance is None else max_distance}
        if rows.search:
            return (yield from self._search(rows, limits))
        return (yield from self._search_pixels(rows, limits))

    def _encode(self, rows: Rows) -> Steps["_Codes"]:
        if not len(rows):
            bits = (yield from self.metadata()).bits
            return _Codes(np.empty((0, packed_width(bits)), dtype=np.uint8), None)
        answers = yield from self._predict_blocks(rows.encode, rows, {}, CODE_BYTES)
        codes = _joined(answers, "code")
        versions = {answer.version for answer in answers}
        return _Codes(codes, versions.pop() if len(versions) == 1 else None)

    def _search(
        self, rows: Rows, limits: Mapping[str, int], model: Model | None = None
    ) -> Steps[Neighbours]:
        k = limits["k"]
        answer_bytes = NEIGHBOUR_BYTES * (1 + k)
        answers = yield from self._predict_blocks(rows.search, rows, limits, answer_bytes, model)
        # A row joined with one of a larger k has more columns than were asked for.
        ids, distances = _joined(answers, "ids", k), _joined(answers, "distances", k)
        return Neighbours(_texts(ids), distances)

    def _search_pixels(self, rows: Rows, limits: Mapping[str, int]) -> Steps[Neighbours]:
        """Encodes, then searches in the index of the version that has encoded."""
        for last in (False, True):
            codes, version = yield from self._encode(rows)
            model = self.settings.model
            if version is not None:
                model = replace(model, version=version, label=None)
            try:
                return (yield from self._search(CodeRows(codes), limits, model))
            except ModelNotFoundError:  # another version has taken its place in between
                if last or version is None:
                    raise
        raise AssertionError("unreachable")

    def _no_neighbours(self, k: int) -> Steps[Neighbours]:
        metadata = yield from self.metadata()
        found = metadata.signatures.get("search_code") or metadata.signatures.get("search")
        if found is None:
            raise InvalidRequestError(
                f"The served model {self.settings.model} has no index: its signatures are "
                f"{sorted(metadata.signatures)}"
            )
        dtype = np.str_ if found.outputs["ids"].dtype == "string" else np.int64
        return Neighbours(np.empty((0, k), dtype=dtype), np.empty((0, k), dtype=np.int32))

    def _predict_blocks(
        self,
        signature: str,
        rows: Rows,
        limits: Mapping[str, int],
        answer_bytes: int,
        model: Model | None = None,
    ) -> Steps[list[Prediction]]:
        """The answers for all rows in order, in as many requests as the limits make of them.

        A request that is too large, or refused for a row, is halved. So a row is named only if it
        was refused by itself, twice; and where a server has joined a request with another client's
        bad row, the halves are answered.
        """
        most_bytes = self.settings.max_message_bytes - REQUEST_OVERHEAD
        answers = []
        waiting = [*blocks(rows, most_bytes, self.settings.max_batch_size, answer_bytes)][::-1]
        confirmed = -1  # the row that has been refused by itself
        while waiting:
            start, stop = waiting.pop()
            inputs = {rows.input: rows.take(start, stop)}
            try:
                answer = yield from self._predict_limited(signature, inputs, limits, model)
            except (MessageTooLargeError, InvalidRequestError) as error:
                about_a_row = isinstance(error, MessageTooLargeError) or (
                    rows.refusable and _is_about_a_row(error)
                )
                too_many = TOO_MANY_ROWS in error.message and stop - start > 1
                if not about_a_row and not too_many:
                    raise
                if stop - start > 1:
                    middle = (start + stop) // 2
                    waiting += [(middle, stop), (start, middle)]
                elif isinstance(error, InvalidRequestError) and confirmed != start:
                    # The server may have joined it with another client's bad row: once more.
                    confirmed = start
                    waiting.append((start, stop))
                else:
                    raise _named(error, rows, start, self.settings) from error
            else:
                answers.append(_checked(answer, stop - start))
        return answers

    def _predict_limited(
        self,
        signature: str,
        inputs: Mapping[str, NDArray[Any]],
        limits: Mapping[str, int],
        model: Model | None,
    ) -> Steps[Prediction]:
        """The answer of a signature, with limits in the form that the version takes."""
        if not limits:
            return (yield from self._predict(signature, inputs, model))
        rows = len(next(iter(inputs.values())))
        batchable = self._batchable
        if batchable is None:
            batchable = yield from self._ask_batchable(model)
        request = {**inputs, **_limits(limits, rows if batchable else None)}
        try:
            return (yield from self._predict(signature, request, model))
        except InvalidRequestError as error:
            if _is_about_a_row(error) or (yield from self._ask_batchable(model)) == batchable:
                raise
        # A version of the other form has taken over.
        request = {**inputs, **_limits(limits, None if batchable else rows)}
        return (yield from self._predict(signature, request, model))

    def _ask_batchable(self, model: Model | None) -> Steps[bool]:
        """Whether the version takes limits by row."""
        try:
            card, _ = yield from self._card(model or self.settings.model)
        except CardUnavailableError:
            self._batchable = False
        else:
            self._batchable = card.index is not None and card.index.batchable
        return self._batchable

    # Card and fingerprint

    def _card(self, model: Model) -> Steps[tuple[Card, int | None]]:
        """The card of a version, and its number if the server tells it."""
        call = Predict(model, "card", {"request": strings([b""])})
        try:
            answer: Prediction = yield from self._request(call)
        except InvalidRequestError as error:
            if self.settings.model_folder is None:
                raise CardUnavailableError(
                    f"The served model {model} has no signature `card` ({error.message}), and "
                    "TensorFlow Serving gives no other file of a model. Give the client "
                    "`model_folder=` if it can read the model's folder"
                ) from error
            version = (yield from self._request(GetMetadata(model))).version or model.version
            return _card_in_folder(self.settings.model_folder, version), version
        return _parsed_card(answer), answer.version

    def _check_fingerprint(self) -> Steps[None]:
        """Before anything else; REST never says which version answers, so it is asked each time."""
        if self.settings.fingerprint is None or self._answers_name_version:
            return
        card, version = yield from self._card(self.settings.model)
        self._compare(card, version)

    def _check_version(self, version: int) -> Steps[None]:
        if self.settings.fingerprint is not None and version not in self._checked_versions:
            model = replace(self.settings.model, version=version, label=None)
            card, _ = yield from self._card(model)
            self._compare(card, version)

    def _compare(self, card: Card, version: int | None) -> None:
        if card.fingerprint != self.settings.fingerprint:
            raise FingerprintMismatchError(
                f"The served model {self.settings.model}"
                + (f", now version {version}," if version is not None else "")
                + f" has another code space than the client expects: {card.fingerprint} is not "
                f"{self.settings.fingerprint}. Codes of the two do not compare"
            )
        if version is not None:
            self._checked_versions.add(version)


class _Codes(NamedTuple):
    codes: NDArray[np.uint8]
    version: int | None  # that made all of them


def _check_int(name: str, value: object, least: int) -> None:
    check_integer(name, value, least, LARGEST_INT32, f"an int from {least} to {LARGEST_INT32}")


def _is_about_a_row(error: InvalidRequestError) -> bool:
    return error.code == "INVALID_ARGUMENT" and bool(ABOUT_A_ROW.search(error.message))


def _named(error: ServingError, rows: Rows, row: int, settings: Settings) -> ServingError:
    """The error with the name of the row that was refused by itself."""
    is_refused = isinstance(error, InvalidRequestError) and _is_about_a_row(error)
    if is_refused and rows.input == "encoded":
        problem = verdict(rows.take(row, row + 1)[0]) or DAMAGED
        return type(error)(f"{rows.name(row)} {problem}")
    limit = ""
    if isinstance(error, MessageTooLargeError):
        limit = f" (`max_message_bytes` is {settings.max_message_bytes})"
    return type(error)(f"{rows.name(row)}: {error.message}{limit}")


def _limits(limits: Mapping[str, int], rows: int | None) -> dict[str, NDArray[np.int32]]:
    """The limits of a search as inputs: one a row, or scalars."""
    shape = () if rows is None else (rows,)
    return {name: np.full(shape, value, dtype=np.int32) for name, value in limits.items()}


def _checked(answer: Prediction, rows: int) -> Prediction:
    for name, values in answer.outputs.items():
        if not values.ndim or len(values) != rows:
            raise ServingError(
                f"The server's answer is damaged: {name!r} of shape {list(values.shape)} for "
                f"{rows} rows",
                "INTERNAL",
            )
    return answer


def _joined(answers: list[Prediction], name: str, columns: int | None = None) -> NDArray[Any]:
    try:
        return np.concatenate([answer.outputs[name][..., :columns] for answer in answers])
    except KeyError:
        raise ServingError(
            f"The server's answer lacks the output {name!r}: the model was not written by "
            f"`python -m export`. Received: {sorted(answers[0].outputs)}",
            "INTERNAL",
        ) from None
    except ValueError as error:
        raise ServingError(
            f"The server's answers do not fit together: {error}", "INTERNAL"
        ) from error


def _texts(ids: NDArray[Any]) -> NDArray[Any]:
    """String ids as str; integers as they are."""
    if ids.dtype != object:
        return ids
    texts = [value.decode("utf-8", "surrogateescape") for value in ids.ravel()]
    return np.array(texts, dtype=np.str_).reshape(ids.shape)


def _describe(states: list[VersionState]) -> str:
    if not states:
        return "the server knows no version of it"
    return "; ".join(
        f"version {state.version} is {state.state}" + (state.problem and f" ({state.problem})")
        for state in states
    )


def _parsed_card(answer: Prediction) -> Card:
    try:
        return Card.model_validate_json(answer.outputs["card"].ravel()[0])
    except (KeyError, IndexError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ServingError(f"The served card cannot be read: {reason}", "INTERNAL") from error


def _card_in_folder(folder: str | os.PathLike[str], version: int | None) -> Card:
    versions = version_folders(Path(folder))
    wanted = max(versions, default=0) if version is None else version
    if wanted not in versions:
        raise CardUnavailableError(
            f"The folder {str(folder)!r} has no version {wanted} of the model, which the server "
            f"serves. Its versions: {sorted(versions)}"
        )
    return Card.load(versions[wanted])
