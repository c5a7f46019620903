"""Time of a training step on a CPU with XLA and without, as ratios in one run.

    python -m benchmarks.training.compiled_step

`fit` trains without XLA on a CPU. The networks have random weights; steps of the two take turns.
"""

import time

import keras
import numpy as np

from keras_hashing.models import HashingModel
from training.backbones import make_backbone
from training.backbones.cut import cut_network
from training.trainer.feature_network import feature_network

BATCH, ROUNDS = 64, 5


def networks() -> dict[str, keras.Model]:
    """What `fit` trains: whole, from a stage on, from scratch, and on frozen features."""
    lite = make_backbone("efficientnet-lite0", (96, 96, 3), 0.2, "none")
    return {
        "efficientnet-lite0, 96 px": lite,
        "the same with --train-from block15": cut_network(lite, "block15")[1],
        "small-cnn, 32 px": make_backbone("small-cnn", (32, 32, 3), 0.2),
        "--frozen --hidden 512": feature_network(np.random.rand(BATCH, 1280), 0.2, 512),
    }


def seconds(backbone: keras.Model) -> dict[bool, np.ndarray]:
    """The fastest of some steps with XLA and without, and the least CPU time.

    The first step, which compiles, is left out.
    """
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH, *backbone.input_shape[1:])).astype("uint8")
    labels = np.eye(10, dtype="float32")[random.integers(0, 10, BATCH)]
    fastest, models = {xla: np.full(2, np.inf) for xla in (True, False)}, {}
    for xla in fastest:
        models[xla] = HashingModel(keras.models.clone_model(backbone), bits=32)
        models[xla].compile("adamw", jit_compile=xla)
        models[xla].train_on_batch(images, labels)
    for _ in range(ROUNDS):
        for xla, model in models.items():
            started = np.array([time.perf_counter(), time.process_time()])
            model.train_on_batch(images, labels)
            passed = np.array([time.perf_counter(), time.process_time()]) - started
            fastest[xla] = np.minimum(fastest[xla], passed)
    return fastest


def main() -> None:
    print("| training step without XLA, XLA = 1 | time | CPU time |\n|---|---|---|")
    for name, backbone in networks().items():
        found = seconds(backbone)
        time_, cpu = found[False] / found[True]
        print(f"| {name} | {time_:.2f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
