"""What a user who installs the package gets."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def python(code: str, backend: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "KERAS_BACKEND": backend}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_another_backend_is_refused_with_the_two_that_work():
    result = python("import keras_hashing.losses", backend="numpy")
    assert result.returncode != 0
    assert "TensorFlow and the JAX backend" in result.stderr
    assert "Received: backend='numpy'" in result.stderr


@pytest.mark.parametrize(
    ("backend", "other"),
    [
        ("jax", "tensorflow"),
        ("jax", "keras_hashing.backend.tensorflow"),
        ("tensorflow", "keras_hashing.backend.jax"),  # Keras itself imports jax where it is
    ],
)
def test_only_the_active_backend_is_imported(backend, other):
    code = f"import keras_hashing.models, sys; print({other!r} in sys.modules)"
    result = python(code, backend)
    assert result.stdout.strip() == "False", result.stderr


def test_the_library_imports_neither_application():
    code = "import keras_hashing.models, sys; print({'training', 'export'} & set(sys.modules))"
    assert python(code, "tensorflow").stdout.strip() == "set()"


@pytest.mark.parametrize("part", ["retrieval", "client", "device", "encoder.card"])
def test_what_other_programs_import_loads_neither_keras_nor_tensorflow(part):
    code = (
        f"import keras_hashing.{part}, sys; "
        "print(sorted({'keras', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    assert python(code, "tensorflow").stdout.strip() == "[]"


@pytest.mark.parametrize("first", ["import keras, keras_hashing", "import keras_hashing.models"])
def test_every_class_is_registered_with_keras(first):
    code = (
        f"{first}; import keras; name = 'keras_hashing.methods>CSQ'; "
        "print(keras.saving.get_registered_object(name).__name__)"
    )
    assert python(code, "tensorflow").stdout.strip() == "CSQ"


@pytest.mark.parametrize(
    "part", ["callbacks", "layers", "losses", "methods", "metrics", "models", "optimizers"]
)
def test_any_part_may_be_the_first_that_is_imported(part):
    assert python(f"import keras_hashing.{part}", "tensorflow").returncode == 0


def test_the_wheel_holds_the_library_alone_and_is_typed(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"keras_hashing"}
    assert "keras_hashing/py.typed" in names
    assert "keras_hashing/losses/quantization/hash_sliced_wasserstein.py" in names
