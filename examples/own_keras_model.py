"""
A hash head in a Keras model of your own
========================================

The digits of scikit-learn, a small network, any loss: one layer makes its features a binary code,
and its quantization term, HSWD, matches the codes to the uniform distribution on {-1, +1}^K.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import keras_hashing

keras.utils.set_random_seed(0)

# %%
# The data
# --------
# 1,797 images of 8 × 8 pixels. The last 200 are the queries; the others are trained on, and they
# are the database that is searched.

digits = load_digits()
images, labels = digits.images[..., np.newaxis], digits.target
database, queries = slice(0, -200), slice(-200, None)

# %%
# The model
# ---------
# The head takes the place of the last layer before the loss. In training it adds
# ``quantization_weight`` × HSWD; the exported graph has no trace of it.

inputs = keras.Input((8, 8, 1))
x = keras.layers.Rescaling(1 / 8, offset=-1)(inputs)
x = keras.layers.Conv2D(32, 3, activation="relu")(x)
x = keras.layers.Conv2D(64, 3, activation="relu")(x)
x = keras.layers.Flatten()(x)
codes = keras_hashing.layers.HashHead(bits=32, quantization="hswd", quantization_weight=0.1)(x)
model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(codes))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(images[database], labels[database], epochs=15, batch_size=64, verbose=0)
print("accuracy in training:", round(history.history["accuracy"][-1], 3))

# %%
# Codes, and how good they are
# ----------------------------
# Hamming distances are full of ties; the mAP here is the expectation over all orders of them.

encoder = keras.Model(inputs, codes)
packed = keras_hashing.retrieval.pack_codes(encoder.predict(images, verbose=0))
print("packed codes:", packed.dtype, packed.shape)
one_hot = np.eye(10)[labels]
precision = keras_hashing.retrieval.mean_average_precision(
    packed[queries], one_hot[queries], packed[database], one_hot[database]
)
print("tie-aware mAP:", round(precision, 3))

# %%
# The values of the continuous code lie around -1 and +1, so their signs say nearly all.

plt.figure(figsize=(7, 3))
plt.hist(encoder.predict(images, verbose=0).ravel(), bins=120)
plt.xlabel("value of the continuous code")
plt.ylabel("bits")
plt.tight_layout()

# %%
# Search
# ------

index = keras_hashing.retrieval.CodeIndex(
    packed[database], range(len(images) - 200), fingerprint="digits"
)
positions, distances = index.search(packed[queries][:4], k=8)
figure, axes = plt.subplots(4, 9, figsize=(8, 4))
for row, (query, found, away) in enumerate(zip(images[queries], positions, distances)):
    axes[row, 0].imshow(query[..., 0], cmap="Blues")
    for place, (position, distance) in enumerate(zip(found, away), start=1):
        axes[row, place].imshow(images[position, ..., 0], cmap="Greys")
        axes[row, place].set_title(int(distance), fontsize=8)
for axis in axes.ravel():
    axis.axis("off")
figure.suptitle("Queries in blue, the nearest of the database with their distances in bits")

# %%
# Export
# ------
# ``model.save("model.keras")``, then ``python -m export saved-model --model model.keras --output
# exported/digits``: the graph for TensorFlow Serving takes pixels or image files and gives packed
# codes.
