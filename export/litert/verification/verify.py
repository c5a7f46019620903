"""The check of exported encoders against the Keras model, on real images."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from export.litert.calibration import read_images
from export.litert.verification.bit_agreement import BitAgreement
from export.litert.verification.latency import interleaved_latency
from keras_hashing.device.device_encoder import DeviceEncoder
from keras_hashing.device.kinds import KINDS, Kind
from keras_hashing.device.metadata import read_metadata
from keras_hashing.retrieval import CodeIndex, mean_average_precision, pack_codes

if TYPE_CHECKING:
    from export.saved_model.served_encoder import ServedEncoder
    from training.runs.run_data import RunData
    from training.runs.run_folder import Run

THREADS = (1, 2)
_BATCH = 64


class EncoderReport(BaseModel):
    """What was found of one encoder.

    Attributes:
        name: the file's name, or "SavedModel".
        kind: the kind of a .tflite file; `None` for the SavedModel.
        agreement: bit agreement with the Keras model.
        map: mAP of its query codes against the server's database codes.
        map_loss: how far it lies below that of the server's own query codes.
        bytes: size of the file; `None` for the SavedModel.
        size_ratio: the same as a share of the float32 file's; `None` if there is none.
        latency_ms: median milliseconds for one image, by the number of threads.
        latency_ratio: the same as a share of the float32 file's.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind | None
    agreement: BitAgreement
    map: float
    map_loss: float
    bytes: int | None = None
    size_ratio: float | None = None
    latency_ms: dict[int, float] = {}
    latency_ratio: dict[int, float] = {}


class Verification(BaseModel):
    """What was found of all encoders.

    Attributes:
        fingerprint: the name of the code space.
        bits: the length of a code.
        images: queries that were encoded.
        database: codes that were searched.
        server_map: mAP of the server's own query codes, those of the Keras model.
        encoders: the SavedModel, if any, and the files.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    bits: int
    images: int
    database: int
    server_map: float
    encoders: list[EncoderReport]


def verify(
    run: "Run",
    data: "RunData",
    litert: str | os.PathLike[str],
    served: "ServedEncoder | None" = None,
    images: int = 1000,
    margin: float = 0.1,
    latency_rounds: int = 50,
) -> Verification:
    """Encodes real query images with every encoder, and compares.

    The reference is the run's Keras model. mAP is tie-aware and over the whole ranking, of the
    queries against the database codes in the run's folder: those of the server.

    Args:
        run: a finished run.
        data: its data, checked.
        litert: a folder with this run's files, `encoder*.tflite`.
        served: its SavedModel; it gets the query images as files.
        images: queries to encode, spread evenly, at least 1; all of them if there are fewer.
        margin: see `BitAgreement`.
        latency_rounds: see `interleaved_latency`.

    Raises:
        FileNotFoundError: if there is no folder `litert`, or no such file in it.
        NotADirectoryError: if it is a file.
        ValueError: if a file or the SavedModel is of another code space, a file is damaged or takes
            images of another size, the database codes are not of the data, or an argument breaks
            its rule.
    """
    if images < 1:
        raise ValueError(f"`images` must be at least 1. Received: {images}")
    paths = list(tflite_files(litert, run.fingerprint))
    if served is not None and served.card.fingerprint != run.fingerprint:
        _refuse_other_code_space("The SavedModel", served.card.fingerprint, run.fingerprint)
    query = _spread(data.split.query, images)
    pixels = read_images(data, query)
    continuous = run.model.encoder.predict(pixels, batch_size=_BATCH, verbose=0)
    map_of = _mean_average_precision(run, data, query)
    server_map = map_of(pack_codes(continuous))

    def report(name: str, kind: Kind | None, codes: NDArray[np.uint8]) -> EncoderReport:
        found = map_of(codes)
        return EncoderReport(
            name=name,
            kind=kind,
            agreement=BitAgreement.measure(codes, continuous.astype(np.float32), margin),
            map=found,
            map_loss=server_map - found,
        )

    reports = []
    if served is not None:
        reports.append(report("SavedModel", None, _served_codes(served, data, query)))
    for path in paths:
        encoder = DeviceEncoder(path)
        reports.append(report(path.name, encoder.metadata.kind, encoder.encode(pixels)))
    return Verification(
        fingerprint=run.fingerprint,
        bits=run.model.bits,
        images=len(query),
        database=len(data.split.database),
        server_map=server_map,
        encoders=_with_costs(reports, paths, pixels[:1], latency_rounds),
    )


def tflite_files(folder: str | os.PathLike[str], fingerprint: str) -> dict[Path, Kind]:
    """The encoders in a folder, `encoder*.tflite`, and their kinds, in the order of `KINDS`.

    Raises:
        FileNotFoundError: if there is no such folder, or no such file in it.
        NotADirectoryError: if `folder` is a file.
        ValueError: if one was not written by `python -m export litert`, or is of another code
            space.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder of .tflite files {str(folder)!r}")
    if not folder.is_dir():
        raise NotADirectoryError(
            "`litert` (--litert) must be the folder of the .tflite files. "
            f"Received: the file {str(folder)!r}; give its folder {str(folder.parent)!r}"
        )
    paths = sorted(folder.glob("encoder*.tflite"))
    if not paths:
        raise FileNotFoundError(f"There is no file encoder*.tflite in {str(folder)!r}")
    kinds: dict[Path, Kind] = {}
    for path in paths:
        metadata = read_metadata(path)
        if metadata.fingerprint != fingerprint:
            _refuse_other_code_space(repr(str(path)), metadata.fingerprint, fingerprint)
        kinds[path] = metadata.kind
    return dict(sorted(kinds.items(), key=lambda item: (KINDS.index(item[1]), item[0].name)))


def _refuse_other_code_space(what: str, received: str, wanted: str) -> None:
    raise ValueError(
        f"Codes of two models do not mix: {what} must be of the run's code space {wanted!r}. "
        f"Received: fingerprint={received!r}"
    )


def _spread(positions: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the positions, spread evenly, in their order."""
    count = min(count, len(positions))
    return positions[np.arange(count) * len(positions) // count]


def _mean_average_precision(
    run: "Run", data: "RunData", query: NDArray[np.int64]
) -> Callable[[NDArray[np.uint8]], float]:
    """The function from query codes to their mAP against the server's database."""
    index = CodeIndex.load(run.index_path)
    index.check_fingerprint(run.fingerprint)
    database = data.split.database
    if list(index.ids) != [data.dataset.ids[position] for position in database]:
        raise ValueError(
            f"The database codes {str(run.index_path)!r} must be of the run's database. "
            f"Received: {len(index)} codes with other ids than its {len(database)} images"
        )
    labels = data.dataset.labels

    def map_of(codes: NDArray[np.uint8]) -> float:
        return mean_average_precision(codes, labels[query], index.codes, labels[database])

    return map_of


def _served_codes(
    served: "ServedEncoder", data: "RunData", query: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The server's codes of query images, which it gets as files."""
    codes = []
    for start in range(0, len(query), _BATCH):
        batch = query[start : start + _BATCH]
        files = [data.dataset.images.encoded_image(int(position))[0] for position in batch]
        codes.append(served.encode_bytes(files))
    return np.concatenate(codes)


def _with_costs(
    reports: Sequence[EncoderReport], paths: Sequence[Path], image: NDArray[np.uint8], rounds: int
) -> list[EncoderReport]:
    """The reports with sizes and latencies of the files."""
    calls = {}
    for path in paths:
        for threads in THREADS:
            encoder = DeviceEncoder(path, threads)
            calls[path.name, threads] = lambda encoder=encoder: encoder.encode(image)
    latency = interleaved_latency(calls, rounds)
    sizes = {path.name: path.stat().st_size for path in paths}
    baseline = next((report.name for report in reports if report.kind == "float32"), None)

    def with_costs(report: EncoderReport) -> EncoderReport:
        if report.kind is None:
            return report
        taken = {threads: latency[report.name, threads] for threads in THREADS}
        costs: dict[str, object] = {"bytes": sizes[report.name], "latency_ms": taken}
        if baseline is not None:
            costs["size_ratio"] = sizes[report.name] / sizes[baseline]
            costs["latency_ratio"] = {
                threads: taken[threads] / latency[baseline, threads] for threads in THREADS
            }
        return report.model_copy(update=costs)

    return [with_costs(report) for report in reports]
