"""What a user who installs the package gets."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from installed_wheel import InstalledWheel, build_wheel

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


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


@pytest.mark.parametrize(
    "part", ["retrieval", "client", "device", "encoder.card", "files.vector_file"]
)
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


def test_the_wheel_holds_all_three_packages_with_their_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "keras_hashing", "training", "export"],
        cwd=ROOT, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    missing = set(tracked) - names
    assert tracked
    assert not missing
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"keras_hashing", "training", "export"}
    assert {f"{top}/py.typed" for top in tops} <= names


def test_the_console_scripts_are_the_modules(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    scripts = archive.read(name).decode()
    assert "keras-hashing-train = training.__main__:main" in scripts
    assert "keras-hashing-export = export.__main__:main" in scripts


def test_the_library_by_itself_searches_and_says_what_keras_needs(wheel, tmp_path):
    installed = InstalledWheel(wheel, tmp_path)
    searched = installed.run(
        "import numpy as np; from keras_hashing.retrieval import CodeIndex; "
        "index = CodeIndex(np.eye(4, dtype=np.uint8), list('abcd'), 'space'); "
        "print(index.search(index.codes, k=1)[0].ravel().tolist())"
    )
    assert searched.stdout.strip() == "[0, 1, 2, 3]", searched.stderr
    refused = installed.run("import keras_hashing; keras_hashing.losses")
    assert "pip install 'keras-hashing[tensorflow]'" in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize("script", ["training", "export"])
def test_an_application_without_its_extra_says_which_it_needs(wheel, tmp_path, script):
    ran = InstalledWheel(wheel, tmp_path).run(f"from {script}.__main__ import main; main()")
    assert ran.returncode == 1
    assert f"pip install 'keras-hashing[{script}]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_extra_of_the_page_is_all_that_it_needs(wheel, tmp_path):
    ran = InstalledWheel(wheel, tmp_path, "page").run(
        "import uvicorn, export.page.index_collection, export.page.served_collection; "
        "from types import SimpleNamespace as Of; from export.page.app import make_app; "
        "from keras_hashing.files.picture_sheet import PictureSheet; "
        "app = make_app(Of(size=0, bits=8, largest_k=1, largest_radius=None), 'title'); "
        "print(len(app.routes), '<h1>a' in PictureSheet('a', 'b').html())"
    )
    assert ran.stdout.split() == ["11", "True"], ran.stderr


def test_the_page_without_its_extra_says_which_it_needs(wheel, tmp_path):
    ran = InstalledWheel(wheel, tmp_path, "export").run(
        "from export.__main__ import main; main()", "page", "--run", "r", "--index", "i"
    )
    assert ran.returncode == 1
    assert "pip install 'keras-hashing[page]'" in ran.stderr
