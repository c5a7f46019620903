"""Which η of DSDH, the weight of its pull towards binary codes, works, on validation data.

Each η trains the head on frozen features with the recipe of a comparison (`python -m training
compare`), without quantization, as its tuning does: on the training images without a fifth, which
is held out as queries and database, so that no query of the test is looked at. With η = 0 DSDH is
DPSH. It takes about ten seconds a run.

    python -m benchmarks.dsdh_pull --comparison runs/compare
"""

from functools import partial
from unittest import mock

import numpy as np

from benchmarks import on_frozen_features as frozen
from keras_hashing.methods import DSDH
from training.compare.grid_run import GridRun
from training.compare.workers.frozen_data import FrozenData
from training.compare.workers.frozen_trainer import Trainer


def figures_of(data: FrozenData, eta: float) -> dict[str, list[float]]:
    """Each figure of the codes, one value a seed."""
    runs = [
        GridRun("dsdh", "none", frozen.BITS, 0.0, "", seed, "tuning")
        for seed in sorted(data.splits)
    ]
    with mock.patch.dict("keras_hashing.methods.METHODS", {"dsdh": partial(DSDH, eta=eta)}):
        trainer = Trainer(runs[0], data)
        lines = [trainer.train(run)[0] for run in runs]
    names = ("map", "quantization_error", "bit_balance", "bit_correlation")
    return {name: [float(line[name]) for line in lines] for name in names}


def main() -> None:
    parser = frozen.new_parser(__doc__)
    parser.add_argument(
        "--eta", type=float, nargs="+", default=[0, 0.3, 1, 3, 10, 30], help="values to try"
    )
    arguments = parser.parse_args()
    features = FrozenData.read(frozen.data_folder(parser, arguments))
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
