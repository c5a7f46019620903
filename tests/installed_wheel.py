"""The wheel as one who installs it gets it: with the dependencies of some extras and no others.

Nothing is downloaded: each dependency is linked from the environment of the tests, so that what an
extra does not name cannot be imported.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def build_wheel(folder: Path) -> Path:
    """Builds the wheel of a copy of the checkout: what an earlier build left would go into it."""
    copy = folder / "checkout"
    for package in ("keras_hashing", "training", "export"):
        shutil.copytree(
            ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", str(folder), str(copy)],
        check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


class InstalledWheel:
    """The wheel with some of its extras, in a folder of its own."""

    def __init__(self, wheel: Path, folder: Path, *extras: str) -> None:
        self.folder = folder
        zipfile.ZipFile(wheel).extractall(folder)
        (metadata,) = folder.glob("*.dist-info")
        self._seen: set[tuple[str, frozenset[str]]] = set()
        self._own = importlib.metadata.Distribution.at(metadata)
        self._link_requirements(self._own, frozenset(extras))

    def run(self, code: str, *arguments: str) -> subprocess.CompletedProcess:
        """Runs a program in an empty folder, with nothing but what is installed."""
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        environment = {"PYTHONPATH": str(self.folder), "PATH": os.environ["PATH"]}
        return subprocess.run(
            [sys.executable, "-S", "-c", code, *arguments],
            cwd=empty, env=environment, capture_output=True, text=True,
        )  # fmt: skip

    def _link_requirements(
        self, distribution: importlib.metadata.Distribution, extras: frozenset[str]
    ) -> None:
        for line in distribution.requires or []:
            needed = Requirement(line)
            wanted = needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            )
            key = needed.name, frozenset(needed.extras)
            if not wanted or key in self._seen:
                continue
            self._seen.add(key)
            own = needed.name == self._own.metadata["Name"]
            found = self._own if own else importlib.metadata.distribution(needed.name)
            if not own:
                self._link_files(found)
            self._link_requirements(found, key[1])

    def _link_files(self, distribution: importlib.metadata.Distribution) -> None:
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for top in tops:
            if not (self.folder / top).exists():
                (self.folder / top).symlink_to(Path(str(distribution.locate_file(top))))
