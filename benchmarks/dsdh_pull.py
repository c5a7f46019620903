"""Which η of DSDH, the weight of its pull towards binary codes, works, on validation data.

Each η trains the head on frozen features with the recipe of a comparison (`python -m training
compare`), without quantization, as its tuning does: on the training images without a fifth, which
is held out as queries and database, so that no query of the test is looked at. With η = 0 DSDH is
DPSH. It takes about ten seconds a run.

    python -m benchmarks.dsdh_pull --comparison runs/compare
"""

import argparse
import os
from functools import partial
from pathlib import Path
from unittest import mock

# As the comparison trains.
os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

from keras_hashing.methods import DSDH
from training.compare.frozen_data import FrozenData
from training.compare.run import Run
from training.compare.trainer import Trainer

BITS = 32


def figures_of(data: FrozenData, eta: float) -> dict[str, list[float]]:
    """Each figure of the codes, one value a seed."""
    runs = [Run("dsdh", "none", BITS, 0.0, "", seed, "tuning") for seed in sorted(data.splits)]
    with mock.patch.dict("keras_hashing.methods.METHODS", {"dsdh": partial(DSDH, eta=eta)}):
        trainer = Trainer(runs[0], data)
        lines = [trainer.train(run)[0] for run in runs]
    names = ("map", "quantization_error", "bit_balance", "bit_correlation")
    return {name: [float(line[name]) for line in lines] for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--comparison", type=Path, required=True, help="folder of `compare` on frozen features"
    )
    parser.add_argument(
        "--eta", type=float, nargs="+", default=[0, 0.3, 1, 3, 10, 30], help="values to try"
    )
    arguments = parser.parse_args()
    data = arguments.comparison / "work" / "data.json"
    if not data.exists():
        parser.error(f"--comparison must hold data of frozen features. Not found: {data}")
    features = FrozenData.read(data.parent)
    print("| η | mAP | by seed | quantization error | balance | correlation |")
    print("|---" * 6 + "|")
    for eta in arguments.eta:
        found = figures_of(features, eta)
        maps, *others = found.values()
        means = " | ".join(f"{np.mean(values):.3f}" for values in others)
        by_seed = ", ".join(f"{value:.3f}" for value in maps)
        print(f"| {eta:g} | {np.mean(maps):.4f} | {by_seed} | {means} |", flush=True)


if __name__ == "__main__":
    main()
