"""The job that encodes a collection: from a source to shards with a manifest."""

import os
import re
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from export.beam.encode_images import BAD, CODES, EncodeImages
from export.beam.shards import LABELS, CodeSpace, WriteShards
from export.index.code_shards import MANIFEST
from keras_hashing.command_line.stages import stage

# What a worker raised reaches us as the last line of its traceback, in the text of another error.
_OF_WORKER = re.compile(r"^\w*Error: (.+?)( \[while running .*)?$", re.MULTILINE)
# What is left of a local worker that was killed: whoever listened to it.
_KILLED = ("Channel closed prematurely", "Worker subprocess exited")
_QUIET = "--default_sdk_harness_log_level=ERROR"  # an option of the user's comes after it, and wins


def check_no_shards(folder: str) -> None:
    """Refuses, by a `FileExistsError`, a folder with the shards of a finished job."""
    if FileSystems.exists(FileSystems.join(folder, MANIFEST)):
        raise FileExistsError(
            f"There are finished shards in {folder} already: --replace replaces them"
        )


def encode_to_shards(
    source: beam.PTransform,
    model: str | os.PathLike[str],
    folder: str,
    space: CodeSpace,
    *,
    labels: beam.PTransform | None = None,
    shards: int = 32,
    options: Sequence[str] = (),
) -> None:
    """Encodes a collection and waits for the end.

    Args:
        source: gives images, as `EncodeImages` takes them.
        model: an exported SavedModel, at the same place on each worker.
        folder: where the shards go, made if need be.
        space: what the model's codes are.
        labels: gives pairs of an id and a label; `None` without labels.
        shards: their number.
        options: of Beam, such as `["--runner=FlinkRunner"]`.

    Raises:
        ValueError: if Beam takes no such option, or a worker has failed; what it said is named.
    """
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    try:
        parsed = PipelineOptions([_QUIET, *options])
    except SystemExit:  # argparse has said why
        raise ValueError(f"These are no options of Beam: {' '.join(options)}") from None
    pipeline = beam.Pipeline(options=parsed)
    encoded = pipeline | "Find images" >> source | EncodeImages(model)
    outputs: dict[str, Any] = {CODES: encoded[CODES], BAD: encoded[BAD]}
    if labels is not None:
        outputs[LABELS] = pipeline | "Find labels" >> labels
    outputs | WriteShards(folder, space, shards)
    with stage("Encoding images with Beam", at_once=True):
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:  # each runner raises errors of its own
            if any(sign in str(error) for sign in _KILLED):
                raise ValueError(
                    "The job of Beam has failed: a worker has ended in the middle. It was killed, "
                    "perhaps for want of memory (fewer workers need less). Nothing that this job "
                    "wrote counts: run the same command again"
                ) from error
            said = _OF_WORKER.findall(str(error))
            reason = said[-1][0] if said else f"{type(error).__name__}: {error}"
            raise ValueError(f"The job of Beam has failed: {reason}") from error
