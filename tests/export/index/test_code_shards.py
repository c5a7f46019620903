"""Shards become an index only if they are what a finished job wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from export.__main__ import main
from export.index.code_shards import MANIFEST, Manifest, WrittenFile, index_of_shards
from keras_hashing.retrieval import CodeIndex

CODES = np.arange(8, dtype=np.uint8).reshape(4, 2) & 0xF0


def write(folder: Path, ids: list[list[str]], bad: str = "", fingerprint: str = "f") -> None:
    """A folder of shards with these ids, as a job leaves it."""
    folder.mkdir(exist_ok=True)
    shards = []
    for number, names in enumerate(ids):
        path = folder / f"codes-{number}.npz"
        first = sum(map(len, ids[:number]))
        CodeIndex(CODES[first : first + len(names)], names, fingerprint, names, bits=12).save(path)
        shards.append(WrittenFile.of(path.name, len(names), path.read_bytes()))
    (folder / "bad.txt").write_text(bad)
    manifest = Manifest(
        fingerprint="f",
        bits=12,
        items=sum(map(len, ids)),
        shards=shards,
        bad_images=WrittenFile.of("bad.txt", bad.count("\n"), bad.encode()),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())


def test_the_index_has_the_items_of_all_shards_in_their_order(tmp_path: Path) -> None:
    write(tmp_path / "s", [["1", "3"], ["2", "4"]], bad="a\tb.png\tis empty\n")
    with pytest.raises(
        ValueError, match=r"(?s)1 of 5 images cannot be used.*is empty: 'a\\tb.png'"
    ):
        index_of_shards(tmp_path / "s", tmp_path / "i.npz")
    assert not (tmp_path / "i.npz").exists()
    built = index_of_shards(tmp_path / "s", tmp_path / "i.npz", on_bad_image="skip")
    loaded = CodeIndex.load(tmp_path / "i.npz")
    assert built.skipped == {"a\tb.png": "is empty"}
    assert (list(loaded.ids), loaded.integer_ids, loaded.bits) == (["1", "3", "2", "4"], True, 12)
    assert list(loaded.labels or []) == ["1", "3", "2", "4"]
    np.testing.assert_array_equal(loaded.codes, CODES)
    with pytest.raises(FileExistsError, match="--replace"):
        index_of_shards(tmp_path / "s", tmp_path / "i.npz")


def test_what_is_not_whole_is_refused_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "s", tmp_path / "i.npz"

    def refusal() -> str:
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            index_of_shards(folder, output)
        assert not output.exists()
        return str(caught.value)

    assert "There is no folder of shards" in refusal()
    write(folder, [["a", "b"], ["c"]])
    first = folder / "codes-0.npz"
    content = first.read_bytes()
    first.write_bytes(content[:-10])
    assert refusal().startswith(f"codes-0.npz in {str(folder)!r} is half-written")
    first.unlink()
    assert "codes-0.npz is missing" in refusal()

    write(folder, [["a", "b"], ["c", "a"]])
    assert refusal().endswith("1 stand in several shards: 'a' in codes-0.npz, codes-1.npz")
    write(folder, [["a", "b"], ["c"]], fingerprint="another")
    assert "`fingerprint` of codes-0.npz must be 'f'" in refusal()
    write(folder, [])
    assert refusal() == "None of the 0 images can be used"

    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"format_version": 1}))
    assert "manifest.json is damaged: `fingerprint`: Field required" in refusal()
    manifest.unlink()
    command = ["export", "index", "from-shards", "--shards", str(folder), "--output", str(output)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as exit_code:
        main()
    assert exit_code.value.code == 1
    assert "are not finished: manifest.json" in capfd.readouterr().err
