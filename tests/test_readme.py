"""The README's Python runs as it is written, but for its data."""

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
