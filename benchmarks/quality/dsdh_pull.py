"""Which η of DSDH, the weight of its pull towards binary codes, works, on validation data.

Each η trains the head on frozen features with the recipe of a comparison (`python -m training
compare`), without quantization, as its tuning does: on the training images without a fifth, which
is held out as queries and database, so that no query of the test is looked at. With η = 0 DSDH is
DPSH. It takes about ten seconds per run.

    python -m benchmarks.quality.dsdh_pull --comparison runs/compare --output runs/dsdh_pull
"""

from benchmarks.quality.on_frozen_features import BITS, Benchmark, values
from training.compare.grid_run import GridRun

CODES = ("quantization_error", "bit_balance", "bit_correlation")


def main() -> None:
    benchmark = Benchmark(__doc__, eta=[0, 0.3, 1, 3, 10, 30])
    runs = {
        f"dsdh:eta={eta:g}": [
            GridRun(f"dsdh:eta={eta:g}", "none", BITS, 0.0, "", seed, "tuning")
            for seed in benchmark.seeds
        ]
        for eta in benchmark.options.eta
    }
    results = benchmark.finish([run for group in runs.values() for run in group])
    print("| method | mAP | by seed | quantization error | balance | correlation |")
    print("|---" * 6 + "|")
    for method in runs:
        maps = values(results, "map", method=method)
        codes = [f"{values(results, name, method=method).mean():.3f}" for name in CODES]
        by_seed = ", ".join(f"{value:.3f}" for value in maps)
        print(f"| {method} | {maps.mean():.4f} | {by_seed} | {' | '.join(codes)} |")


if __name__ == "__main__":
    main()
