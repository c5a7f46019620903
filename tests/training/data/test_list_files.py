"""List files as the field hands them on, and as users break them."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.index.index_items import list_items
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data import ImageDataset, load_dataset
from training.data.protocols import make_split
from training.data.sources.list_files import LIST_NAMES, _read_lists, list_line

LISTS = {
    "test.txt": "q1.png 1 0 1\nq2.png 0 1 0\n",
    "train.txt": "b.png 0 0 1\nonly_train.png 1 1 1\n",
    "database.txt": "a.png 1 1 0\nb.png 0 0 1\nc.png 0 0 0\n",
}
IMAGES = ["q1.png", "q2.png", "a.png", "b.png", "c.png", "only_train.png"]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes lists and images; a list's content is changed by its name without the suffix."""

    def write(images: list[str] = IMAGES, encoding: str = "utf-8", **changes: str) -> Path:
        for name, content in LISTS.items():
            changed = changes.get(name.removesuffix(".txt"), content)
            (tmp_path / name).write_bytes(changed.encode(encoding))
        for level, name in enumerate(images):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (5, 4), (level, 0, 0)).save(path, "PNG")
        return tmp_path

    return write


def split_of(dataset: ImageDataset) -> dict[str, list[str]]:
    split = make_split(dataset, "lists", seed=0)
    return {
        name: [dataset.ids[position] for position in getattr(split, name)]
        for name in ("query", "train", "database")
    }


def test_query_train_and_database_are_those_of_the_lists(write: Callable[..., Path]) -> None:
    dataset = load_dataset("lists", write())
    assert dataset.ids == ["a.png", "b.png", "c.png", "only_train.png", "q1.png", "q2.png"]
    assert split_of(dataset) == {
        "query": ["q1.png", "q2.png"],
        "train": ["b.png", "only_train.png"],
        "database": ["a.png", "b.png", "c.png"],
    }
    want = [[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 0, 1], [0, 1, 0]]
    np.testing.assert_array_equal(dataset.labels, want)
    assert dataset.labels.dtype == np.uint8
    assert dataset.class_names == ["0", "1", "2"]
    assert dataset.part.tolist() == ["database"] * 3 + ["train"] + ["query"] * 2
    assert dataset.image_shape == (4, 5, 3)
    assert not dataset.single_label


def test_pixels_belong_to_their_labels(write: Callable[..., Path]) -> None:
    dataset = load_dataset("lists", write())
    pixels = dataset.images.images(range(6), ImagePreprocessing(4, 5, 3))
    levels = {name: int(image[0, 0, 0]) for name, image in zip(dataset.ids, pixels, strict=True)}
    assert levels == {name: level for level, name in enumerate(IMAGES)}


def test_classes_txt_names_the_classes(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "classes.txt").write_bytes(b"sky\r\ntall building\r\n\r\nsea\r\n")
    assert load_dataset("lists", folder).class_names == ["sky", "tall building", "sea"]
    (folder / "classes.txt").write_text("sky\nsea\n")
    with pytest.raises(ValueError, match=r"classes.txt must name the 3 classes.*2 names"):
        load_dataset("lists", folder)
    (folder / "classes.txt").write_text("sky\nsea\nsea\n")
    with pytest.raises(ValueError, match=r"different classes. Received twice: \['sea'\]"):
        load_dataset("lists", folder)


@pytest.mark.parametrize(
    "spoilt",
    [
        "\r\n\r\nq1.png 1 0 1\r\nq2.png 0 1 0\r\n",
        "\n\nq1.png 1 0 1\n   \n\t\nq2.png 0 1 0",
        "q1.png\t1\t0\t1\nq2.png\t0 1\t 0\t\n",
        "  ./q1.png   1 0 1  \n././q2.png 0 1 0\n",
        "\ufeffq1.png 1 0 1\nq2.png 0 1 0\n",
        '# path and labels\n"q1.png" 1 0 1\nq2.png 0 1 0\n',
        "q1.png 1 0 1\rq2.png 0 1 0\r",
    ],
    ids=["CRLF", "empty lines", "tabs", "spaces", "byte order mark", "comment and quotes", "CR"],
)
def test_the_same_list_in_other_dress(write: Callable[..., Path], spoilt: str) -> None:
    folder = write(test=spoilt)
    dataset = load_dataset("lists", folder)
    assert split_of(dataset)["query"] == ["q1.png", "q2.png"]
    np.testing.assert_array_equal(dataset.labels[-2:], [[1, 0, 1], [0, 1, 0]])
    listed = list_items(folder / "test.txt")  # the index reads it the same
    assert [Path(name).name for name in listed.ids] == ["q1.png", "q2.png"]
    assert listed.labels == ["0, 2", "1"]


@pytest.mark.parametrize("name", ["my cat.png", "Ü ber/雪 1.png", "17", "0.5", "a  b 3x"])
def test_paths_may_hold_spaces_and_any_letters(write: Callable[..., Path], name: str) -> None:
    folder = write(test=f"{name} 1 0 1\nq2.png 0 1 0\n", images=[*IMAGES, name])
    assert split_of(load_dataset("lists", folder))["query"] == [name, "q2.png"]


def test_images_are_found_from_the_image_root(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write(images=[f"pictures/{name}" for name in IMAGES])
    dataset = load_dataset("lists", folder, image_root=folder / "pictures")
    assert dataset.ids[0] == "a.png"
    with pytest.raises(ValueError, match="image root, here"):
        load_dataset("lists", folder)


def test_an_absolute_path_below_the_root_is_the_same_image(write: Callable[..., Path]) -> None:
    folder = write()
    write(train=f"{folder}/b.png 0 0 1\nonly_train.png 1 1 1\n")
    assert split_of(load_dataset("lists", folder))["train"] == ["b.png", "only_train.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "b.png 0 0 1\n\nonly_train.png 1 1\n"},
         r"train.txt:3 has 2 labels at its end, and \S*database.txt:1 has 3"),
        ({"train": "b.png 0 0 1 1\n"}, r"train.txt:1 has 4 labels"),
        ({"database": "a.png 1 1 0\nb.png 0 0 2\n"}, r"database.txt:2 has '2' where a label"),
        ({"database": "a.png 1 2 0 1\n"}, r"database.txt:1 has '2' where a label"),
        ({"database": "a.png 1 -1 1\n"}, r"database.txt:1 has '-1' where a label"),
        ({"database": "a.png 1.0 0.0\n"}, r"database.txt:1 has '0.0' where a label"),
        ({"database": "a.png 7\n"}, r"database.txt:1 has '7' where a label"),
        ({"database": "a.png\n"}, r"database.txt:1 must hold a path"),
        ({"database": "a.png 1\n"}, r"database.txt:1 must hold a path.*at least 2 classes"),
        ({"test": "q1.png 1 0 1\nq2.png 0 x 0\n"}, r"test.txt:2 must hold a path"),
        ({"test": "1 0 1\n"}, r"test.txt:1 has 2 labels"),
        ({"test": "0\n"}, r"test.txt:1 must hold a path"),
        ({"test": "\n\n"}, r"test.txt' names no image"),
        ({"train": "b.png 0 1 1\n"},
         r"train.txt:1 gives 'b.png' other labels than \S*database.txt:2"),
        ({"database": "a.png 1 1 0\na.png 1 0 0\n"},
         r"database.txt:2 gives 'a.png' other labels than \S*database.txt:1"),
        ({"test": "q1.png 1 0 1\na.png 1 1 0\n"},
         r"test.txt:2 has 'a.png' for the query, which is also in \S*database.txt:1"),
        ({"test": "./only_train.png 1 1 1\n"},
         r"test.txt:1 has 'only_train.png' for the query, which is also in \S*train.txt:2"),
    ],
)  # fmt: skip
def test_a_line_that_breaks_the_form_is_named(
    write: Callable[..., Path], changes: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset("lists", write(**changes))


def test_a_line_that_is_not_utf8_is_named(write: Callable[..., Path]) -> None:
    folder = write(test="q1.png 1 0 1\nq2é.png 0 1 0\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"test.txt:2 is not UTF-8"):
        load_dataset("lists", folder)


def test_an_image_that_a_list_repeats_counts_once(write: Callable[..., Path]) -> None:
    folder = write(database=LISTS["database.txt"] + "a.png 1 1 0\n./a.png 1 1 0\n")
    with pytest.warns(UserWarning, match=r"database.txt names 2 images more than once"):
        dataset = load_dataset("lists", folder)
    assert split_of(dataset)["database"] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("name", list(LISTS))
def test_a_missing_list_is_named(write: Callable[..., Path], name: str) -> None:
    folder = write()
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"has no {name}. It needs test.txt"):
        load_dataset("lists", folder)


def test_missing_folders_are_named(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write()
    with pytest.raises(FileNotFoundError, match="folder of lists .*nowhere"):
        load_dataset("lists", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="image root .*nowhere"):
        load_dataset("lists", folder, image_root=tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load_dataset("lists", folder / "test.txt")
    with pytest.raises(ValueError, match="needs `data_dir`"):
        load_dataset("lists")
    with pytest.raises(ValueError, match="`image_root` goes with data set 'lists' only"):
        load_dataset("digits", image_root=folder)


def test_bad_images_are_named_with_list_and_line(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "q2.png").write_text("no image")
    (folder / "b.png").unlink()
    with pytest.raises(ValueError, match=r"(?s)2 of 6 images.*skip") as caught:
        load_dataset("lists", folder)
    assert re.search(r"1  is no image .*/test\.txt:2: q2\.png'", str(caught.value))
    assert re.search(r"1  cannot be read \(No such.*/database\.txt:2: b\.png'", str(caught.value))


def test_skipped_images_leave_every_list(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "q2.png").write_text("no image")
    (folder / "b.png").unlink()
    with pytest.warns(
        UserWarning, match=r"(?s)2 of 6 images .* are left out.*database.txt:2: b.png"
    ):
        dataset = load_dataset("lists", folder, on_bad_image="skip")
    assert list(dataset.skipped) == ["b.png", "q2.png"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset("lists", folder, on_bad_image="skip", warn=False)
    assert split_of(dataset) == {
        "query": ["q1.png"],
        "train": ["only_train.png"],
        "database": ["a.png", "c.png"],
    }
    np.testing.assert_array_equal(dataset.labels[-1], [1, 0, 1])
    (folder / "q1.png").unlink()
    with (
        pytest.warns(UserWarning, match="are left out"),
        pytest.raises(ValueError, match="no image for `query`"),
    ):
        load_dataset("lists", folder, on_bad_image="skip")


def test_lines_are_written_as_they_are_read(write: Callable[..., Path]) -> None:
    line = list_line("a b.png", np.array([1, 0, 1], np.uint8))
    assert line == "a b.png 1 0 1"
    folder = write(test=line + "\n", images=[*IMAGES, "a b.png"])
    np.testing.assert_array_equal(load_dataset("lists", folder).labels[-1], [1, 0, 1])


def test_large_lists_agree_with_a_plain_reading(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (3000, 81))
    parts = {"test.txt": range(500), "train.txt": range(500, 900), "database.txt": range(700, 3000)}
    for name, numbers in parts.items():
        lines = [list_line(f"images/{number}.jpg", labels[number]) for number in numbers]
        (tmp_path / name).write_text("\n".join(lines))
    lists = _read_lists(tmp_path, tmp_path)
    for part, name in LIST_NAMES.items():
        words = [line.split() for line in (tmp_path / name).read_text().split("\n")]
        assert lists[part].ids == [line[0] for line in words]
        assert lists[part].rows == ["".join(line[1:]) for line in words]


def test_unusual_but_sound_lists_warn_of_nothing(write: Callable[..., Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset("lists", write())
