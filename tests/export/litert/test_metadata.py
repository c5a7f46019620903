import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export.litert.flatbuffer import parse, read_tflite, serialize
from export.litert.kinds import KINDS
from export.litert.metadata import ENTRY, read_metadata
from training.runs import Run


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_says_what_it_is(kind: str, files: Callable[[str], Path], grey_run: Run) -> None:
    metadata = read_metadata(files(kind))
    assert metadata.kind == kind
    assert metadata.bits == 32
    assert metadata.image_shape == (8, 8, 1)
    assert metadata.colour_order == "grey"
    assert metadata.batch == 1
    assert metadata.continuous
    assert metadata.fingerprint == grey_run.fingerprint
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
        model.buffers[entry.buffer].data = data.tobytes().replace(b'"bits":32', b'"bits":31')

    path = changed(files("float32"), tmp_path / "spoilt.tflite", spoil)
    with pytest.raises(ValueError, match=r"spoilt.tflite' cannot be read: bits: .*multiple of 8"):
        read_metadata(path)


def test_what_is_no_tflite_file_is_refused(files: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.tflite"):
        read_metadata(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("not a model")
    with pytest.raises(ValueError, match=r"text\.tflite' is no .tflite file"):
        read_metadata(tmp_path / "text.tflite")
    (tmp_path / "cut.tflite").write_bytes(files("float32").read_bytes()[:1000])
    with pytest.raises(ValueError, match="is damaged"):
        read_metadata(tmp_path / "cut.tflite")


def test_a_file_is_read_and_run_without_tensorflow(files: Callable[[str], Path]) -> None:
    script = (
        "import sys, numpy as np\n"
        "from export.litert.device_encoder import DeviceEncoder\n"
        "codes = DeviceEncoder(sys.argv[1]).encode(np.zeros((2, 8, 8, 1), np.uint8))\n"
        "print(codes.shape, [name for name in ('tensorflow', 'keras') if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(files("float32"))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "(2, 4) []\n"
