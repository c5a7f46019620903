"""Which models `keras.applications` has, without loading Keras."""

import ast
import importlib.util
from functools import cache
from pathlib import Path


@cache
def application_names() -> list[str]:
    """The names of the models, such as "MobileNetV2", as the installed Keras exports them."""
    keras = importlib.util.find_spec("keras")
    if keras is None or keras.origin is None:
        raise ModuleNotFoundError("The backbones need Keras: pip install keras")
    module = ast.parse(
        Path(keras.origin).with_name("applications").joinpath("__init__.py").read_text()
    )
    names = (
        alias.name
        for node in module.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    return sorted(name for name in names if name[0].isupper())
