import subprocess
import sys
from pathlib import Path

import keras_hashing.retrieval

RETRIEVAL = Path(keras_hashing.retrieval.__file__).parent

# The parent package needs Keras; a bare stand-in for it shows what `retrieval` itself imports.
SCRIPT = f"""
import sys, types
parent = types.ModuleType("keras_hashing")
parent.__path__ = [{str(RETRIEVAL.parent)!r}]
sys.modules["keras_hashing"] = parent
import keras_hashing.retrieval
print(sorted({{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules)))
"""


def test_retrieval_imports_no_backend():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in keras_hashing.retrieval.__all__:
        assert callable(getattr(keras_hashing.retrieval, name))
