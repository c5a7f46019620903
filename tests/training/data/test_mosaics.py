"""Mosaics are real multi-label images, read back by the same code as anybody's lists."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data import ImageDataset, load_dataset
from training.data.protocols import make_split
from training.data.sources.mosaics import write_mosaics

MakeDataset = Callable[..., ImageDataset]


@pytest.fixture
def sources(labelled: MakeDataset) -> ImageDataset:
    return labelled(np.arange(200) % 10, size=3)


def read_sources(folder: Path) -> dict[str, list[str]]:
    lines = [line.split("\t") for line in (folder / "sources.txt").read_text().splitlines()]
    return {name: ids for name, *ids in lines}


def check_mosaics(dataset: ImageDataset, folder: Path, of_sources: ImageDataset) -> None:
    """Each mosaic shows its four sources, with the labels of all."""
    positions = {image_id: position for position, image_id in enumerate(of_sources.ids)}
    names = read_sources(folder)
    assert set(names) == set(dataset.ids)
    pixels = dataset.images.images(range(len(dataset)), dataset.preprocessing())
    for image_id, labels, mosaic in zip(dataset.ids, dataset.labels, pixels, strict=True):
        four = [positions[source] for source in names[image_id]]
        np.testing.assert_array_equal(labels, of_sources.labels[four].any(axis=0))
        tiles = of_sources.images.images(four, of_sources.preprocessing())
        upper_left, upper_right, lower_left, lower_right = tiles.as_numpy_iterator()
        want = np.block([[[upper_left], [upper_right]], [[lower_left], [lower_right]]])
        np.testing.assert_array_equal(mosaic, want)


def test_mosaics_show_four_sources_with_all_their_labels(
    sources: ImageDataset, tmp_path: Path
) -> None:
    write_mosaics(sources, tmp_path / "m", query=10, train=15, database=40, seed=1)
    dataset = load_dataset("lists", tmp_path / "m")
    split = make_split(dataset, "lists", seed=0)
    assert (len(split.query), len(split.train), len(split.database)) == (10, 15, 40)
    assert np.isin(split.train, split.database).all()
    assert dataset.class_names == sources.class_names
    assert dataset.image_shape == (6, 6, 3)
    assert not dataset.single_label
    check_mosaics(dataset, tmp_path / "m", sources)


def test_no_source_is_in_two_mosaics(sources: ImageDataset, tmp_path: Path) -> None:
    write_mosaics(sources, tmp_path / "m", query=10, train=1, database=40)
    used = [source for four in read_sources(tmp_path / "m").values() for source in four]
    assert len(used) == len(set(used)) == 200


def test_the_seed_decides_the_files(sources: ImageDataset, tmp_path: Path) -> None:
    content = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_mosaics(sources, tmp_path / name, query=2, train=3, database=4, seed=seed)
        content.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in (tmp_path / name).rglob("*.*")
            }
        )
    assert content[0] == content[1]
    assert content[0] != content[2]


def test_an_interrupted_call_leaves_nothing(
    sources: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def interrupted(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_mosaics(sources, tmp_path / "m", query=2, train=3, database=4)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_call_left_is_no_hindrance(sources: ImageDataset, tmp_path: Path) -> None:
    (tmp_path / ".m.partial" / "query").mkdir(parents=True)
    (tmp_path / "m").mkdir()
    write_mosaics(sources, tmp_path / "m", query=2, train=3, database=4)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"query": 0}, "`query` must be at least 1"),
        ({"train": 5}, "`train` must be at most `database`"),
        ({"database": 49}, r"51 mosaics take 204 source images.*with 200"),
        ({"seed": -1}, "`seed` must be 0 or more"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    sources: ImageDataset, tmp_path: Path, numbers: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_mosaics(sources, tmp_path / "m", **{"query": 2, "train": 3, "database": 4} | numbers)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_left_alone(sources: ImageDataset, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists and is not empty"):
        write_mosaics(sources, tmp_path, query=2, train=3, database=4)


@pytest.mark.slow
@pytest.mark.prepared_data("cifar10")
def test_mosaics_of_cifar10_are_multi_label_images(prepared_data: Path, tmp_path: Path) -> None:
    cifar10 = load_dataset("cifar10", prepared_data)
    write_mosaics(cifar10, tmp_path / "m", query=10, train=20, database=40)
    dataset = load_dataset("lists", tmp_path / "m")
    assert dataset.image_shape == (64, 64, 3)
    assert dataset.class_names[0] == "airplane"
    assert 2 < dataset.labels.sum(axis=1).mean() < 4
    check_mosaics(dataset, tmp_path / "m", cifar10)
