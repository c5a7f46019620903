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
    result = python("import keras_hashing", backend="numpy")
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
    code = f"import keras_hashing, sys; print({other!r} in sys.modules)"
    result = python(code, backend)
    assert result.stdout.strip() == "False", result.stderr


def test_the_library_imports_neither_application():
    code = "import keras_hashing, sys; print({'training', 'export'} & set(sys.modules))"
    assert python(code, "tensorflow").stdout.strip() == "set()"


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
