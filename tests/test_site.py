"""The site of the documents, and the examples in it: `make docs`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_every_page_is_in_the_navigation():
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    named = {line for tree in trees for line in tree.splitlines() if line and line[0] != ":"}
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert named == pages | {"examples/index"}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path):
    subprocess.run(
        [sys.executable, example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
        check=True,
    )


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    for name in ("sphinx", "myst_parser", "sphinx_gallery", "furo"):
        pytest.importorskip(name, reason="make docs installs what builds the site")
    without_running = "-Dsphinx_gallery_conf.plot_gallery=False"  # the test above runs them
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", without_running]
    subprocess.run([*build, "-d", tmp_path / "doctrees", DOCS, tmp_path / "site"], check=True)
    site = {path.relative_to(tmp_path / "site") for path in (tmp_path / "site").rglob("*.html")}
    assert {Path("examples", f"{example.stem}.html") for example in EXAMPLES} <= site
    api = (tmp_path / "site" / "api.html").read_text()
    assert 'id="keras_hashing.losses.HashSlicedWasserstein"' in api
    for page in site:  # fragments too: Sphinx checks those of Markdown alone
        text = (tmp_path / "site" / page).read_text()
        for link in re.findall(r'<a class="reference internal" href="([^"]+)"', text):
            path, _, anchor = link.partition("#")
            target = (tmp_path / "site" / page.parent / path) if path else tmp_path / "site" / page
            assert target.exists(), (page, link)
            assert not anchor or f'id="{anchor}"' in target.read_text(), (page, link)
