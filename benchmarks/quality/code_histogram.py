"""Figure: histogram of continuous codes of finished runs, side by side.

Encodes the query images of each run and draws the histogram of all values of their raw
continuous codes, all on one scale.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from training.data.pipeline import evaluation_batches
from training.runs.run_folder import Run, load_run


def query_codes(run: Run) -> np.ndarray:
    """Continuous codes of the run's query images, float32 [Q, bits]."""
    data = run.data()
    batches = evaluation_batches(data.dataset, data.split.query, run.preprocessing, 256)
    return run.model.encoder.predict(batches.map(lambda images, _: images), verbose=0)


def draw(axis: plt.Axes, run: Run, codes: np.ndarray, limit: float) -> None:
    settings, metrics = run.config, run.metrics
    axis.hist(codes.ravel(), bins=161, range=(-limit, limit), color="#2f6f9f", density=True)
    for target in (-1, 1):
        axis.axvline(target, color="#c0392b", linewidth=1, linestyle="--")
    weight = "" if settings.quantization == "none" else f" × {settings.quantization_weight:g}"
    axis.set_title(
        f"{settings.method}, quantization {settings.quantization}{weight}\n"
        f"mAP {metrics['map']:.3f}, quantization error {metrics['quantization_error']:.3f}",
        fontsize=10,
    )
    axis.set_xlabel("value of the raw continuous code")
    axis.set_xlim(-limit, limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, action="append", required=True, help="a finished run")
    parser.add_argument("--output", type=Path, required=True, help="the PNG file to write")
    arguments = parser.parse_args()
    runs = [load_run(path) for path in arguments.run]
    codes = [query_codes(run) for run in runs]
    limit = max(1.5, *(float(np.percentile(np.abs(values), 99.9)) for values in codes))
    figure, axes = plt.subplots(
        1, len(runs), figsize=(4.5 * len(runs), 3.2), sharey=True, squeeze=False
    )
    for axis, run, values in zip(axes[0], runs, codes, strict=True):
        draw(axis, run, values, limit)
    axes[0][0].set_ylabel("density")
    figure.tight_layout()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.output, dpi=110)
    print(arguments.output)


if __name__ == "__main__":
    main()
