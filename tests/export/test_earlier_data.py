"""Runs, indexes and SavedModels of commit 06f8bd5 load, and give the codes that they gave then.

`tests/fixtures/make_06f8bd5.py.txt` says how the archive was made.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli.app import app
from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.encoder import HashEncoder
from keras_hashing.encoder.fingerprint import code_space_fingerprint
from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import load_run
from training.settings import FitSettings
from training.settings.config_file import read_config

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "made_by_06f8bd5.tar.xz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with tarfile.open(ARCHIVE) as archive:
        # Python before 3.11.4, such as Debian 12's, has no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def codes(made: Path) -> np.ndarray:
    """The codes of all digits, as they were then."""
    return np.load(made / "codes.npy")


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_a_run(made: Path, codes: np.ndarray, digits: np.ndarray) -> None:
    run = load_run(made / "run")
    np.testing.assert_array_equal(run.model.encode(digits), codes)
    loaded = HashEncoder.load(made / "run")
    np.testing.assert_array_equal(loaded.encode(digits), codes)
    fingerprint = run.metrics["fingerprint"]
    assert run.encoder.fingerprint == loaded.fingerprint == fingerprint
    assert fingerprint != code_space_fingerprint(loaded.model, loaded.preprocessing)
    unnamed = HashEncoder(loaded.model, loaded.preprocessing)
    assert unnamed.has_fingerprint(fingerprint)
    data = run.data()  # the same data, the same split
    ids = [data.dataset.ids[position] for position in data.split.database]
    assert ids == list(CodeIndex.load(run.index_path).ids)
    assert FitSettings.check(read_config(made / "run" / "config.json")) == run.config


def test_an_index(made: Path, codes: np.ndarray) -> None:
    index = CodeIndex.load(made / "index.npz")
    assert index.bits == 16
    np.testing.assert_array_equal(index.codes, codes)
    assert index.ids[3] == "train/3"


def test_a_saved_model_and_its_card(made: Path, codes: np.ndarray, tmp_path: Path) -> None:
    served = ServedEncoder.load(made / "model")
    pictures = _pictures(tmp_path)
    call("query", "--model", made / "model", "--index", made / "index.npz", "--json", *pictures)
    np.testing.assert_array_equal(served.encode_files(pictures).codes, codes[:3])


def test_an_earlier_index_goes_with_the_model_exported_anew(
    made: Path, codes: np.ndarray, tmp_path: Path
) -> None:
    index = CodeIndex.load(made / "index.npz")
    version = export_saved_model(HashEncoder.load(made / "run"), tmp_path / "models", index=index)
    served = ServedEncoder.load(version)
    assert served.fingerprint == index.fingerprint
    np.testing.assert_array_equal(served.encode_files(_pictures(tmp_path)).codes, codes[:3])
    call(
        "publish", "--run", made / "run", "--index", made / "index.npz", "--output", tmp_path / "p"
    )
    found = call("query", "--run", made / "run", "--index", made / "index.npz", "--json", "--k", 1,
                 *_pictures(tmp_path))  # fmt: skip
    answers = json.loads(found.stdout)["queries"]
    assert [answer["neighbours"][0]["distance"] for answer in answers] == [0, 0, 0]


def _pictures(folder: Path) -> list[Path]:
    """The first digits as files."""
    from PIL import Image

    from training.data import load_dataset

    paths = [folder / f"{at}.png" for at in range(3)]
    for pixels, path in zip(load_dataset("digits").images.pixels, paths, strict=False):
        Image.fromarray(pixels[..., 0]).save(path)
    return paths
