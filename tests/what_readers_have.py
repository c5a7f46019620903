"""What README and docs take for granted, small: pictures, vectors, a data set of TFDS, a model."""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
OWN_MODEL = """
import keras, keras_hashing
inputs = keras.Input((16, 16, 3))
codes = keras_hashing.layers.HashHead(16)(keras.layers.Flatten()(inputs))
keras.Model(inputs, codes).save("model.keras")
"""


def write(name: str, folder: Path) -> None:
    """Writes what the documents call by this name into a folder."""
    into = folder / name
    if name == "docs":
        shutil.copytree(ROOT / "docs" / "results", into / "results")
    elif name == "DATA":
        write_cifar10(into)
    elif name == "F":
        into.mkdir()
        write("FEATURES.npy", into)
    elif name.endswith(".npy"):
        np.save(into, np.random.default_rng(0).normal(size=(1100, 16)))
    elif name == "texts.npz":
        vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
        np.savez(into, vectors=vectors, ids=[f"text {row}" for row in range(300)])
    elif name == "model.keras":
        environment = {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", OWN_MODEL], cwd=folder, env=environment, check=True)
    elif name == "LISTS":
        write_lists(into)
    elif name.endswith(".jpg"):
        into.write_bytes(picture())
    else:
        write_folder(into, labelled=name in ("SHOP", "IMAGES"))


def picture() -> bytes:
    """A JPEG file."""
    content = io.BytesIO()
    Image.fromarray(pictures()[0][0]).save(content, "JPEG")
    return content.getvalue()


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits as RGB images of 16×16 in three colours, and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.kron(data.images * 15, np.ones((1, 2, 2))).astype(np.uint8)
    return np.stack([grey, grey[::-1] // 2, 255 - grey], axis=-1), data.target


def write_folder(folder: Path, labelled: bool) -> None:
    """120 pictures of four classes, in a subfolder for each class if `labelled`."""
    images, labels = pictures()
    for label in range(4):
        into = folder / f"class {label}" if labelled else folder
        into.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images[labels == label][:30]):
            Image.fromarray(image).save(into / f"{label}-{number}.png")


def write_lists(folder: Path) -> None:
    """The field's list files of `IMAGES`, as `write_folder` writes it."""
    folder.mkdir()
    for part, numbers in (("test", range(5)), ("train", range(5, 30)), ("database", range(5, 30))):
        lines = [
            f"class {label}/{label}-{number}.png {' '.join(map(str, np.eye(4, dtype=int)[label]))}"
            for label in range(4)
            for number in numbers
        ]
        (folder / f"{part}.txt").write_text("\n".join(lines) + "\n")


def write_cifar10(folder: Path) -> None:
    """TFDS' folder with a CIFAR-10 of 300 pictures."""
    import tensorflow_datasets as tfds

    images, labels = pictures()
    chosen = np.concatenate([np.flatnonzero(labels == label)[:30] for label in range(10)])
    images = np.kron(images[chosen], np.ones((1, 2, 2, 1), np.uint8))
    examples = [
        {"image": image, "label": int(label), "id": f"{number}"}
        for number, (image, label) in enumerate(zip(images, labels[chosen], strict=True))
    ]

    with tfds.core.registered.skip_registration():

        class Cifar10(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("3.0.2")

            def _info(self) -> Any:
                features = {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(32, 32, 3)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
                return {"train": enumerate(examples[::2]), "test": enumerate(examples[1::2])}

            def _generate_examples(self) -> Any:
                raise NotImplementedError

        Cifar10(data_dir=folder).download_and_prepare()
