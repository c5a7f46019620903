"""The encoder of .tflite files as it is installed: nothing but its extra."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from installed_wheel import InstalledWheel, build_wheel

from training.runs.run_folder import Run


def test_the_device_extra_encodes(
    files: Callable[[str], Path], grey_run: Run, digits: np.ndarray, tmp_path: Path
) -> None:
    installed = InstalledWheel(build_wheel(tmp_path), tmp_path / "installed", "device")
    np.save(tmp_path / "images.npy", digits[:5])
    program = (
        "import sys, numpy as np; from keras_hashing.device import DeviceEncoder\n"
        "codes = DeviceEncoder(sys.argv[1]).encode(np.load(sys.argv[2]))\n"
        "print(codes.tobytes().hex(), {'tensorflow', 'keras'} & set(sys.modules))\n"
    )
    ran = installed.run(program, str(files("float32")), str(tmp_path / "images.npy"))
    expected = grey_run.model.encode(digits[:5]).tobytes().hex()
    assert ran.stdout.strip() == f"{expected} set()", ran.stderr
