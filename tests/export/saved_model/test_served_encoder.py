import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.files.image_verdict import DAMAGED, NO_IMAGE
from training.runs.run_folder import Run


@pytest.fixture(scope="module")
def encoder(exports: dict[str, Path]) -> ServedEncoder:
    return ServedEncoder.load(exports["grey"])


@pytest.fixture
def files(tmp_path: Path, digits: np.ndarray, encode_image: Callable[..., bytes]) -> list[Path]:
    """Seven digits as PNG files."""
    paths = [tmp_path / f"{position}.png" for position in range(7)]
    for path, image in zip(paths, digits, strict=False):
        path.write_bytes(encode_image(image[..., 0]))
    return paths


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_files_get_the_codes_of_keras(
    encoder: ServedEncoder,
    files: list[Path],
    grey_run: Run,
    digits: np.ndarray,
    batch_size: int,
) -> None:
    codes, paths, skipped = encoder.encode_files(files, batch_size=batch_size)
    np.testing.assert_array_equal(codes, grey_run.model.encode(digits[:7]))
    assert (paths, skipped) == (files, {})


def test_no_files_give_no_codes(encoder: ServedEncoder) -> None:
    codes, paths, skipped = encoder.encode_files([])
    assert (codes.shape, codes.dtype, paths, skipped) == ((0, 4), np.uint8, [], {})


def test_a_repeated_file_counts_once(encoder: ServedEncoder, files: list[Path]) -> None:
    assert encoder.encode_files([files[0], str(files[0])]).paths == files[:1]


@pytest.fixture
def bad_files(files: list[Path], tmp_path: Path) -> dict[Path, str]:
    """Files that are no usable images, with what is said about them."""
    contents = {
        "empty.png": b"",
        "notes.txt": b"no image",
        "cut.png": files[0].read_bytes()[:40],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    return {
        tmp_path / "empty.png": "is empty",
        tmp_path / "notes.txt": NO_IMAGE,
        tmp_path / "cut.png": DAMAGED,
        tmp_path / "absent.png": "cannot be read (No such file or directory)",
        tmp_path / "folder": "cannot be read (Is a directory)",
    }


def test_a_bad_file_is_named(
    encoder: ServedEncoder, files: list[Path], bad_files: dict[Path, str]
) -> None:
    for path, problem in bad_files.items():
        with pytest.raises(ValueError, match="1 of 8 files cannot be used") as caught:
            encoder.encode_files([*files, path])
        assert f"1  {problem}: {str(path)!r}" in str(caught.value)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_bad_files_are_skipped_if_wanted(
    encoder: ServedEncoder, files: list[Path], bad_files: dict[Path, str], batch_size: int
) -> None:
    mixed = [path for pair in zip(files, bad_files, strict=False) for path in pair] + files[5:]
    codes, paths, skipped = encoder.encode_files(mixed, batch_size, on_bad_image="skip")
    assert (paths, skipped) == (files, bad_files)
    np.testing.assert_array_equal(codes, encoder.encode_files(files).codes)


def test_bad_arguments_are_refused(encoder: ServedEncoder) -> None:
    with pytest.raises(ValueError, match=r"`batch_size` must be at least 1. Received: 0"):
        encoder.encode_files([], batch_size=0)
    with pytest.raises(ValueError, match=r"`on_bad_image` must be .* Received: 'ignore'"):
        encoder.encode_files([], on_bad_image="ignore")
    with pytest.raises(ValueError, match="model of vectors. Received: one of images"):
        encoder.encode(np.zeros((1, 5)))


def test_the_parent_stands_for_its_highest_version(
    exports: dict[str, Path], tmp_path: Path
) -> None:
    for version in ("9", "10"):
        shutil.copytree(exports["colour"], tmp_path / version)
    (tmp_path / "99x").mkdir()
    encoder = ServedEncoder.load(tmp_path)
    assert encoder.folder == tmp_path / "10"
    assert encoder.card.bits == 16


def test_no_saved_model_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match="neither a SavedModel nor a numbered version"):
            ServedEncoder.load(folder)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.parametrize("content", [b"", b"damage"])
def test_a_damaged_saved_model_is_an_error(
    exports: dict[str, Path], tmp_path: Path, name: str, content: bytes
) -> None:
    folder = shutil.copytree(exports["grey"], tmp_path / "1")
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match="1' is damaged: "):
        ServedEncoder.load(folder)
