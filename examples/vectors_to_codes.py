"""
Vectors to codes
================

Embeddings become codes of a few bytes each. Three ways without labels, and how many of a vector's
true neighbours each of them keeps.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from training.settings import FitSettings
from training.trainer.fit import fit

work = Path(tempfile.mkdtemp())

# %%
# A file of vectors
# -----------------
# Any ``.npy``, ``.npz`` or Parquet file of floats [n, D]. Here: the digits' 64 pixels, through a
# random projection to 256 values.

pixels = load_digits().data
vectors = np.tanh(pixels @ np.random.default_rng(0).normal(size=(64, 256)) / 100)
np.savez(work / "vectors.npz", vectors=vectors.astype(np.float32))
print(vectors.shape, "floats take", vectors.shape[1] * 4, "bytes each; 24 bits take 3")

# %%
# Three methods
# -------------
# ``lsh`` draws hyperplanes, ``itq`` rotates the principal components, ``ntxent`` trains a head with
# HSWD. The command line has the same: ``python -m training fit --dataset vectors --data-dir
# vectors.npz --method itq --output run``.

methods = ("lsh", "itq", "ntxent")
figures = {}
for method in methods:
    settings = FitSettings.check(
        {
            "dataset": "vectors",
            "data_dir": str(work / "vectors.npz"),
            "method": method,
            "bits": 24,
            "epochs": 20,
            "query_share": 0.1,
        }
    )
    figures[method] = fit(settings, work / method, verbose=0)

# %%
# The share of the 10 nearest vectors by the cosine that are among the 10 and 100 nearest codes.

within = (10, 100)
places = np.arange(len(within))
for shift, method in enumerate(methods):
    recall = [figures[method][f"neighbour_recall_at_{number}"] for number in within]
    print(method, [round(value, 3) for value in recall])
    plt.bar(places + 0.25 * shift, recall, 0.25, label=method)
plt.xticks(places + 0.25, [f"nearest {number} codes" for number in within])
plt.ylabel("share of the 10 nearest vectors")
plt.legend()
plt.tight_layout()
