from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.litert.export_litert import export_litert
from keras_hashing.device.device_encoder import DeviceEncoder
from training.runs.run_folder import Run


@pytest.fixture(scope="module")
def encoder(files: Callable[[str], Path]) -> DeviceEncoder:
    return DeviceEncoder(files("float32"))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 1), np.float32), "pixels from 0 to 255.*Received: float32"),
        (np.zeros((2, 8, 8, 1), np.int8), "Received: int8"),
        (np.zeros((2, 9, 8, 1), np.uint8), r"does not resize. Received: uint8 \[2, 9, 8, 1\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"does not resize. Received: uint8 \[2, 8, 8, 3\]"),
        (np.zeros((2, 1, 8, 8), np.uint8), "the channels come last"),
        (np.zeros((8, 8, 1), np.uint8), r"a single image is images\[np.newaxis\]"),
        (np.zeros((8, 8), np.uint8), "does not resize"),
    ],
)
def test_other_images_are_refused(encoder: DeviceEncoder, images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=rf"`images` must be uint8 \[n, 8, 8, 1\]: .*{message}"):
        encoder.encode(images)


def test_no_image_gives_no_code(encoder: DeviceEncoder) -> None:
    assert encoder.encode(np.zeros((0, 8, 8, 1), np.uint8)).shape == (0, 4)
    assert encoder.continuous(np.zeros((0, 8, 8, 1), np.uint8)).shape == (0, 32)


def test_codes_do_not_depend_on_the_number_of_threads(
    files: Callable[[str], Path], encoder: DeviceEncoder, digits: np.ndarray
) -> None:
    two = DeviceEncoder(files("float32"), threads=2)
    np.testing.assert_array_equal(two.encode(digits[:30]), encoder.encode(digits[:30]))


def test_continuous_codes_must_have_been_exported(grey_run: Run, tmp_path: Path) -> None:
    (path,) = export_litert(grey_run.encoder, tmp_path, ["float32"])
    with pytest.raises(ValueError, match="gives no continuous codes: export it with --continuous"):
        DeviceEncoder(path).continuous(np.zeros((1, 8, 8, 1), np.uint8))


def test_threads_are_at_least_one(files: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match="`threads` must be at least 1. Received: 0"):
        DeviceEncoder(files("float32"), threads=0)
