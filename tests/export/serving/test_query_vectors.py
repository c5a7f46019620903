"""`query --vectors`: by a model and an index, or by a server, the same neighbours."""

import json
from pathlib import Path

import numpy as np
import pytest
from prediction_server import ModelServer
from typer.testing import CliRunner

from export.cli.app import app
from keras_hashing.encoder import HashEncoder
from keras_hashing.retrieval import CodeIndex, pack_codes


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(
    vector_encoder: HashEncoder, vector_index: CodeIndex, vectors: np.ndarray, tmp_path_factory
) -> Path:
    """`model.keras`, `index.npz`, the served `models`, and vectors with ids and without."""
    folder = tmp_path_factory.mktemp("texts")
    vector_encoder.model.save(folder / "model.keras")
    vector_index.save(folder / "index.npz")
    np.savez(folder / "v.npz", vectors=vectors, ids=[f"query/{at}" for at in range(40)])
    np.save(folder / "v.npy", vectors)
    call("publish", "--model", folder / "model.keras", "--index", folder / "index.npz",
         "--output", folder / "models")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def expected(vector_encoder: HashEncoder, vector_index: CodeIndex, vectors: np.ndarray) -> dict:
    """For each vector its code in hexadecimal, and the ids and distances of its nearest 3.

    By `query` equal distances come in the order of the continuous code, by a server in the order of
    the index.
    """
    continuous = vector_encoder.continuous(vectors)
    codes = pack_codes(continuous)
    by = {
        "query": vector_index.search(codes, k=3, continuous=continuous),
        "server": vector_index.search(codes, k=3),
    }
    return {
        name: [
            (code.tobytes().hex(), [vector_index.ids[at] for at in row], away)
            for code, row, away in zip(codes, positions.tolist(), distances.tolist(), strict=True)
        ]
        for name, (positions, distances) in by.items()
    }


def found(answer: dict) -> tuple[str | None, list[str], list[int]]:
    near = answer["neighbours"]
    return answer.get("code"), [one["id"] for one in near], [one["distance"] for one in near]


@pytest.mark.parametrize("model", ["model.keras", "models"])
def test_a_model_and_an_index_answer(folder: Path, expected: dict, model: str) -> None:
    expected = expected["query"]
    search = ("query", "--model", folder / model, "--index", folder / "index.npz", "--k", 3)
    document = json.loads(call(*search, "--vectors", folder / "v.npz", "--json"))
    assert [one["vector"] for one in document["queries"]] == [f"query/{at}" for at in range(10)]
    assert [found(one) for one in document["queries"]] == expected[:10]
    chosen = ("--vectors", folder / "v.npy", "--rows", "39, 0")
    document = json.loads(call(*search, *chosen, "--json"))
    assert [one["vector"] for one in document["queries"]] == ["39", "0"]
    assert [found(one) for one in document["queries"]] == [expected[39], expected[0]]
    assert f"39  code {expected[39][0]}" in call(*search, *chosen)


def test_a_server_answers_the_same(folder: Path, expected: dict) -> None:
    expected = expected["server"]
    with ModelServer(folder / "models", "texts") as server:
        asked = ("query", "--server", server.target, "--name", "texts", "--k", 3, "--json")
        document = json.loads(call(*asked, "--vectors", folder / "v.npz", "--rows", "7,3"))
        for answer, at in zip(document["queries"], (7, 3), strict=True):
            assert answer["vector"] == f"query/{at}"
            assert found(answer)[1:] == expected[at][1:]
        picture = folder / "a.png"
        picture.write_bytes(b"")
        result = CliRunner().invoke(app, [str(one) for one in (*asked, picture)])
        assert result.exit_code == 1
        assert "The model must take images. Received: a model of vectors" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name images, or a file of vectors by --vectors"),
        (("a.png", "--vectors", "v.npy"), "name images, or a file of vectors by --vectors"),
        (("a.png", "--rows", "1"), "--rows goes with --vectors"),
        (("a.png",), "The model must take images. Received: a model of vectors of width 5"),
        (("--vectors", "w.npy"), "must take vectors of width 4. Received: a model of vectors of"),
        (("--vectors", "v.npy", "--rows", "1,x"), "--rows must be numbers from 0 to 39, separated"),
        (("--vectors", "v.npy", "--rows", "40"), "Received: 40"),
        (("--vectors", "v.npy", "--html", "x.html", "--pictures", "p"), "--html shows images"),
        (("--vectors", "nan.npz"), "nan.npz: vectors must be finite and not zero. Received: row 1"),
    ],
)
def test_mistakes_are_refused(
    folder: Path, arguments: tuple, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("a.png").write_bytes(b"no image")
    np.save("w.npy", np.ones((2, 4)))
    np.savez("nan.npz", vectors=[[1.0] * 5, [np.nan] * 5])
    result = CliRunner().invoke(
        app, ["query", "--model", "model.keras", "--index", "index.npz", *arguments]
    )
    assert result.exit_code == (2 if message.startswith("name") else 1)
    assert message in " ".join(result.stderr.split())
