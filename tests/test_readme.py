"""The README's Python runs as it is written, but for its data."""

import importlib.util
import re
from pathlib import Path

import numpy as np

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(64, 8, 8, 1)).astype("float32"), rng.integers(0, 10, 64)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names = {"data": data}
    for block in blocks:
        exec(block.replace("= ...  #", "= data  #"), names)
    assert names["packed"].shape == (64, 8)
    assert (tmp_path / "model.keras").exists()


def test_the_readmes_links_and_scripts_exist():
    text = README.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    modules = re.findall(r"python -m ([\w.]+)", text)
    assert len(links) >= 4
    assert {"training", "export", "benchmarks.quantization_losses"} <= set(modules)
    for link in links:
        assert (README.parent / link).exists(), link
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module
    assert not re.findall(r"[A-Z]+_(?:TABLE|LINE)", text)
