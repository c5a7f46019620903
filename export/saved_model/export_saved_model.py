"""From an encoder to a SavedModel that TensorFlow Serving serves as it is."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import tensorflow as tf

from export.saved_model.graph_ops import check_standard_ops
from export.saved_model.served_inputs import ServedInput, served_inputs
from export.saved_model.served_search import DEFAULT_K, MAX_K, ServedSearch
from export.saved_model.warm_up import write_warm_up
from export.versions.checksums import write_checksums
from export.versions.publisher_lock import publishing
from export.versions.version_folders import new_version, write_version
from keras_hashing.encoder.card import LARGEST_REQUEST, MODEL_CARD, Card, IndexCard
from keras_hashing.encoder.model_card import model_card
from keras_hashing.files.atomic_write import write_text
from keras_hashing.layers import PackBits
from keras_hashing.retrieval.packed_width import packed_width

if TYPE_CHECKING:
    from keras_hashing.encoder import HashEncoder
    from keras_hashing.retrieval import CodeIndex

Signature: TypeAlias = Callable[[tf.Tensor], dict[str, tf.Tensor]]

SIGNATURES = ["encode", "encode_bytes", "continuous", "serving_default", "card"]
SEARCH_SIGNATURES = ["search", "search_code"]
# Of an encoder of vectors.
VECTOR_SIGNATURES = ["encode_vectors", "continuous", "serving_default", "card"]
VECTOR_SEARCH_SIGNATURES = ["search_vectors", "search_code"]


def export_saved_model(
    encoder: "HashEncoder",
    output: str | os.PathLike[str],
    version: int | None = None,
    index: "CodeIndex | None" = None,
    rerank: bool = False,
) -> Path:
    """Writes an encoder as the next numbered version of a served model.

    The SavedModel of an encoder of images has these signatures, each with a free batch dimension
    (n may be 0):

        encode, serving_default    images uint8 [n, h, w, C]  →  code uint8 [n, K/8]
        encode_bytes               encoded string [n]         →  code uint8 [n, K/8]
        continuous                 images uint8 [n, h, w, C]  →  continuous float32 [n, K]
        card                       request string [n]         →  card string [n]

    and with an index:

        search         encoded string [n]     →  ids int64 or string [n, k],
                                                 distances int32 [n, k]
        search_code    code uint8 [n, K/8]    →  the same

    That of an encoder of vectors has `encode_vectors`, also the `serving_default`, `continuous` and
    `search_vectors`, all of them of vectors float32 [n, D], in place of those of images; a row that
    is not finite is refused, and named.

    Images may have any size; the graph resizes them. `encoded` are image files (JPEG, PNG, …) of
    any sizes. Preprocessing is that of the training.

    Searches take the optional inputs `k` (int32, 1 to 1,000, default 10; n · k at most 2^20)
    and `max_distance` (int32, at least 0, default K): scalars, [1], or [n] with a number for each
    row; the answers have as many columns as the largest k. Answers come nearest first,
    equal distances in the order of the index. Where a row has fewer than k, the rest of its
    distances are -1 and of its ids -1 or "". The search is exact; with `rerank`, `search` orders
    the nearest 100 (or k) by the query's continuous code, and `distances` remain Hamming distances.
    `card` answers with the `Card` as JSON, whatever the request says, at most 256 times: TensorFlow
    Serving gives no other file of a model.

    A server that joins requests to batches (`--enable_batching`) wants `k` and `max_distance` as
    [n], since it can join only inputs with a batch dimension. Nor can it join `encode` of images of
    several sizes; `encode_bytes` takes files of any.

    Beside them lie the `Card`, the same for a reader (`card.md`), a warm-up request for each
    signature, and the files' checksums.

    The folder appears whole or not at all: it is written under a name that TensorFlow Serving
    ignores, checked to hold standard ops only, forced to the disk, and renamed. Another exporter
    into the same folder is waited for.

    Args:
        output: the model's folder, made if need be; versions are folders in it.
        version: a positive int, or `None` for the one after the highest (1 if there is none).
        index: what to search in, of the run's code space.
        rerank: whether `search` uses the continuous code; needs an index.

    Returns:
        The version's folder, `output/<version>`.

    Raises:
        FileExistsError: if that version exists.
        TimeoutError: if another exporter has not finished within ten minutes.
        OSError: if it cannot be written (disk full, no permission, `output` is a file, …).
        ValueError: if `version` is not a positive int, `output` is itself a version, the index is
            of another code space, the model has weights that are not finite, its graph needs ops
            that TensorFlow Serving lacks, or Keras runs on another backend than TensorFlow.
    """
    check_exportable(encoder, index, rerank)
    with publishing(output) as models:
        return add_version(encoder, models, version, index, rerank)


def check_exportable(encoder: "HashEncoder", index: "CodeIndex | None", rerank: bool) -> None:
    """Raises `ValueError` if `export_saved_model` would, before anything is written."""
    _check_model(encoder)
    if index is not None:
        check_same_code_space(index, encoder)
    elif rerank:
        raise ValueError("`rerank` orders the answers of a search: it needs an index")


def check_same_code_space(index: "CodeIndex", encoder: "HashEncoder") -> None:
    """Raises `ValueError` unless the codes of an index are those of an encoder."""
    if not encoder.has_fingerprint(index.fingerprint):
        index.check_fingerprint(encoder.fingerprint)


def add_version(
    encoder: "HashEncoder",
    models: Path,
    version: int | None,
    index: "CodeIndex | None",
    rerank: bool,
) -> Path:
    """Does the work of `export_saved_model` for one who holds the lock of the folder."""

    def write(folder: Path) -> None:
        card = _card(encoder, index, rerank)
        _write_graph(encoder, folder, card, index)
        check_standard_ops(folder)
        card.save(folder)
        write_text(folder / MODEL_CARD, model_card(card, models.absolute().name))
        write_warm_up(folder)
        write_checksums(folder)

    return write_version(models, new_version(models, version), write)


def _check_model(encoder: "HashEncoder") -> None:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "A SavedModel is exported on the TensorFlow backend of Keras: set "
            f"KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}"
        )
    for weight in encoder.model.weights:
        if not tf.reduce_all(tf.math.is_finite(tf.cast(weight.value, tf.float32))):
            raise ValueError(
                f"The model's weights must be finite. Received: {weight.path} with values that "
                "are not (the training has diverged)"
            )


def _card(encoder: "HashEncoder", index: "CodeIndex | None", rerank: bool) -> Card:
    signatures = VECTOR_SIGNATURES if encoder.takes_vectors else SIGNATURES
    if index is None:
        return Card.of(encoder, signatures)
    about_index = IndexCard(
        items=len(index),
        ids="int64" if index.integer_ids else "string",
        default_k=DEFAULT_K,
        largest_k=MAX_K,
        rerank=rerank,
        batchable=True,
    )
    searches = VECTOR_SEARCH_SIGNATURES if encoder.takes_vectors else SEARCH_SIGNATURES
    return Card.of(encoder, signatures + searches, about_index)


def _write_graph(
    encoder: "HashEncoder", folder: Path, card: Card, index: "CodeIndex | None"
) -> None:
    """Writes the SavedModel, and nothing that lies beside it."""
    inputs, pack = served_inputs(encoder), PackBits()

    def encode_by(served: ServedInput) -> Signature:
        return lambda rows: {"code": pack(served.codes(rows))}

    def continuous(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"continuous": tf.cast(inputs[0].codes(rows), tf.float32)}

    def served_card(request: tf.Tensor) -> dict[str, tf.Tensor]:
        few = tf.debugging.assert_less_equal(
            tf.size(request),
            LARGEST_REQUEST,  # a card is some kilobytes, an empty string in a request next to none
            f"`request` may have at most {LARGEST_REQUEST} rows",
        )
        with tf.control_dependencies([few]):
            return {"card": tf.fill(tf.shape(request), tf.constant(card.model_dump_json()))}

    archive = keras.export.ExportArchive()
    archive.track(encoder.model)  # lookup tables and other assets of its layers
    for served in inputs:  # the first is `serving_default` as well
        archive.add_endpoint(served.encode, encode_by(served), [served.spec])
    archive.add_endpoint("continuous", continuous, [inputs[0].spec])
    archive.add_endpoint("card", served_card, [tf.TensorSpec([None], tf.string, name="request")])
    if card.index is not None and index is not None:
        _add_search(archive, inputs[-1], index, card.index.rerank)
    try:
        archive.write_out(str(folder), verbose=False)
    except tf.errors.OpError as error:  # TensorFlow's own name for a full disk, for example
        raise OSError(f"The SavedModel cannot be written to {folder}: {error.message}") from error


def _add_search(archive: Any, queries: ServedInput, index: "CodeIndex", rerank: bool) -> None:
    """Adds the signatures that search, for `queries` and for codes."""
    served = ServedSearch(index, rerank)
    pack = PackBits()
    # An input is optional only if its default is a tensor, in a plain function: an int is dropped.
    # [1] rather than a scalar: a server that joins requests takes the defaults of one row.
    default_k = tf.constant([DEFAULT_K])
    any_distance = tf.constant([index.bits])

    def search(
        rows: tf.Tensor, k: tf.Tensor = default_k, max_distance: tf.Tensor = any_distance
    ) -> dict[str, tf.Tensor]:
        continuous = queries.codes(rows)
        rank_by = tf.cast(continuous, tf.float32) if rerank else None
        return served.nearest(pack(continuous), k, max_distance, rank_by)._asdict()

    def search_code(
        code: tf.Tensor, k: tf.Tensor = default_k, max_distance: tf.Tensor = any_distance
    ) -> dict[str, tf.Tensor]:
        return served.nearest(code, k, max_distance)._asdict()

    limits = [
        tf.TensorSpec(None, tf.int32, name="k"),
        tf.TensorSpec(None, tf.int32, name="max_distance"),
    ]
    code = tf.TensorSpec([None, packed_width(index.bits)], tf.uint8, name="code")
    archive.track(served.layer)
    archive.track(served.ids)
    archive.add_endpoint(queries.search, search, [queries.spec, *limits])
    archive.add_endpoint("search_code", search_code, [code, *limits])
