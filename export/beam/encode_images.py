"""A transform of Apache Beam that encodes images with an exported SavedModel."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler, RunInference

from export.index.encode_files import encode_batch
from export.saved_model.served_encoder import ServedEncoder

# A path, which is its own id; or an id with a path or with the content of an image file.
Image = str | tuple[str, str | bytes]

CODES = "codes"
BAD = "bad"


class Encoded(NamedTuple):
    """An image with its packed code of K/8 bytes; or, without one, what is wrong with it."""

    id: str
    code: bytes | None
    problem: str | None


class SavedModelHandler(ModelHandler[Image, Encoded, ServedEncoder]):
    """Runs the signature `encode_bytes` of an exported SavedModel in `RunInference`.

    A process of a worker loads the model once. Beam's own handler for TensorFlow wants
    tensorflow_hub and takes no SavedModel.

    Args:
        model: a version's folder, or the folder of the versions, at the same place on each worker.
        batch_size: most images encoded together.
    """

    def __init__(self, model: str | os.PathLike[str], batch_size: int = 64) -> None:
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
        self._model = os.fspath(model)

    def load_model(self) -> ServedEncoder:
        """Loads the model and checks its files."""
        return ServedEncoder.load(self._model)

    def run_inference(
        self,
        batch: Sequence[Image],
        model: ServedEncoder,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Encoded]:
        """Encodes a batch with the verdicts of `index build`."""
        problems: dict[int, str] = {}
        positions = range(len(batch))
        good, codes = encode_batch(
            model.encode_bytes, lambda at: _content(batch[at]), positions, problems.__setitem__
        )
        found = dict(zip(good, codes, strict=True))
        return [
            Encoded(_id(image), found[at].tobytes() if at in found else None, problems.get(at))
            for at, image in enumerate(batch)
        ]

    def get_num_bytes(self, batch: Sequence[Image]) -> int:
        """Of what is handed over, for Beam's metrics; files are read later."""
        return sum(len(image if isinstance(image, str) else image[1]) for image in batch)

    def get_metrics_namespace(self) -> str:
        """What Beam's metrics are listed under."""
        return "keras_hashing"


class EncodeImages(beam.PTransform):
    """Encodes images; those that cannot be encoded come out with the reason.

    The input holds paths of image files (of any file system that Beam reads; the path is the id),
    or pairs of an id and a path or the content of an image file.

    The output has `codes`, pairs of an id and a packed code of K/8 bytes, and `bad`, pairs of an
    id and what is wrong, in the words of `index build`.

    Args:
        model: an exported SavedModel; see `SavedModelHandler`.
        batch_size: most images encoded together.

    Example:

    >>> encoded = pipeline | beam.Create(["a.jpg", "b.png"]) | EncodeImages("exported/shop")
    >>> encoded.codes | beam.Map(print); encoded.bad | beam.Map(print)
    """

    def __init__(self, model: str | os.PathLike[str], batch_size: int = 64) -> None:
        super().__init__()
        self._handler = SavedModelHandler(model, batch_size)

    def expand(self, images: Any) -> Any:
        """Runs the model and parts good from bad."""
        return (
            images
            | "Encode" >> RunInference(self._handler)
            | "Part" >> beam.FlatMap(_part).with_outputs(BAD, main=CODES)
        )


def _part(encoded: Encoded) -> Iterator[Any]:
    if encoded.code is None:
        yield beam.pvalue.TaggedOutput(BAD, (encoded.id, encoded.problem))
    else:
        yield encoded.id, encoded.code


def _id(image: Image) -> str:
    return image if isinstance(image, str) else image[0]


def _content(image: Image) -> bytes:
    source = image if isinstance(image, str) else image[1]
    if isinstance(source, bytes):
        return source
    if "://" not in source:  # without the search for its file system
        with open(source, "rb") as file:
            return file.read()
    with FileSystems.open(source) as file:
        return file.read()
