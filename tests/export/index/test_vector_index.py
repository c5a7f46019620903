"""An index of vectors holds the codes of the Keras model, whatever file they come from."""

from pathlib import Path

import keras
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from export.cli.app import app
from export.index.index_builder import build_index, extend_index
from export.index.index_items import VectorItems, folder_items, vector_items
from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.encoder import HashEncoder
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.layers import HashHead
from keras_hashing.retrieval import CodeIndex

LABELS = ["cat", "dog"] * 20


@pytest.fixture(params=["npy", "npz", "parquet"])
def file(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / f"v.{request.param}"
    if request.param == "npy":
        np.save(path, vectors)
    elif request.param == "npz":
        np.savez(path, vectors=vectors, ids=[f"item/{at}" for at in range(40)], labels=LABELS)
    else:
        columns = {"vector": vectors.tolist(), "id": range(100, 140), "label": LABELS}
        pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=7)
    return path


def test_codes_ids_and_labels_are_those_of_the_file(
    file: Path, vectors: np.ndarray, vector_encoder: HashEncoder, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(VectorItems, "batch", 9)
    output = tmp_path / "index.npz"
    built = build_index(vector_encoder, vector_items(file), output, shard=16)
    index = CodeIndex.load(output)
    np.testing.assert_array_equal(index.codes, vector_encoder.encode(vectors))
    assert (built.index.ids, built.skipped) == (index.ids, {})
    assert (index.bits, index.fingerprint) == (12, vector_encoder.fingerprint)
    first = {"npy": "0", "npz": "item/0", "parquet": "100"}[file.suffix[1:]]
    assert index.ids[0] == first
    assert index.integer_ids == (file.suffix != ".npz")
    assert index.labels == (None if file.suffix == ".npy" else LABELS)


def test_bad_vectors_are_named_or_left_out(
    vector_encoder: HashEncoder, vectors: np.ndarray, tmp_path: Path
) -> None:
    bad = vectors.copy()
    bad[3, 1], bad[7] = np.nan, 0
    np.savez(tmp_path / "v.npz", vectors=bad, ids=[f"item/{at}" for at in range(40)])
    items, output = vector_items(tmp_path / "v.npz"), tmp_path / "index.npz"
    with pytest.raises(ValueError, match="2 of 40 vectors cannot be used") as raised:
        build_index(vector_encoder, items, output)
    assert "is not finite: 'item/3'" in str(raised.value)
    assert "is zero: it has no direction: 'item/7'" in str(raised.value)
    built = build_index(vector_encoder, items, output, on_bad_image="skip")
    assert list(built.skipped) == ["item/3", "item/7"]
    good = np.delete(np.arange(40), [3, 7])
    np.testing.assert_array_equal(built.index.codes, vector_encoder.encode(vectors[good]))
    assert built.index.ids[:] == [f"item/{at}" for at in good]
    np.savez(tmp_path / "v.npz", vectors=bad[[3, 7]])
    with pytest.raises(ValueError, match="None of the 2 vectors can be used"):
        build_index(
            vector_encoder,
            vector_items(tmp_path / "v.npz"),
            tmp_path / "none.npz",
            on_bad_image="skip",
        )


def test_an_exported_model_encodes_and_extends(
    vector_encoder: HashEncoder, vectors: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", vectors=vectors[:30], ids=range(30))
    np.savez(tmp_path / "b.npz", vectors=vectors[30:], ids=range(30, 40), labels=LABELS[30:])
    served = ServedEncoder.load(export_saved_model(vector_encoder, tmp_path / "models"))
    output = tmp_path / "index.npz"
    build_index(served, vector_items(tmp_path / "a.npz"), output)
    index = extend_index(vector_encoder, vector_items(tmp_path / "b.npz"), output).index
    np.testing.assert_array_equal(index.codes, vector_encoder.encode(vectors))
    assert index.ids[:] == [str(at) for at in range(40)]
    with pytest.raises(ValueError, match="in the index already: 30, 31"):
        extend_index(vector_encoder, vector_items(tmp_path / "b.npz"), output)


def test_what_the_model_does_not_take_is_refused(
    vector_encoder: HashEncoder, tmp_path: Path, encode_image
) -> None:
    np.save(tmp_path / "v.npy", np.ones((3, 4)))
    with pytest.raises(
        ValueError, match="must take vectors of width 4. Received: a model of vectors of width 5"
    ):
        build_index(vector_encoder, vector_items(tmp_path / "v.npy"), tmp_path / "i.npz")
    layers = [keras.Input((2, 2, 1)), keras.layers.Flatten(), HashHead(12)]
    of_images = HashEncoder(keras.Sequential(layers), ImagePreprocessing(2, 2, 1))
    with pytest.raises(
        ValueError, match="must take vectors of width 4. Received: a model of images"
    ):
        build_index(of_images, vector_items(tmp_path / "v.npy"), tmp_path / "i.npz")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encode_image(np.zeros((4, 4), np.uint8)))
    with pytest.raises(
        ValueError, match="must take images. Received: a model of vectors of width 5"
    ):
        build_index(vector_encoder, folder_items(tmp_path / "images"), tmp_path / "i.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "v.npy"]


def test_the_command_line_builds_from_a_keras_file(
    vector_encoder: HashEncoder, vectors: np.ndarray, tmp_path: Path
) -> None:
    vector_encoder.model.save(tmp_path / "m.keras")
    np.save(tmp_path / "v.npy", vectors)
    build = [
        "index",
        "build",
        "--model",
        str(tmp_path / "m.keras"),
        "--output",
        str(tmp_path / "i.npz"),
    ]
    result = CliRunner().invoke(app, [*build, "--vectors", str(tmp_path / "v.npy")])
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(
        CodeIndex.load(tmp_path / "i.npz").codes, vector_encoder.encode(vectors)
    )
    result = CliRunner().invoke(app, [*build, "--vectors", str(tmp_path / "v.csv"), "--replace"])
    assert result.exit_code == 1
    assert "must end in .npy, .npz, .parquet. Received: .csv" in result.stderr
    result = CliRunner().invoke(app, [*build, "--dataset", "vectors", "--data-dir", "v.npy"])
    assert "Vectors are named by --vectors FILE" in result.stderr
    result = CliRunner().invoke(app, build)
    assert "--images, --dataset, --list or --vectors, one of them" in " ".join(
        result.stderr.split()
    )
