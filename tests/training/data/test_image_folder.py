import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_hashing.files.image_folder import image_files
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data import load_dataset
from training.data.sources.image_folder import load_image_folder

MakeImage = Callable[..., Path]


@pytest.fixture
def image(tmp_path: Path) -> MakeImage:
    """Writes an image of one colour (or grey level) and returns its path."""

    def write(
        name: str, colour: int | tuple[int, ...] = (200, 10, 10), size: tuple[int, int] = (6, 4)
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)
        return path

    return write


@pytest.fixture
def folder(image: MakeImage, tmp_path: Path) -> Path:
    image("dogs/b.jpg")
    image("dogs/a.png")
    image("cats/c.bmp")
    image("cats/indoors/d.gif")
    return tmp_path


def test_classes_are_the_subfolders_and_ids_the_relative_paths(folder: Path) -> None:
    dataset = load_dataset("folder", folder)
    assert dataset.class_names == ["cats", "dogs"]
    assert dataset.ids == ["cats/c.bmp", "cats/indoors/d.gif", "dogs/a.png", "dogs/b.jpg"]
    np.testing.assert_array_equal(dataset.labels, [[1, 0], [1, 0], [0, 1], [0, 1]])
    assert dataset.part.tolist() == ["train"] * 4
    assert dataset.skipped == {}


def test_images_are_read_from_their_files(folder: Path) -> None:
    dataset = load_dataset("folder", folder)
    for pixels in dataset.images.images(range(4), ImagePreprocessing(4, 6, 3)):
        np.testing.assert_allclose(pixels[0, 0], [200, 10, 10], atol=3)


def test_the_content_counts_and_not_the_extension(folder: Path) -> None:
    (folder / "dogs/b.jpg").rename(folder / "dogs/b.data")
    assert "dogs/b.data" in load_dataset("folder", folder).ids


def test_the_shape_is_known_when_all_images_share_it(folder: Path, image: MakeImage) -> None:
    assert load_dataset("folder", folder).image_shape == (4, 6, 3)
    image("dogs/wide.png", size=(9, 4))
    assert load_dataset("folder", folder).image_shape == (4, None, 3)


def test_images_without_colour_are_grey(image: MakeImage, tmp_path: Path) -> None:
    image("a/1.png", colour=7)
    image("b/2.jpg", colour=(7, 7, 7))
    assert load_dataset("folder", tmp_path).image_shape == (4, 6, 1)
    image("b/3.png", colour=(7, 7, 8))
    assert load_dataset("folder", tmp_path).image_shape == (4, 6, 3)


def test_hidden_files_and_files_beside_the_classes_are_ignored(folder: Path) -> None:
    for name in (".git/x.png", "dogs/.DS_Store", "cats/.cache/y.png", "README.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no image")
    dataset = load_dataset("folder", folder)
    assert dataset.class_names == ["cats", "dogs"]
    assert len(dataset) == 4


def spoil(folder: Path, kind: str) -> str:
    path = folder / "cats" / f"bad-{kind}.jpg"
    match kind:
        case "text":
            path.write_text("no image at all")
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path, "JPEG")
            path.write_bytes(path.read_bytes()[:900])
        case "tiff":
            Image.new("RGB", (4, 4)).save(path, "TIFF")
        case "dangling link":
            path.symlink_to(folder / "nowhere")
        case "palette":
            Image.linear_gradient("L").convert("RGB").quantize(8).save(path, "BMP")
        case "bomb":
            Image.new("1", (8193, 8192)).save(path, "PNG")
    return f"cats/bad-{kind}.jpg"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "is no image"),
        ("empty", "is empty"),
        ("truncated", "is damaged"),
        ("tiff", "is a TIFF file: convert it to JPEG or PNG"),
        ("dangling link", "cannot be read"),
        ("palette", "is a BMP with a colour palette"),
        ("bomb", "has more than 67,108,864 pixels"),
    ],
)
def test_a_bad_file_is_named_with_the_reason(folder: Path, kind: str, reason: str) -> None:
    name = spoil(folder, kind)
    with pytest.raises(ValueError, match=rf"(?s)1 of 5 files.*{reason}.*{name}.*skip"):
        load_dataset("folder", folder)


def test_bad_files_can_be_skipped_and_are_listed(folder: Path) -> None:
    bad = [spoil(folder, kind) for kind in ("empty", "truncated")]
    with pytest.warns(
        UserWarning, match=r"(?s)2 of 6 files .* are left out.*bad-empty.*bad-truncated"
    ):
        dataset = load_dataset("folder", folder, on_bad_image="skip")
    assert list(dataset.skipped) == bad
    assert [why.split(",")[0] for why in dataset.skipped.values()] == ["is empty", "is damaged"]
    assert len(dataset) == len(list(dataset.images.images(range(4), ImagePreprocessing(2, 2, 1))))


def test_a_command_that_goes_on_with_a_run_warns_of_nothing(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset("folder", folder, on_bad_image="skip")  # nor where no file is bad
        spoil(folder, "empty")
        (folder / "cats" / "notes.txt").write_text("no image")
        load_dataset("folder", folder, on_bad_image="skip", warn=False)


def test_the_error_names_only_the_first_of_many_bad_files(folder: Path) -> None:
    for position in range(30):
        (folder / f"dogs/bad-{position:02}.png").write_text("no")
    with pytest.raises(ValueError, match=r"(?s)30 of 34.*bad-04.*and 25 more") as failure:
        load_dataset("folder", folder)
    assert "bad-05" not in str(failure.value)


def test_a_class_without_an_image_is_refused(folder: Path) -> None:
    (folder / "birds").mkdir()
    with pytest.raises(ValueError, match=r"without an image: \['birds'\]"):
        load_dataset("folder", folder)


def test_a_class_that_loses_all_its_images_is_refused(folder: Path) -> None:
    (folder / "birds").mkdir()
    (folder / "birds/a.png").write_text("no")
    with (
        pytest.warns(UserWarning, match="birds/a.png"),
        pytest.raises(ValueError, match="birds"),
    ):
        load_dataset("folder", folder, on_bad_image="skip")


def test_other_files_are_passed_over_and_counted(folder: Path) -> None:
    for name in ("notes.txt", "indoors/list", "Thumbs.db", "desktop.ini"):
        (folder / "cats" / name).write_text("no image")
    with pytest.warns(UserWarning, match=r"Passed over 2 files .*'cats/notes.txt'") as caught:
        assert len(load_dataset("folder", folder)) == 4
    assert "Thumbs" not in str(caught[0].message)


def test_linked_folders_are_walked_once(image: MakeImage, folder: Path, tmp_path: Path) -> None:
    image("elsewhere/e.png")
    (tmp_path / "elsewhere").rename(tmp_path.parent / "elsewhere")
    (folder / "cats" / "linked").symlink_to(tmp_path.parent / "elsewhere")
    (folder / "cats" / "indoors" / "up").symlink_to(folder / "cats")
    ids = ["cats/c.bmp", "cats/indoors/d.gif", "cats/linked/e.png"]
    assert load_dataset("folder", folder).ids[:3] == ids
    assert [path.relative_to(folder).as_posix() for path in image_files(folder)][:3] == ids


def test_a_folder_can_be_read_without_labels(folder: Path, image: MakeImage) -> None:
    image("loose.png")
    dataset = load_image_folder(folder, labels="none")
    assert dataset.labels.shape == (5, 0)
    assert dataset.class_names == []
    assert dataset.ids[0] == "loose.png"


def test_a_folder_without_classes_is_refused(image: MakeImage, tmp_path: Path) -> None:
    image("a.png")
    with pytest.raises(ValueError, match="no class folder"):
        load_dataset("folder", tmp_path)


def test_a_single_class_is_refused(image: MakeImage, tmp_path: Path) -> None:
    image("cats/a.png")
    with pytest.raises(ValueError, match=r"one class folder, 'cats'.*at least 2"):
        load_dataset("folder", tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path, image: MakeImage) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*does not exist"):
        load_dataset("folder", tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load_dataset("folder", image("a.png"))
    with pytest.raises(ValueError, match="needs `data_dir`"):
        load_dataset("folder")


def test_an_unknown_way_to_treat_bad_files_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="'error' or 'skip'"):
        load_dataset("folder", folder, on_bad_image="ignore")
