from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from export.saved_model.graph_ops import check_standard_ops, saved_model_ops


def save(function: Callable, folder: Path) -> Path:
    module = tf.Module()
    module.call = tf.function(function, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(folder), signatures={"call": module.call})
    return folder


def test_ops_inside_nested_functions_are_found(tmp_path: Path) -> None:
    def function(x: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(lambda value: tf.cond(value > 0, lambda: tf.sin(value), lambda: value), x)

    ops = saved_model_ops(save(function, tmp_path))
    assert {"Sin", "Greater"} <= ops
    assert not any(op.startswith("__inference") for op in ops)


@pytest.mark.parametrize("wrap", [tf.py_function, tf.numpy_function])
def test_python_functions_are_refused(tmp_path: Path, wrap: Callable) -> None:
    folder = save(lambda x: tf.map_fn(lambda value: wrap(abs, [value], tf.float32), x), tmp_path)
    with pytest.raises(ValueError, match=r"calls Python functions.*: (Eager)?PyFunc\. "):
        check_standard_ops(folder)


def test_a_custom_op_is_refused(tmp_path: Path) -> None:
    folder = save(tf.sin, tmp_path)
    path = folder / "saved_model.pb"
    saved_model = SavedModel.FromString(path.read_bytes())
    for function in saved_model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = node.op.replace("Sin", "MySearch")
    path.write_bytes(saved_model.SerializeToString())
    with pytest.raises(ValueError, match=r"TensorFlow itself does not have: MySearch$"):
        check_standard_ops(folder)


def test_an_exported_model_passes(exports: dict[str, Path]) -> None:
    ops = check_standard_ops(exports["colour"])
    assert {"Conv2D", "DecodeImage", "ScaleAndTranslate"} <= ops


def test_no_saved_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no SavedModel in"):
        saved_model_ops(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match=r"saved_model\.pb' is damaged"):
        saved_model_ops(tmp_path)
