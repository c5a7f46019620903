"""The check that a SavedModel runs in a stock TensorFlow: which ops its graph holds."""

import os
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

# They call back into the Python process that made the graph, which no server has.
_PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def saved_model_ops(folder: str | os.PathLike[str]) -> set[str]:
    """Returns the name of every op in the graphs of a SavedModel and in their functions.

    Raises:
        FileNotFoundError: if `folder` holds no SavedModel.
        ValueError: if its graph cannot be read.
    """
    path = Path(folder, "saved_model.pb")
    try:
        saved_model = SavedModel.FromString(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no SavedModel in {str(folder)!r}") from None
    except DecodeError:
        raise ValueError(f"The graph {str(path)!r} is damaged") from None
    ops: set[str] = set()
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        functions = {function.signature.name for function in graph.library.function}
        ops.update(node.op for node in graph.node)
        ops.update(node.op for function in graph.library.function for node in function.node_def)
        ops -= functions  # a call of a function may bear its name
    return ops


def check_standard_ops(folder: str | os.PathLike[str]) -> set[str]:
    """Checks that a SavedModel needs nothing but the ops that every TensorFlow has.

    An op that a loaded library added to this process does not count as one of TensorFlow's.

    Returns:
        The names of its ops.

    Raises:
        FileNotFoundError: if `folder` holds no SavedModel.
        ValueError: if its graph cannot be read, or holds a Python function or a custom op; they
            are named.
    """
    ops = saved_model_ops(folder)
    python_ops = sorted(ops & _PYTHON_OPS)
    if python_ops:
        raise ValueError(
            "The graph calls Python functions, which no server can: "
            f"{', '.join(python_ops)}. Write them with TensorFlow's or Keras' own operations"
        )
    custom = sorted(op for op in ops if not hasattr(tf.raw_ops, op))
    if custom:
        raise ValueError(
            f"The graph needs ops that TensorFlow itself does not have: {', '.join(custom)}"
        )
    return ops
