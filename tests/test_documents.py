"""The documents: their Python runs as it is written, their links and names exist."""

import importlib.util
import inspect
import pydoc
import re
import shlex
import subprocess
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import keras_hashing

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

PAGES = {path.stem for path in DOCUMENTS}


def _anchor(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _anchors(document: Path) -> set[str]:
    return {_anchor(line) for line in re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)}


@pytest.mark.parametrize(("name", "packed"), [("README.md", False), ("docs/keras.md", True)])
def test_the_python_of_a_document_runs(name, packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(64, 8, 8, 1)).astype("float32"), rng.integers(0, 10, 64)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), flags=re.DOTALL)
    assert blocks
    names = {"data": data}
    for block in blocks:
        exec(block.replace("= ...  #", "= data  #"), names)
    assert (tmp_path / "model.keras").exists()
    if packed:
        assert names["packed"].shape == (64, 8)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_modules_exist(document):
    text = document.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module) is not None, module
    assert not re.findall(r"[A-Z]+_(?:TABLE|LINE)", text)


def test_every_document_is_reached_from_the_readme():
    """By links, or from the navigation of the site."""
    linked, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        linked.add(document)
        text = document.read_text()
        trees = re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL)
        pages = [f"{page}.md" for tree in trees for page in tree.split() if page in PAGES]
        for link in re.findall(r"\]\(([^)#\s]+\.md)", text) + pages:
            target = (document.parent / link).resolve()
            if "://" not in link and target not in linked:
                waiting.append(target)
    tracked = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert {ROOT / name for name in tracked} <= linked


@pytest.mark.parametrize("part", ["client", "device", "encoder", "retrieval", "rotation"])
def test_help_says_array_like_and_not_all_that_it_stands_for(part):
    module = importlib.import_module(f"{keras_hashing.__name__}.{part}")
    for name in module.__all__:
        public = getattr(module, name)
        for shown in (public, *(one for _, one in inspect.getmembers(public, callable))):
            if str(getattr(shown, "__module__", "")).startswith(keras_hashing.__name__):
                text = pydoc.plaintext.document(shown)
                assert "_SupportsArray" not in text, shown.__qualname__


def test_the_recipe_for_whole_networks_and_its_table_are_those_of_the_benchmark():
    from benchmarks.quality.on_frozen_features import read_lines
    from benchmarks.quality.whole_network_recipes import RECIPE, table

    text = (ROOT / "docs" / "cifar10.md").read_text()
    lines = read_lines(ROOT / "docs" / "results" / "whole_network_recipes.jsonl")
    assert table(lines) in text
    commands = re.findall(r"python -m training fit (.*?)\n\n", text, re.DOTALL)
    (command,) = (one for one in commands if "efficientnet-lite2" in one)
    words = shlex.split(command.replace("\\\n", " "))
    for name, value in RECIPE.items():
        option = words.index(f"--{name.replace('_', '-')}")
        assert value is True or type(value)(words[option + 1]) == value


def test_the_tables_on_frozen_features_are_those_of_the_committed_results():
    from benchmarks.quality import label_free, unseen_classes
    from benchmarks.quality.on_frozen_features import read_lines

    results, text = ROOT / "docs" / "results", (ROOT / "docs" / "results.md").read_text()
    lines = read_lines(results / "label_free.jsonl")
    assert all(part in text for part in label_free.table(lines).split("\n\n"))
    lines = read_lines(results / "unseen_classes.jsonl")
    assert unseen_classes.table(lines) in text


@pytest.fixture(scope="module")
def fine_tuned():
    """The committed comparison of networks that are trained."""
    from benchmarks.quality import fine_tuning

    results = fine_tuning.results_at(ROOT / "docs" / "results" / "fine_tuning.jsonl")
    return fine_tuning.Comparison([0, 1, 2], [32], list(fine_tuning.METHODS), results)


def _whole_network(fine_tuned):
    from benchmarks.quality import fine_tuning

    path = ROOT / "docs" / "results" / "fine_tuning_whole.jsonl"
    results = fine_tuning.results_at(path, fine_tuning.WHOLE)
    for method, place in (("csq", "relaxed"), ("hashnet", "raw")):
        columns = ("none", f"hswd {place}", "native")
        whole = fine_tuning.Comparison(
            [0, 1, 2], [32], [method], results, columns, tuned=fine_tuned.results
        )
        yield whole.table(32)
        yield whole.codes(32)


def _other_lengths(fine_tuned):
    from benchmarks.quality import fine_tuning

    of_two = fine_tuning.Comparison([0, 1, 2], [16, 64], ["csq", "dpsh"], fine_tuned.results)
    for bits in of_two.bits:
        yield of_two.table(bits)
        yield of_two.codes(bits)


def _orthohash(fine_tuned):
    from benchmarks.quality import fine_tuning

    columns = ("none", *fine_tuning.HSWD)
    one = fine_tuning.Comparison([0, 1, 2], [32], ["orthohash"], fine_tuned.results, columns)
    return one.table(32), one.codes(32), one.trials()


def _memory_while_fine_tuning():
    from benchmarks.quality.hswd_memory import table
    from benchmarks.quality.on_frozen_features import read_lines

    return table(read_lines(ROOT / "docs" / "results" / "hswd_memory_last_stages.jsonl"))


def test_documents_and_defaults_name_the_same_weight_and_place():
    from training.settings import FitSettings

    settings = FitSettings()
    assert settings.quantize is None  # raw
    assert FitSettings(backbone="efficientnet-lite0", frozen=True).quantize is None
    named = {
        document.name: pair
        for document in DOCUMENTS
        for pair in re.findall(
            r"default\s+weight,\s+([\d.]+)\s+on\s+the\s+(\w+)\s+code", document.read_text()
        )
    }
    assert {"results.md", "fine-tuning.md"} <= set(named)  # frozen, and trained
    assert set(named.values()) == {(f"{settings.quantization_weight:g}", "raw")}


def test_the_default_is_the_best_weight_of_the_committed_trials(fine_tuned):
    from training.settings import FitSettings

    rows = re.findall(r"^\| ([\d.]+) raw \|.* ([\d.]+) \|$", fine_tuned.trials(), re.MULTILINE)
    assert len(rows) == 4
    best = max(rows, key=lambda row: float(row[1]))
    assert float(best[0]) == FitSettings().quantization_weight


def test_the_tables_and_sentences_of_hswd_are_those_of_the_committed_results(fine_tuned):
    document = (ROOT / "docs" / "fine-tuning.md").read_text()
    table = fine_tuned.table(32)
    assert table in document
    assert fine_tuned.codes(32) in document
    assert fine_tuned.trials() in document
    assert not re.search(r"n=[^3]", table)
    others = _other_lengths(fine_tuned), _orthohash(fine_tuned), _whole_network(fine_tuned)
    for part in (*chain(*others), _memory_while_fine_tuning()):
        assert part in document
    pages = [(ROOT / name).read_text() for name in ("README.md", "docs/results.md")]
    for other in ("none", "native"):
        row = re.search(rf"hswd raw − {other} \|.*\| (\S+ ± \S+) \|$", table, re.MULTILINE)
        mean = row[1].lstrip("+").replace("-", "−")
        assert all(mean in page for page in (document, *pages))
