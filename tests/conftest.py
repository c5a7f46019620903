"""What every test shares: quiet logs, and the data sets that TFDS has prepared."""

import logging
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

_CHECKOUT = Path(__file__).resolve().parents[1]
PREPARED_DATA = Path(os.environ.get("KERAS_HASHING_TFDS_DIR", _CHECKOUT.parent / "shared" / "tfds"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "prepared_data(name): needs a data set that TFDS has prepared; else skipped"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("prepared_data"):
            (name,) = marker.args
            if not (PREPARED_DATA / name).is_dir():
                reason = (
                    f"{name} is not prepared: set KERAS_HASHING_TFDS_DIR to a TFDS folder that "
                    f"has it, or put it at ../shared/tfds beside the checkout"
                )
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def stages_of_one_command() -> None:
    """A command line that a test or a fixture calls shows its stages; no other test sees any."""
    log = logging.getLogger("keras_hashing.stages")
    for handler in [*log.handlers]:
        if type(handler).__module__.startswith("keras_hashing"):  # pytest has handlers there, too
            log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


@pytest.fixture
def prepared_data() -> Path:
    return PREPARED_DATA
