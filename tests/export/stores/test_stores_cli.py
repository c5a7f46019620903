"""`index export`, `import` and `verify` on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.cli.app import app
from keras_hashing.retrieval import CodeIndex


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["index", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def file(index: CodeIndex, tmp_path: Path) -> Path:
    index.save(tmp_path / "shop.npz")
    return tmp_path / "shop.npz"


@pytest.mark.parametrize("kind", ["parquet", "faiss", "pgvector"])
def test_there_and_back(kind: str, file: Path, tmp_path: Path, dsn: str) -> None:
    where = ["--dsn", dsn, "--table", "cli"] if kind == "pgvector" else ["--path", tmp_path / "x"]
    run("export", "--index", file, "--to", kind, *where)
    run("import", "--from", kind, *where, "--output", tmp_path / "back.npz")
    assert list(CodeIndex.load(tmp_path / "back.npz").ids) == list(CodeIndex.load(file).ids)
    report = json.loads(run("verify", "--index", file, "--against", kind, *where, "--json"))
    assert report["at_k"]["mean"] == report["within_radius"]["mean"] == 1
    assert report["holds"]


def test_a_broken_limit_is_exit_code_1_and_an_error_2(
    file: Path, index: CodeIndex, tmp_path: Path
) -> None:
    half = tmp_path / "half.parquet"
    index.remove(list(index.ids)[::2]).save(tmp_path / "half.npz")
    run("export", "--index", tmp_path / "half.npz", "--to", "parquet", "--path", half)
    verify = ["verify", "--index", file, "--against", "parquet", "--path", half]
    assert "Limit broken: recall@10" in run(*verify, code=1)
    assert "recall@10 0." in run(*verify, "--limit", "0.1")
    other = tmp_path / "other.npz"
    CodeIndex(index.codes, index.ids, "elsewhere").save(other)
    verify[2] = other
    assert "Codes of two models do not mix" in run(*verify, code=2)
    CodeIndex(index.codes[:, :2], index.ids, "space").save(other)
    assert "codes of 24 bits, as " in run(*verify, code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "pgvector", "--path", "x"], "pgvector needs --dsn and --table"),
        (["--to", "faiss", "--dsn", "x"], "faiss needs --path"),
        (["--to", "parquet", "--path", "x", "--hnsw"], "--hnsw and --ef-search are of"),
    ],
)
def test_a_store_that_is_not_named_is_refused(
    arguments: list[str], message: str, file: Path
) -> None:
    assert message in run("export", "--index", file, *arguments, code=1)


def test_the_kind_of_an_index(file: Path, index: CodeIndex, tmp_path: Path) -> None:
    assert "kind flat" in run("info", "--index", file)
    message = run("convert", "--index", file, "--kind", "multihash", "--radius", "1")
    assert "all within 1, exactly" in message
    assert "Warning" not in message
    run("remove", "--index", file, "--id", index.ids[0], "--output", tmp_path / "less.npz")
    known = json.loads(run("info", "--index", tmp_path / "less.npz", "--json"))["kind"]
    assert (known["kind"], known["radius"]) == ("multihash", 1)
    # One list of twenty finds little, and says so.
    poor = ["--kind", "ivf", "--lists", 20, "--probes", 1, "--output", tmp_path / "poor.npz"]
    message = run("convert", "--index", file, *poor)
    recall = CodeIndex.load(tmp_path / "poor.npz").kind.recall
    assert 0.1 < recall.mean < 1
    assert f"had recall@10 {recall.mean:.3f} [" in message
    assert f"finds recall@10 {recall.mean:.3f} [" in run("info", "--index", tmp_path / "poor.npz")
    verify = ["verify", "--index", tmp_path / "poor.npz", "--against", "index"]
    assert f"recall@10 {recall.mean:.4f}" in run(*verify, "--limit", "0")
    assert run(*verify, "--limit", "1", code=1)
    run("remove", "--index", tmp_path / "poor.npz", "--id", index.ids[0])
    again = CodeIndex.load(tmp_path / "poor.npz").kind.recall
    assert again is not None  # measured anew
    assert again != recall
    run("convert", "--index", tmp_path / "poor.npz", "--kind", "flat")
    assert CodeIndex.load(tmp_path / "poor.npz").kind is None
    assert "from 0 to 23. Received: radius=24" in run(
        "convert", "--index", file, "--kind", "multihash", "--radius", 24, code=1
    )
