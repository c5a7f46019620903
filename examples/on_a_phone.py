"""
The same code on a phone
========================

An encoder as LiteRT files: how many bits each kind keeps, and what it weighs. The class that runs
them, ``keras_hashing.device.DeviceEncoder``, needs neither TensorFlow nor Keras.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from export.litert.export_litert import export_litert
from keras_hashing.device import DeviceEncoder, read_metadata
from training.runs.run_folder import load_run
from training.settings import FitSettings
from training.trainer.fit import fit

work = Path(tempfile.mkdtemp())

# %%
# A trained encoder
# -----------------

settings = FitSettings.check({"dataset": "digits", "bits": 64, "epochs": 5})
fit(settings, work / "run", verbose=0)
run = load_run(work / "run")
images = run.data().dataset.images.pixels[:500]

# %%
# Files
# -----
# int8 arithmetic needs some images, from which the ranges of activations are taken.

kinds = ["float32", "float16", "dynamic-range", "int8"]
paths = export_litert(run.encoder, work / "phone", kinds, images[:200])

# %%
# Equal bits
# ----------

reference = run.encoder.encode(images[200:])
shares, sizes = [], []
for path in paths:
    codes = DeviceEncoder(path).encode(images[200:])
    shares.append(1 - np.bitwise_count(codes ^ reference).sum() / (codes.size * 8))
    sizes.append(path.stat().st_size / 1024)
    print(f"{read_metadata(path).kind:14} {sizes[-1]:6.0f} KiB, equal bits {shares[-1]:.2%}")

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
left.barh(kinds, sizes)
left.set_xlabel("KiB")
right.barh(kinds, [100 * (1 - share) for share in shares])
right.set_xlabel("bits that differ, %")
right.set_yticks([])
figure.tight_layout()
