"""A SavedModel, run as a server runs it."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


class Session:
    """A SavedModel as TensorFlow Serving runs it: by tag, signature and tensor names."""

    def __init__(self, folder: Path) -> None:
        with tf.Graph().as_default():
            self.session = tf.compat.v1.Session()
            meta_graph = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        self.signatures = meta_graph.signature_def

    def __call__(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        definition = self.signatures[signature]
        feed = {definition.inputs[name].name: value for name, value in inputs.items()}
        outputs = {name: output.name for name, output in definition.outputs.items()}
        return self.session.run(outputs, feed)

    def unchecked(self, signature: str, **inputs: np.ndarray) -> list[np.ndarray]:
        """The same without the checks of shapes that Python makes and a server does not."""
        definition = self.signatures[signature]
        graph = self.session.graph

        def of_graph(name: str) -> Any:
            return graph.get_tensor_by_name(name)._as_tf_output()

        feed = {of_graph(definition.inputs[name].name): value for name, value in inputs.items()}
        fetch = [of_graph(output.name) for output in definition.outputs.values()]
        return self.session._call_tf_sessionrun(None, feed, fetch, [], None)
