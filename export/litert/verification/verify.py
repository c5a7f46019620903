"""The check of exported encoders against the Keras model, on real images."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from export.litert.input_pool import InputPool
from export.litert.verification.bit_agreement import BitAgreement
from export.litert.verification.latency import interleaved_latency
from keras_hashing.device.device_encoder import DeviceEncoder
from keras_hashing.device.kinds import KINDS, Kind
from keras_hashing.device.metadata import read_metadata
from keras_hashing.retrieval import CodeIndex, mean_average_precision, pack_codes

if TYPE_CHECKING:
    from export.saved_model.served_encoder import ServedEncoder
    from keras_hashing.encoder import HashEncoder
    from training.runs.run_data import RunData
    from training.runs.run_folder import Run

THREADS = (1, 2)
_BATCH = 64
_NEIGHBOURS = 10


class EncoderReport(BaseModel):
    """What was found of one encoder.

    Attributes:
        name: the file's name, or "SavedModel".
        kind: the kind of a .tflite file; `None` for the SavedModel.
        agreement: bit agreement with the Keras model.
        neighbours: of the nearest by the Keras model's codes, the share that its codes find.
        map: mAP of its query codes against the server's database codes; `None` without labels.
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
    neighbours: float
    map: float | None = None
    map_loss: float | None = None
    bytes: int | None = None
    size_ratio: float | None = None
    latency_ms: dict[int, float] = {}
    latency_ratio: dict[int, float] = {}


class Verification(BaseModel):
    """What was found of all encoders.

    Attributes:
        database: codes of the run's database; `None` without labels.
        server_map: mAP of the server's own query codes, those of the Keras model; or `None`.
        encoders: the SavedModel, if any, and the files.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    bits: int
    images: int
    database: int | None
    server_map: float | None
    encoders: list[EncoderReport]


class LabelledDatabase(NamedTuple):
    """What mAP is measured against.

    Attributes:
        codes: packed codes of the server's database, uint8 [N, K/8].
        labels: their labels, [N, C].
        labels_of: positions of images → their labels.
    """

    codes: NDArray[np.uint8]
    labels: NDArray
    labels_of: Callable[[NDArray[np.int64]], NDArray]

    @classmethod
    def of_run(cls, run: "Run", data: "RunData") -> Self:
        """The database of a run.

        Raises:
            ValueError: if the codes in the run's folder lack some of its database.
        """
        index = CodeIndex.load(run.index_path)
        index.check_fingerprint(run.encoder.fingerprint)
        database = data.split.database
        row_of = {name: row for row, name in enumerate(index.ids)}  # --index-all has queries too
        rows = [row_of.get(data.dataset.ids[position], -1) for position in database]
        if min(rows) < 0:
            raise ValueError(
                f"The database codes {str(run.index_path)!r} must be of the run's database. "
                f"Received: {len(index)} codes without some of its {len(database)} ids"
            )
        labels = data.dataset.labels
        return cls(index.codes[rows], labels[database], lambda positions: labels[positions])


def verify(
    encoder: "HashEncoder",
    pool: InputPool,
    litert: str | os.PathLike[str],
    served: "ServedEncoder | None" = None,
    database: LabelledDatabase | None = None,
    images: int = 1000,
    margin: float = 0.1,
    latency_rounds: int = 50,
) -> Verification:
    """Encodes real images with every encoder, and compares.

    The reference is the Keras model. mAP is tie-aware and over the whole ranking, of the images
    against the database codes of the server. Neighbours are counted among the images themselves, an
    image's own code left out: of the 10 nearest by an encoder's codes (of the images in the order
    given at equal distances), the share that is not farther than the 10th nearest by the Keras
    model's.

    Args:
        pool: where the images, or vectors, come from.
        litert: a folder with this encoder's files, `encoder*.tflite`.
        served: its SavedModel; it gets images as files.
        database: what mAP is measured against; `None` for no mAP.
        images: images to encode, spread evenly, at least 1; all of them if there are fewer.
        margin: see `BitAgreement`.
        latency_rounds: see `interleaved_latency`.

    Raises:
        FileNotFoundError: if there is no folder `litert`, or no such file in it.
        NotADirectoryError: if it is a file.
        ValueError: if a file or the SavedModel is of another code space, a file is damaged or takes
            inputs of another size, or an argument breaks its rule.
    """
    if images < 1:
        raise ValueError(f"`images` must be at least 1. Received: {images}")
    paths = list(tflite_files(litert, encoder.fingerprint))
    if served is not None and served.card.fingerprint != encoder.fingerprint:
        _refuse_other_code_space("The SavedModel", served.card.fingerprint, encoder.fingerprint)
    positions = pool.spread(images)
    inputs = pool.inputs(positions)
    continuous = encoder.continuous(inputs, _BATCH)
    reference = pack_codes(continuous)

    def map_of(codes: NDArray[np.uint8]) -> float | None:
        if database is None:
            return None
        labels = database.labels_of(positions)
        return mean_average_precision(codes, labels, database.codes, database.labels)

    server_map = map_of(reference)

    def report(name: str, kind: Kind | None, codes: NDArray[np.uint8]) -> EncoderReport:
        found = map_of(codes)
        return EncoderReport(
            name=name,
            kind=kind,
            agreement=BitAgreement.measure(codes, continuous, margin),
            neighbours=_neighbours_found(codes, reference),
            map=found,
            map_loss=None if found is None or server_map is None else server_map - found,
        )

    reports = []
    if served is not None:
        reports.append(report("SavedModel", None, _served_codes(served, pool, positions)))
    for path in paths:
        device = DeviceEncoder(path)
        reports.append(report(path.name, device.metadata.kind, device.encode(inputs)))
    return Verification(
        fingerprint=encoder.fingerprint,
        bits=encoder.bits,
        images=len(positions),
        database=None if database is None else len(database.codes),
        server_map=server_map,
        encoders=_with_costs(reports, paths, inputs[:1], latency_rounds),
    )


def _neighbours_found(codes: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """See `verify`; 1 where there is no other image."""
    k = min(_NEIGHBOURS, len(codes) - 1)
    if k < 1:
        return 1.0
    shares = []
    for row, (code, true_code) in enumerate(zip(codes, reference, strict=True)):
        distances, true = (
            np.delete(np.bitwise_count(own ^ all_codes).sum(axis=1, dtype=np.int32), row)
            for own, all_codes in ((code, reference), (true_code, reference))
        )
        nearest = np.argsort(distances, kind="stable")[:k]
        shares.append(np.mean(true[nearest] <= np.partition(true, k - 1)[k - 1]))
    return float(np.mean(shares))


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
        f"Codes of two models do not mix: {what} must be of the encoder's code space {wanted!r}. "
        f"Received: fingerprint={received!r}"
    )


def _served_codes(
    served: "ServedEncoder", pool: InputPool, positions: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The server's codes of images, which it gets as files, or of vectors."""
    if pool.content is None:
        return served.encode(pool.inputs(positions))
    codes = []
    for start in range(0, len(positions), _BATCH):
        batch = positions[start : start + _BATCH]
        codes.append(served.encode_bytes([pool.content(int(at)) for at in batch]))
    return np.concatenate(codes)


def _with_costs(
    reports: Sequence[EncoderReport], paths: Sequence[Path], one: NDArray, rounds: int
) -> list[EncoderReport]:
    """The reports with sizes and latencies of the files."""
    calls = {}
    for path in paths:
        for threads in THREADS:
            encoder = DeviceEncoder(path, threads)
            calls[path.name, threads] = lambda encoder=encoder: encoder.encode(one)
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
