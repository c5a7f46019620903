import shutil
import subprocess
from pathlib import Path

import pytest

from export.saved_model.served_encoder import ServedEncoder
from export.versions.checksums import CHECKSUMS, verify_files


@pytest.fixture
def version(exports: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(exports["grey"], tmp_path / "1")


def test_an_exported_version_is_as_it_was_written(version: Path) -> None:
    verify_files(version)
    listed = {line.split("  ")[1] for line in (version / CHECKSUMS).read_text().splitlines()}
    files = {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()}
    assert files - listed == {"assets.extra/SHA256SUMS"}
    assert listed <= files


def test_sha256sum_agrees(version: Path) -> None:
    command = ["sha256sum", "--check", "--quiet", CHECKSUMS.as_posix()]
    assert subprocess.run(command, cwd=version, check=False).returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
        "saved_model.pb",
        "assets.extra/card.json",
        "assets.extra/tf_serving_warmup_requests",
    ],
)
def test_a_file_with_one_other_bit_is_named(name: str, version: Path) -> None:
    content = bytearray((version / name).read_bytes())
    content[len(content) // 2] ^= 1
    (version / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"1' is damaged: {name} is not as it was written"):
        verify_files(version)
    if not name.endswith("card.json"):  # whose own check may come first
        with pytest.raises(ValueError, match=f"1' is damaged: {name} is not as it was written"):
            ServedEncoder.load(version)


def test_the_check_can_be_left_out(version: Path) -> None:
    (version / CHECKSUMS).unlink()
    with pytest.raises(ValueError, match="SHA256SUMS is missing"):
        ServedEncoder.load(version)
    ServedEncoder.load(version, verify=False)


def test_a_missing_file_is_named(version: Path) -> None:
    (version / "variables" / "variables.index").unlink()
    with pytest.raises(ValueError, match=r"damaged: variables/variables\.index is missing"):
        verify_files(version)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff"])
def test_unreadable_checksums_are_damage(content: bytes, version: Path) -> None:
    (version / CHECKSUMS).write_bytes(content)
    with pytest.raises(ValueError, match="SHA256SUMS is unreadable"):
        verify_files(version)
