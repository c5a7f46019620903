"""Does a memory help HSWD? mAP on scikit-learn's digits by number of remembered codes.

A head of one hidden layer on the pixels, 32 bits, HashNet's objective and HSWD on the raw code,
batch 64. A seed draws the split (20 queries of each class, all others train and are searched) and
the weights, and has one run a size, so that differences are paired. Each finished run is appended
to `--output`; the same command resumes where it was interrupted.

    python -m benchmarks.hswd_memory --output runs/hswd_memory.jsonl
"""

import argparse
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import stats
from sklearn.datasets import load_digits as load_scikit_learn_digits

from keras_hashing import retrieval
from keras_hashing.models import HashingModel
from training.data.protocols import make_split
from training.data.sources.digits import load_digits

BITS, BATCH, EPOCHS = 32, 64, 20
Line = dict[str, Any]


def train(quantization: str, size: int, weight: float, seed: int) -> Line:
    """One run and its figures."""
    dataset = load_digits()
    split = make_split(dataset, "per-class", seed)
    pixels = load_scikit_learn_digits().data
    inputs = pixels.astype("float32") / 8 - 1
    labels = dataset.labels.astype("float32")

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    backbone = keras.Sequential(
        [
            keras.Input((inputs.shape[1],)),
            keras.layers.Dense(256, "relu"),
            keras.layers.Dropout(0.3),
        ]
    )
    model = HashingModel(
        backbone,
        bits=BITS,
        method="hashnet",
        quantization=quantization,
        quantization_weight=weight,
        quantization_memory=size,
    )
    steps = -(-len(split.train) // BATCH) * EPOCHS
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)))
    model.fit(inputs[split.train], labels[split.train], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    codes = model.encode(inputs)
    figure = retrieval.mean_average_precision(
        codes[split.query], labels[split.query], codes[split.database], labels[split.database]
    )
    line = {"quantization": quantization, "memory": size, "weight": weight, "seed": seed}
    return {
        **line,
        "map": figure,
        "bit_balance": retrieval.bit_balance(codes, BITS),
        "bit_correlation": retrieval.bit_correlation(codes, BITS),
    }


def table(lines: list[Line]) -> str:
    """Mean mAP by size, and the paired gain over no memory with a 95% interval over the seeds."""
    rows = ["| memory | seeds | mAP | over no memory |", "|---|---|---|---|"]
    base = {line["seed"]: line["map"] for line in lines if line["memory"] == 0}
    for size in sorted({line["memory"] for line in lines}):
        values = {line["seed"]: line["map"] for line in lines if line["memory"] == size}
        gains = np.array([values[seed] - base[seed] for seed in values if seed in base])
        gain = ""
        if size and len(gains) > 1:
            half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
            gain = f"{gains.mean():+.4f} ± {half:.4f}"
        rows.append(f"| {size} | {len(values)} | {np.mean(list(values.values())):.4f} | {gain} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="JSON lines of finished runs")
    parser.add_argument("--quantization", default="hswd")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 128, 512])
    parser.add_argument("--weight", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(100, 108)))
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = options.output.read_text() if options.output.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    names = ("quantization", "weight", "memory", "seed")
    done = {tuple(line[name] for name in names) for line in lines}
    with options.output.open("a") as file:
        for seed in options.seeds:
            for size in options.sizes:
                if (options.quantization, options.weight, size, seed) in done:
                    continue
                lines.append(train(options.quantization, size, options.weight, seed))
                print(json.dumps(lines[-1]), file=file, flush=True)
    chosen = (options.quantization, options.weight)
    print(table([line for line in lines if (line["quantization"], line["weight"]) == chosen]))


if __name__ == "__main__":
    main()
