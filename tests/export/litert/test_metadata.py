from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.litert.search_file import export_search
from keras_hashing.device.flatbuffer import parse, read_tflite, serialize
from keras_hashing.device.kinds import KINDS
from keras_hashing.device.metadata import ENTRY, read_metadata
from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import Run

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_it_is(kind: str, files: Callable[[str], Path], grey_run: Run) -> None:
    metadata = read_metadata(files(kind))
    assert metadata.kind == kind
    assert metadata.bits == 32
    assert metadata.image_shape == (8, 8, 1)
    assert metadata.colour_order == "grey"
    assert metadata.batch == 1
    assert metadata.continuous
    assert metadata.fingerprint == grey_run.encoder.fingerprint
    assert metadata.bit_order.startswith("numpy.packbits")
    assert metadata.calibration_images == (60 if kind == "int8" else None)


def test_metadata_is_one_entry_beside_those_of_the_converter(files: Callable[[str], Path]) -> None:
    names = [entry.name for entry in parse(read_tflite(files("int8"))).metadata]
    assert names.count(ENTRY.encode()) == 1
    assert b"min_runtime_version" in names


def changed(path: Path, target: Path, change: Callable[[object], None]) -> Path:
    model = parse(read_tflite(path))
    change(model)
    target.write_bytes(serialize(model))
    return target


def test_a_file_without_metadata_is_refused(files: Callable[[str], Path], tmp_path: Path) -> None:
    def remove(model: object) -> None:
        model.metadata = None

    path = changed(files("float32"), tmp_path / "other.tflite", remove)
    with pytest.raises(ValueError, match=r"other.tflite' has no metadata 'keras_hashing'"):
        read_metadata(path)


def test_damaged_metadata_is_named(files: Callable[[str], Path], tmp_path: Path) -> None:
    def spoil(model: object) -> None:
        (entry,) = [entry for entry in model.metadata if entry.name == ENTRY.encode()]
        data = model.buffers[entry.buffer].data
        model.buffers[entry.buffer].data = data.tobytes().replace(b'"bits":32', b'"bits":-1')

    path = changed(files("float32"), tmp_path / "spoilt.tflite", spoil)
    with pytest.raises(
        ValueError, match=r"spoilt.tflite' cannot be read: `bits`: .*greater than or equal to 1"
    ):
        read_metadata(path)


def test_what_is_no_tflite_file_is_refused(files: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.tflite"):
        read_metadata(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("not a model")
    with pytest.raises(ValueError, match=r"text\.tflite' is no .tflite file"):
        read_metadata(tmp_path / "text.tflite")
    (tmp_path / "cut.tflite").write_bytes(files("float32").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cut\.tflite' is damaged"):
        read_metadata(tmp_path / "cut.tflite")


@pytest.mark.parametrize("buffer", [0, 10_000])
def test_a_file_whose_metadata_points_nowhere_is_damaged(
    buffer: int, files: Callable[[str], Path], tmp_path: Path
) -> None:
    def misdirect(model: object) -> None:
        (entry,) = [entry for entry in model.metadata if entry.name == ENTRY.encode()]
        entry.buffer = buffer

    path = changed(files("float32"), tmp_path / "astray.tflite", misdirect)
    with pytest.raises(ValueError, match=r"astray\.tflite' is damaged: its metadata"):
        read_metadata(path)


def test_a_file_that_searches_is_no_encoder(tmp_path: Path) -> None:
    index = CodeIndex(np.zeros((4, 2), np.uint8), ["a", "b", "c", "d"], "space")
    path = export_search(index, tmp_path, k=3)
    with pytest.raises(ValueError, match=r"must be an encoder.*search\.tflite', which searches"):
        read_metadata(path)
