"""An index is built of images, piece by piece, and can go on where it was interrupted."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.index.file_encoder import FileEncoder
from export.index.index_builder import build_index, extend_index
from export.index.index_items import ImageItems, dataset_items, folder_items, list_items
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.files.image_verdict import NO_IMAGE
from keras_hashing.retrieval import CodeIndex
from training.data import load_dataset
from training.runs.run_folder import Run

COUNT = 23


@pytest.fixture(scope="module")
def encoder(exports: dict[str, Path]) -> FileEncoder:
    return ServedEncoder.load(exports["grey"])


@pytest.fixture
def photos(tmp_path: Path, digits: np.ndarray, encode_image: Callable[..., bytes]) -> Path:
    """Digits as files 0.png, more/1.png, 2.png, …"""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "99.png").touch()
    for at in range(COUNT):
        path = folder / ("more" if at % 2 else "") / f"{at}.png"
        path.write_bytes(encode_image(digits[at][..., 0]))
    return folder


def codes_by_id(index: CodeIndex) -> dict[str, list[int]]:
    return dict(zip(index.ids, index.codes.tolist(), strict=True))


@pytest.fixture
def expected(grey_run: Run, digits: np.ndarray) -> dict[str, list[int]]:
    """The code of each of `photos` by its path, as Keras has it."""
    codes = grey_run.model.encode(digits[:COUNT]).tolist()
    return {f"{'more/' if at % 2 else ''}{at}.png": code for at, code in enumerate(codes)}


@pytest.mark.parametrize("of_run", [True, False])
def test_a_folder_gets_the_codes_of_keras(
    of_run: bool,
    encoder: FileEncoder,
    grey_run: Run,
    photos: Path,
    expected: dict[str, list[int]],
    tmp_path: Path,
) -> None:
    encoder = grey_run.encoder if of_run else encoder
    built = build_index(encoder, folder_items(photos), tmp_path / "index.npz", shard=5)
    loaded = CodeIndex.load(tmp_path / "index.npz")
    assert codes_by_id(loaded) == codes_by_id(built.index) == expected
    assert (loaded.labels, loaded.fingerprint) == (None, grey_run.encoder.fingerprint)
    assert not loaded.integer_ids
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.npz", "photos"]


class StoppedError(Exception):
    pass


class Changed:
    """An encoder with something else in place of what it has."""

    def __init__(self, encoder: FileEncoder, **changes: object) -> None:
        self._encoder = encoder
        self.__dict__.update(changes)

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)


def of_another_space(encoder: FileEncoder) -> FileEncoder:
    return Changed(encoder, fingerprint="other", has_fingerprint=lambda name: name == "other")


def interrupted_after(encoder: FileEncoder, batches: int) -> tuple[FileEncoder, list[int]]:
    """An encoder that fails after so many batches, and how many images it was given."""
    seen: list[int] = []

    def encode(contents: list[bytes]) -> np.ndarray:
        if len(seen) == batches:
            raise StoppedError
        seen.append(len(contents))
        return encoder.encode_bytes(contents)

    return Changed(encoder, encode_bytes=encode), seen


def test_an_interrupted_build_goes_on(
    encoder: FileEncoder, photos: Path, expected: dict[str, list[int]], tmp_path: Path
) -> None:
    items, output = folder_items(photos), tmp_path / "index.npz"
    broken, _ = interrupted_after(encoder, 3)
    with pytest.raises(StoppedError):
        build_index(broken, items, output, shard=5)
    assert not output.exists()
    assert (tmp_path / "index.npz.partial").is_dir()
    with pytest.raises(FileExistsError, match=r"interrupted build .*index\.npz\.partial.*--resume"):
        build_index(encoder, items, output, shard=5)
    counted, seen = interrupted_after(encoder, 99)
    build_index(counted, items, output, resume=True, shard=5)
    assert sum(seen) == COUNT - 15
    assert codes_by_id(CodeIndex.load(output)) == expected
    assert not (tmp_path / "index.npz.partial").exists()


def test_another_build_is_not_gone_on_with(
    encoder: FileEncoder, photos: Path, tmp_path: Path
) -> None:
    items, output = folder_items(photos), tmp_path / "index.npz"
    broken, _ = interrupted_after(encoder, 2)
    with pytest.raises(StoppedError):
        build_index(broken, items, output, shard=5)
    (photos / "new.png").write_bytes((photos / "0.png").read_bytes())
    for other_encoder, other_items in (
        (of_another_space(encoder), items),
        (encoder, folder_items(photos)),
    ):
        with pytest.raises(ValueError, match="another build: .* was .* Received: .*; delete the"):
            build_index(other_encoder, other_items, output, resume=True, shard=5)


def test_a_build_that_never_began_is_no_obstacle(
    encoder: FileEncoder, photos: Path, tmp_path: Path
) -> None:
    broken, _ = interrupted_after(encoder, 0)
    with pytest.raises(StoppedError):
        build_index(broken, folder_items(photos), tmp_path / "index.npz")
    build_index(encoder, folder_items(photos), tmp_path / "index.npz")
    build_index(encoder, folder_items(photos), tmp_path / "other.npz", resume=True)


def test_bad_images_are_named_or_skipped(
    encoder: FileEncoder, photos: Path, expected: dict[str, list[int]], tmp_path: Path
) -> None:
    (photos / "notes.jpg").write_text("no image")
    (photos / "gone.png").symlink_to(tmp_path / "absent")
    items, output = folder_items(photos), tmp_path / "index.npz"
    with pytest.raises(ValueError, match="cannot be used") as caught:
        build_index(encoder, items, output, shard=5)
    for line in (
        r"1  cannot be read \(No such file.*: 'gone\.png'",
        "1  is no image .*: 'notes.jpg'",
    ):
        assert re.search(line, str(caught.value))
    # What was done is not done again.
    built = build_index(encoder, items, output, on_bad_image="skip", resume=True, shard=5)
    assert built.skipped == {
        "gone.png": "cannot be read (No such file or directory)",
        "notes.jpg": NO_IMAGE,
    }
    assert codes_by_id(built.index) == expected


def test_no_good_image_makes_no_index(encoder: FileEncoder, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.jpg").touch()
    with pytest.raises(ValueError, match="None of the 1 images can be used"):
        build_index(
            encoder, folder_items(tmp_path / "photos"), tmp_path / "i.npz", on_bad_image="skip"
        )
    assert not (tmp_path / "i.npz").exists()


def test_an_index_is_replaced_only_if_wanted(
    encoder: FileEncoder, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "index.npz"
    build_index(encoder, folder_items(photos), output)
    (photos / "0.png").unlink()
    with pytest.raises(FileExistsError, match="exists already"):
        build_index(encoder, folder_items(photos), output)
    build_index(encoder, folder_items(photos), output, replace=True)
    assert len(CodeIndex.load(output)) == COUNT - 1


@pytest.mark.parametrize(
    ("id_type", "as_int64"), [("auto", True), ("int64", True), ("string", False)]
)
def test_stems_may_be_integers(
    id_type: str, as_int64: bool, encoder: FileEncoder, photos: Path, tmp_path: Path
) -> None:
    items = folder_items(photos, id_from="stem")
    built = build_index(encoder, items, tmp_path / "index.npz", id_type=id_type)
    assert sorted(built.index.ids, key=int) == [str(at) for at in range(COUNT)]
    assert CodeIndex.load(tmp_path / "index.npz").integer_ids == as_int64


def test_paths_are_no_integers(encoder: FileEncoder, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"23 ids are no integers of 64 bits, such as '0\.png'"):
        build_index(encoder, folder_items(photos), tmp_path / "index.npz", id_type="int64")


def test_new_images_are_added(
    encoder: FileEncoder,
    photos: Path,
    expected: dict[str, list[int]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "index.npz"
    build_index(encoder, folder_items(photos), path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "same.png").write_bytes((photos / "0.png").read_bytes())
    built = extend_index(encoder, folder_items(tmp_path / "new"), path)
    assert codes_by_id(CodeIndex.load(path)) == expected | {"same.png": expected["0.png"]}
    assert len(built.index) == COUNT + 1
    untouched = path.read_bytes()
    with pytest.raises(ValueError, match=r"in the index already: same\.png"):
        extend_index(encoder, folder_items(tmp_path / "new"), path)
    with pytest.raises(ValueError, match="Codes of two models do not mix"):
        extend_index(of_another_space(encoder), folder_items(tmp_path / "new"), path)
    assert path.read_bytes() == untouched
    assert not (tmp_path / "index.npz.partial").exists()


def test_list_files_name_paths_and_labels(photos: Path, tmp_path: Path) -> None:
    (photos / "two words 1.png").write_bytes((photos / "0.png").read_bytes())
    file = photos / "list.txt"
    file.write_text("0.png 0 1 0\n\nmore/1.png 1 0 1 \ntwo words 1.png\t0 0 0\n")
    items = list_items(file)
    assert items.ids == ["0.png", "more/1.png", "two words 1.png"]
    assert items.labels == ["1", "0, 2", ""]
    assert [items.read(at) for at in range(3)] == [
        (photos / name).read_bytes() for name in items.ids
    ]
    assert list_items(file, class_names=["cat", "dog", "cow"]).labels == ["dog", "cat, cow", ""]
    assert list_items(file, class_names=["cat", "dog"]).labels == ["1", "0, 2", ""]
    elsewhere = tmp_path / "list.txt"
    elsewhere.write_text("0.png\nmore/1.png\n")
    items = list_items(elsewhere, root=photos)
    assert items.labels is None
    assert items.read(1) == (photos / "more" / "1.png").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 0 1\nb 0 1 0\n", "list.txt:2 has 3 labels at its end, and .*:1 has 2"),
        ("a 0 1\nb\n", "list.txt:2 has 0 labels"),
        ("\n \n", "names no image"),
        ("a 0\nb 0\na 1\n", "Several images have the id: a"),
    ],
)
def test_a_wrong_list_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        list_items(tmp_path / "list.txt")


def test_stems_that_repeat_are_named(photos: Path) -> None:
    (photos / "more" / "0.png").touch()
    with pytest.raises(ValueError, match="Several images have the id: 0"):
        folder_items(photos, id_from="stem")


def test_a_missing_folder_or_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder '.*absent'"):
        folder_items(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no list '.*absent'"):
        list_items(tmp_path / "absent")
    with pytest.raises(ValueError, match="holds no image file"):
        folder_items(tmp_path)
    with pytest.raises(ValueError, match="There are no images"):
        ImageItems([], None, lambda at: b"")


def test_a_data_set_brings_ids_and_labels(
    encoder: FileEncoder, grey_run: Run, digits: np.ndarray, tmp_path: Path
) -> None:
    dataset = load_dataset("digits")
    with pytest.raises(ValueError, match="has the parts train. Received: test"):
        dataset_items(dataset, "test")
    items = dataset_items(dataset, "train")
    few = ImageItems(items.ids[:40], items.labels[:40] if items.labels else None, items.read)
    built = build_index(encoder, few, tmp_path / "index.npz")
    assert built.index.ids == dataset.ids[:40]
    np.testing.assert_array_equal(built.index.codes, grey_run.model.encode(digits[:40]))
    assert built.index.labels == [str(row.argmax()) for row in dataset.labels[:40]]
