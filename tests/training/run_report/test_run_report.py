"""The report of a run against a search by hand."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig

from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.retrieval import hamming_distance, pack_codes, unpack_codes
from training.data import ImageDataset
from training.data.split import Split
from training.run_report import projector
from training.run_report.drawings import drawings
from training.run_report.run_report import write_report
from training.runs.run_data import RunData
from training.trainer.evaluate import Evaluation, evaluate


@pytest.fixture
def measured(labelled: Callable[..., ImageDataset]) -> tuple[Evaluation, RunData]:
    """Three classes whose codes are near each other, but for class 2: it has those of class 1."""
    classes = np.arange(120) % 3
    dataset = labelled(classes.tolist(), size=8)
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 24))
    centres[2] = centres[1]
    codes = centres[classes] + 0.4 * random.normal(size=(120, 24))
    split = Split(*(np.arange(*part) for part in ((0, 30), (30, 60), (30, 120))))
    evaluation = evaluate(lambda positions: codes[positions], dataset.labels, split)
    return evaluation, RunData(dataset, ImagePreprocessing(8, 8, 3), split)


def rows_of(html: str) -> dict[str, list[tuple[str, str]]]:
    """Of each query's name, what it found: hit or miss, and the name."""
    rows = {}
    for row in re.findall(r"<ol>(.*?)</ol>", html):
        query, *found = re.findall(r'<li class="(\w*)">.*?<span>(.*?)</span></li>', row)
        rows[query[1]] = found
    return rows


def test_hits_and_misses_are_those_of_a_search_by_hand(
    measured: tuple[Evaluation, RunData], tmp_path: Path
) -> None:
    evaluation, data = measured
    path = tmp_path / "report.html"
    write_report(path, "Run", {"mAP": "0.5"}, evaluation, data)
    html = path.read_text()
    by_class, worst = html.split("The worst queries")
    distances = hamming_distance(evaluation.query_codes, evaluation.database_codes)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :10]
    same = (nearest + 30) % 3 == np.arange(30)[:, None] % 3
    hits = same.sum(axis=1)
    assert list(rows_of(by_class)) == ["train/0", "train/1", "train/2"]
    assert set(rows_of(worst)) == {
        f"train/{query}" for query in np.argsort(hits, kind="stable")[:6]
    }
    for name, found in rows_of(html).items():
        query = int(name.removeprefix("train/"))
        expected = [
            ("hit" if hit else "miss", f"train/{30 + item}")
            for item, hit in zip(nearest[query], same[query], strict=True)
        ]
        assert found == expected
    assert html.count("<figure>") == 5
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)
    assert len(html) < 5_000_000


def test_tensorboard_reads_codes_labels_and_pictures(
    measured: tuple[Evaluation, RunData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation, data = measured
    monkeypatch.setattr(projector, "_ITEMS", 50)
    assert projector.write_projector(tmp_path, evaluation, data) == 50
    text = (tmp_path / "projector_config.pbtxt").read_text()
    (shown,) = text_format.Parse(text, ProjectorConfig()).embeddings
    codes = np.loadtxt(tmp_path / shown.tensor_path, delimiter="\t")
    rows = np.unique(np.linspace(0, 89, 50, dtype=int))
    np.testing.assert_array_equal(codes, unpack_codes(evaluation.database_codes[rows], 24))
    header, *items = (tmp_path / shown.metadata_path).read_text().splitlines()
    assert header == "id\tlabel"
    assert items == [f"train/{30 + row}\tclass {row % 3}" for row in rows]
    side = shown.sprite.single_image_dim[0]
    sprite = np.asarray(Image.open(tmp_path / shown.sprite.image_path))
    assert sprite.shape == (8 * side, 8 * side, 3)  # 50 pictures in a square
    pixels = data.dataset.images.pixels[30 + rows[9]]
    second = sprite[side : 2 * side, side : 2 * side]
    np.testing.assert_array_equal(second, pixels.repeat(side // 8, 0).repeat(side // 8, 1))


def test_a_bit_that_never_changes_is_drawn(measured: tuple[Evaluation, RunData]) -> None:
    _, data = measured
    codes = np.random.default_rng(1).normal(size=(120, 9))
    codes[:, 4] = 1
    evaluation = evaluate(lambda at: codes[at], data.dataset.labels, data.split)
    assert pack_codes(codes).shape == (120, 2)
    labels = data.dataset.labels
    drawn = drawings(evaluation, labels[data.split.query], labels[data.split.database])
    assert [png[:4] for png, _ in drawn] == [b"\x89PNG"] * 5
