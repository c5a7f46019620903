import dataclasses
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from export.saved_model import export_saved_model as exporting
from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.graph_ops import saved_model_ops
from keras_hashing.encoder.card import Card
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.runs.run_folder import Run


class CallsPython(ImagePreprocessing):
    """Preprocessing that no server can run."""

    def resize(self, images: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(lambda pixels: pixels, [images], tf.uint8)
        return tf.ensure_shape(pixels, [*images.shape[:-3], *self.shape])


@pytest.fixture
def python_run(grey_run: Run) -> Run:
    return dataclasses.replace(grey_run, preprocessing=CallsPython(8, 8, 1))


def tensors(specs: dict) -> dict[str, tuple]:
    return {
        name: (spec.dtype, [None if size == -1 else size for size in shape_of(spec)])
        for name, spec in specs.items()
    }


def shape_of(spec: object) -> list[int]:
    return [dimension.size for dimension in spec.tensor_shape.dim]


def test_signatures_have_stable_names_types_and_free_sizes(exports: dict[str, Path]) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(exports["colour"]))
    found = {
        name: (tensors(signature.inputs), tensors(signature.outputs))
        for name, signature in meta_graph.signature_def.items()
        if not name.startswith("__saved_model")
    }
    images = {"images": (tf.uint8, [None, None, None, 3])}
    code = {"code": (tf.uint8, [None, 2])}
    assert found == {
        "encode": (images, code),
        "serving_default": (images, code),
        "encode_bytes": ({"encoded": (tf.string, [None])}, code),
        "continuous": (images, {"continuous": (tf.float32, [None, 16])}),
        "card": ({"request": (tf.string, [None])}, {"card": (tf.string, [None])}),
    }
    assert sorted(found) == sorted(exporting.SIGNATURES)


def test_a_loss_in_the_head_leaves_no_trace(make_run: Callable[..., Run], tmp_path: Path) -> None:
    with_loss, without = (
        export_saved_model(make_run((4, 4, 1), bits=8, quantization=loss).encoder, tmp_path)
        for loss in ("hswd", None)
    )
    assert saved_model_ops(with_loss) == saved_model_ops(without)
    assert (with_loss / "saved_model.pb").stat().st_size == pytest.approx(
        (without / "saved_model.pb").stat().st_size, rel=0.01
    )


def test_serving_changes_no_variable(exports: dict[str, Path], digits: np.ndarray) -> None:
    """Batch normalization is in inference mode, dropout is off."""
    model = tf.saved_model.load(str(exports["grey"]))
    encode = model.signatures["continuous"]
    before = [variable.numpy() for variable in model._all_variables]
    first = encode(images=tf.constant(digits[:50]))["continuous"]
    again = encode(images=tf.constant(digits[:50]))["continuous"]
    np.testing.assert_array_equal(first, again)
    for variable, value in zip(model._all_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_the_graph_holds_the_encoder_alone(grey_run: Run, exports: dict[str, Path]) -> None:
    variables = tf.saved_model.load(str(exports["grey"]))._all_variables
    shapes = sorted(variable.shape.as_list() for variable in variables)
    encoder = grey_run.model.encoder
    used = [weight for weight in encoder.weights if "seed" not in weight.path]
    assert shapes == sorted(list(weight.shape) for weight in used)


def test_versions_count_up_from_the_highest(grey_run: Run, tmp_path: Path) -> None:
    assert export_saved_model(grey_run.encoder, tmp_path / "m") == tmp_path / "m" / "1"
    (tmp_path / "m" / "09").mkdir()
    (tmp_path / "m" / "notes").mkdir()
    assert export_saved_model(grey_run.encoder, tmp_path / "m") == tmp_path / "m" / "10"
    assert export_saved_model(grey_run.encoder, tmp_path / "m", version=4) == tmp_path / "m" / "4"
    assert export_saved_model(grey_run.encoder, tmp_path / "m").name == "11"


def test_an_existing_version_is_named_and_left_as_it_is(grey_run: Run, tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    with pytest.raises(FileExistsError, match=re.escape(f"Version 3 exists already: {tmp_path}")):
        export_saved_model(grey_run.encoder, tmp_path, version=3)
    assert [path.name for path in tmp_path.rglob("*")] == ["3"]


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", 2**63])
def test_a_version_is_a_positive_int(grey_run: Run, tmp_path: Path, version: object) -> None:
    with pytest.raises(ValueError, match="`version` must be a positive int"):
        export_saved_model(grey_run.encoder, tmp_path, version=version)


def test_an_output_that_is_a_file_is_refused(grey_run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="must be a folder"):
        export_saved_model(grey_run.encoder, tmp_path / "file")


def full_disk(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk_of_tensorflow(archive: object, folder: str, **options: object) -> None:
    Path(folder, "variables").mkdir(parents=True)
    raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")


@pytest.mark.parametrize(
    ("where", "name", "failure"),
    [
        (type(keras.export.ExportArchive()), "write_out", full_disk_of_tensorflow),
        (Card, "save", full_disk),
        (exporting, "write_warm_up", full_disk),
        (exporting, "write_checksums", full_disk),
        (os, "fsync", full_disk),
        (os, "rename", full_disk),
    ],
)
@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
    grey_run: Run,
    tmp_path: Path,
    where: object,
    name: str,
    failure: Callable,
    earlier: bool,
) -> None:
    output = tmp_path / "model"
    if earlier:
        (output / "1").mkdir(parents=True)
    monkeypatch.setattr(where, name, failure)
    with pytest.raises(OSError, match="No space left on device"):
        export_saved_model(grey_run.encoder, output)
    assert [path.name for path in tmp_path.rglob("*")] == (["model", "1"] if earlier else [])


def test_a_graph_that_calls_python_is_refused(python_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"calls Python functions.*PyFunc"):
        export_saved_model(python_run.encoder, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_is_no_version(
    monkeypatch: pytest.MonkeyPatch, grey_run: Run, tmp_path: Path
) -> None:
    seen = []
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda old, new: (seen.append(old), rename(old, new)))
    export_saved_model(grey_run.encoder, tmp_path, version=12)
    (temporary,) = seen
    assert temporary.parent == tmp_path
    assert not temporary.name.isdigit()


def test_a_diverged_model_is_refused(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run((4, 4, 1), bits=8)
    bias = run.model.head.projection.bias
    bias.assign(np.full(8, np.nan))
    with pytest.raises(ValueError, match=r"weights must be finite.*bias"):
        export_saved_model(run.encoder, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_another_backend_is_refused(
    monkeypatch: pytest.MonkeyPatch, grey_run: Run, tmp_path: Path
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"set KERAS_BACKEND=tensorflow\. Received: jax"):
        export_saved_model(grey_run.encoder, tmp_path)
