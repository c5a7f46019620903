"""From an encoder to .tflite files."""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from export.litert.checks import check_new_files
from export.litert.conversion import convert
from export.litert.encoder_graph import write_encoder_graph
from export.litert.operators import check_builtin_operators
from export.saved_model.export_saved_model import check_exportable
from keras_hashing.device.kinds import KINDS, Kind, check_kinds, file_name
from keras_hashing.device.metadata import LiteRTMetadata, add_metadata
from keras_hashing.files.atomic_write import atomic_write

if TYPE_CHECKING:
    from keras_hashing.encoder import HashEncoder


def export_litert(
    encoder: "HashEncoder",
    output: str | os.PathLike[str],
    kinds: Iterable[str] = KINDS,
    calibration: NDArray | None = None,
    free_batch: bool = False,
    continuous: bool = False,
    replace: bool = False,
    begin: Callable[[Kind], None] = lambda kind: None,
) -> list[Path]:
    """Writes an encoder as .tflite files, `encoder-<kind>.tflite`.

    Each has the one signature `encode`:

        image uint8 [1, h, w, C]  →  code uint8 [1, K/8]
                                     continuous float32 [1, K], with `continuous`

    The image has the size and channels of the encoder, as the training resized it; pixels are
    scaled in the graph. An encoder of vectors has vector float32 [1, D] in its place. The code is
    that of the server, packed as there. The file holds LiteRT's built-in operators only, which is
    checked, and `LiteRTMetadata`.

    A file appears whole or not at all. All are converted before the first is written.

    Args:
        output: the folder, made if need be.
        kinds: some of `KINDS`.
        calibration: for int8, the images that the ranges of activations come from, uint8
            [n, h, w, C], preprocessed, or vectors, float32 [n, D]; see `InputPool.draw`.
        free_batch: whether n images may come at a time: [n, h, w, C] → [n, K/8]; or vectors.
        continuous: whether to give the continuous code as well.
        begin: called with each kind when its conversion begins.

    Returns:
        The paths of the files, in the order of `KINDS`.

    Raises:
        FileExistsError: if a file exists and `replace` is false.
        OSError: if one cannot be written.
        ValueError: if a kind is unknown, int8 is wanted without images (or vectors) of the
            encoder's shape, the model has weights that are not finite or operators that LiteRT
            lacks, or Keras runs on another backend than TensorFlow.
    """
    wanted = check_kinds(kinds)
    check_exportable(encoder, index=None, rerank=False)
    if "int8" in wanted:
        _check_calibration(calibration, encoder)
    paths = check_new_files(output, [file_name(kind) for kind in wanted], replace)
    contents = []
    with tempfile.TemporaryDirectory() as graph:
        write_encoder_graph(encoder, graph, free_batch, continuous)
        for kind in wanted:
            begin(kind)
            content = convert(graph, kind, calibration)
            check_builtin_operators(content)
            images = len(calibration) if kind == "int8" and calibration is not None else None
            metadata = LiteRTMetadata.of(encoder, kind, free_batch, continuous, images)
            contents.append(add_metadata(content, metadata))
    Path(output).mkdir(parents=True, exist_ok=True)
    for path, content in zip(paths, contents, strict=True):
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    return paths


def _check_calibration(inputs: NDArray | None, encoder: "HashEncoder") -> None:
    kind, dtype = ("vectors", np.float32) if encoder.takes_vectors else ("images", np.uint8)
    shape = encoder.preprocessing.shape
    if inputs is None or len(inputs) == 0:
        raise ValueError(
            f"Full int8 needs representative {kind}: `calibration` must hold some. Received: none"
        )
    if inputs.dtype != dtype or inputs.shape[1:] != shape:
        raise ValueError(
            f"`calibration` must be {np.dtype(dtype)} [n, {', '.join(map(str, shape))}]. "
            f"Received: {inputs.dtype} {list(inputs.shape)}"
        )
