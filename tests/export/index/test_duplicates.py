"""Clusters of near-duplicates, against comparing all with all."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli.app import app
from export.index import duplicates
from export.index.duplicates import find_duplicates
from keras_hashing.retrieval import CodeIndex, hamming_distance


def index_of(bits: int = 64, count: int = 400) -> CodeIndex:
    random = np.random.default_rng(bits)
    centres = random.integers(0, 256, (150, bits // 8), dtype=np.uint8)
    noise = random.random((count, bits)) < 1 / bits
    codes = centres[random.integers(0, 150, count)] ^ np.packbits(noise, axis=1)
    return CodeIndex(codes, [f"{at}.jpg" for at in range(count)], "space", ["cat"] * count)


def by_flooding(near: np.ndarray) -> list[list[int]]:
    """The connected components, each found by walking from its first item."""
    components, left = [], set(range(len(near)))
    while left:
        reached, waiting = set(), {min(left)}
        while waiting:
            reached |= waiting
            waiting = set(np.flatnonzero(near[list(waiting)].any(axis=0)).tolist()) - reached
        components.append(sorted(reached))
        left -= reached
    return components


@pytest.mark.parametrize("bits", [24, 64])
@pytest.mark.parametrize("radius", [0, 2])
def test_the_clusters_are_the_connected_components(bits: int, radius: int, tmp_path: Path) -> None:
    index = index_of(bits)
    components = by_flooding(hamming_distance(index.codes, index.codes) <= radius)
    expected = [part for part in components if len(part) > 1]
    found = find_duplicates(index, radius, tmp_path, keep_first=True)
    assert sorted(cluster.tolist() for cluster in found.clusters) == sorted(expected)
    sizes = [len(cluster) for cluster in found.clusters]
    assert sizes == sorted(sizes, reverse=True)
    with (tmp_path / "clusters.csv").open() as file:
        lines = list(csv.reader(file))
    first = found.clusters[0]
    assert lines[: 1 + len(first)] == [
        ["cluster", "id", "label"],
        *(["1", index.ids[at], "cat"] for at in first),
    ]
    removed = (tmp_path / "delete.txt").read_text().splitlines()
    left = index.remove(removed)
    assert len(left) == len(components)
    assert not (tmp_path / "partial").exists()


def test_an_interrupted_search_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, parts = index_of(), []

    def interrupted(codes: np.ndarray, radius: int, part: int, advance: Callable) -> list:
        parts.append(part)
        if len(parts) == 2:
            raise KeyboardInterrupt
        return list(original(codes, radius, part, advance))

    original = duplicates.near_pairs
    monkeypatch.setattr(duplicates, "_AT_ONCE", 7)  # the pairs are read in many blocks
    monkeypatch.setattr(duplicates, "near_pairs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_duplicates(index, 2, tmp_path / "a")
    with pytest.raises(FileExistsError, match="An interrupted search is there.*--resume"):
        find_duplicates(index, 2, tmp_path / "a")
    with pytest.raises(ValueError, match="another search: .*`radius` was 2. Received: 1"):
        find_duplicates(index, 1, tmp_path / "a", resume=True)
    # What a killed process leaves of the part that it was at.
    (tmp_path / "a" / "partial" / ".001.0a.partial.pairs").write_bytes(bytes(160))
    resumed = find_duplicates(index, 2, tmp_path / "a", resume=True)
    assert parts == [0, 1, 1, 2]
    whole = find_duplicates(index, 2, tmp_path / "b")
    assert resumed.pairs == whole.pairs
    assert (tmp_path / "a" / "clusters.csv").read_bytes() == (
        tmp_path / "b" / "clusters.csv"
    ).read_bytes()
    with pytest.raises(FileExistsError, match="has clusters already"):
        find_duplicates(index, 2, tmp_path / "a")


def test_the_command_line(tmp_path: Path, encode_image: Callable[..., bytes]) -> None:
    index = index_of()
    index.save(tmp_path / "shop.npz")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in index.ids[:200]:
        (pictures / name).write_bytes(encode_image(np.full((8, 8), 9, np.uint8)))

    def run(*arguments: object, code: int = 0) -> str:
        options = ["--index", tmp_path / "shop.npz", "--output", tmp_path / "found", *arguments]
        result = CliRunner().invoke(app, ["index", "duplicates", *map(str, options)])
        assert result.exit_code == code, result.output
        return result.output

    sheet = tmp_path / "sheet.html"
    assert "--html needs --pictures" in run("--html", sheet, code=1)
    assert "400, " in run("--keep", "first", "--html", sheet, "--pictures", pictures)
    assert (tmp_path / "found" / "delete.txt").exists()
    with (tmp_path / "found" / "clusters.csv").open() as file:
        names = [line[1] for line in csv.reader(file)][1:]
    written = sheet.read_text()
    assert [name for name in names if f"<span>{name}</span>" not in written] == []
    shown = sum(name in index.ids[:200] for name in names)
    assert written.count("data:image/png;base64") == shown
    assert len(written) < 5_000_000
