"""
What a quantization loss does to the codes
==========================================

One method, DPSH, with four quantization losses on the digits, three seeds each: the accuracy of the
search, and what the codes look like.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from keras_hashing.models import HashingModel
from keras_hashing.retrieval import (
    bit_balance,
    bit_correlation,
    mean_average_precision,
    quantization_error,
)

digits = load_digits()
features, labels = (digits.data / 8 - 1).astype("float32"), np.eye(10)[digits.target]
train, query = slice(0, -300), slice(-300, None)
losses = ("none", "sign", "hswd", "swd")

# %%
# Training
# --------
# Runs with the same seed share their initial weights and batches, so their difference is that of
# the loss.


def trained(quantization, seed):
    """A model of 32 bits, trained for 12 epochs."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((64,)), keras.layers.Dense(64, "relu")]
    model = HashingModel(
        keras.Sequential(layers),
        bits=32,
        method="dpsh",
        quantization=quantization,
        quantization_weight=0.3,
    )
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(features[train], labels[train], epochs=12, batch_size=64, verbose=0)
    return model


# %%
# Figures
# -------
# Balance and correlation of the bits, and the quantization error: 0 is best.

continuous = {}
for loss in losses:
    rows = []
    for seed in range(3):
        model = trained(loss, seed)
        packed = model.encode(features)
        continuous[loss] = model.encoder.predict(features, verbose=0)
        rows.append(
            [
                mean_average_precision(packed[query], labels[query], packed[train], labels[train]),
                bit_balance(packed),
                bit_correlation(packed),
                quantization_error(continuous[loss]),
            ]
        )
    names = ("mAP", "balance", "correlation", "error")
    means = np.mean(rows, axis=0)
    print(f"{loss:5}", {name: round(float(value), 3) for name, value in zip(names, means)})

# %%
# The continuous codes
# --------------------
# Without a quantization loss their values grow as they like; HSWD has half of each bit's values
# near -1 and half near +1.

figure, axes = plt.subplots(1, len(losses), figsize=(10, 2.6))
for axis, loss in zip(axes, losses):
    axis.hist(continuous[loss].ravel(), bins=100)
    axis.set_title(loss)
    axis.set_yticks([])
figure.tight_layout()
