"""
Photographs without labels
==========================

A folder of pictures, nothing else: a network learns from two random changes of each picture that
they belong together, and from HSWD that each bit is to halve the collection.

With your own photographs, take a pretrained network and leave it as it is (``--backbone
efficientnet-lite0``, the default of such a folder); here a small one is trained from nothing.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import load_run
from training.settings import FitSettings
from training.trainer.fit import fit

work = Path(tempfile.mkdtemp())

# %%
# The collection
# --------------
# 200 crops of two photographs that come with scikit-learn.

rng = np.random.default_rng(0)
photos = work / "photos"
photos.mkdir()
for name, photo in zip(("temple", "flower"), load_sample_images().images):
    for number in range(100):
        top, left = rng.integers(0, np.array(photo.shape[:2]) - 128)
        crop = Image.fromarray(photo[top : top + 128, left : left + 128]).resize((32, 32))
        crop.save(photos / f"{name}-{number:03}.png")

# %%
# Training
# --------
# The same as ``python -m training fit --dataset folder --data-dir photos --backbone small-cnn
# --no-frozen --height 32 --width 32 --epochs 12 --output run``.

settings = FitSettings.check(
    {
        "dataset": "folder",
        "data_dir": str(photos),
        "backbone": "small-cnn",
        "frozen": False,
        "height": 32,
        "width": 32,
        "bits": 32,
        "epochs": 12,
    }
)
metrics = fit(settings, work / "run", verbose=0)
for name in ("neighbour_recall_at_10", "neighbour_recall_at_100"):
    print(name, round(metrics[name], 3))

# %%
# The index
# ---------
# The run holds every picture's code. The exported model encodes files as a server would.

run = load_run(work / "run")
export_saved_model(run.encoder, work / "exported")
encoder = ServedEncoder.load(work / "exported")
index = CodeIndex.load(work / "run" / "database.npz")
print(len(index), "pictures;", len(np.unique(index.codes, axis=0)), "different codes")

# %%
# What is found
# -------------
# The picture itself comes first; what follows is from the same photograph, mostly.

asked = [photos / "temple-000.png", photos / "temple-007.png", photos / "flower-000.png"]
codes = encoder.encode_files(asked).codes
positions, distances = index.search(codes, k=8)
figure, axes = plt.subplots(3, 8, figsize=(8, 3.6))
for row, found, away in zip(axes, positions, distances):
    for axis, position, distance in zip(row, found, away):
        axis.imshow(Image.open(photos / index.ids[position]))
        axis.set_title(f"{distance} bits", fontsize=8)
        axis.axis("off")
figure.tight_layout()
