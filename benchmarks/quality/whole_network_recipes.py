"""Networks and sizes for training the whole network, compared on images that are no queries.

    python -m benchmarks.quality.whole_network_recipes --data-dir DATA --work WORK --output FILE

The recipe of docs/cifar10.md on the 5,000 training images of CIFAR-10 by the protocol `cifar10`,
seed 0, with other networks and sizes of the training images. What is measured are 3,000 images of
the database that the protocol takes as queries with none of the seeds 0 to 2: they search in each
other, each at the size it was trained at and at larger ones. An image finds itself first, which
flatters all alike. Each trained network is some lines of the file; those that are there are not
made again, and an interrupted training resumes in the folder for work. `--table` prints what is
there. Needs the weights of the networks (docs/cifar10.md).
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.on_frozen_features import read_lines
from keras_hashing.retrieval import evaluate_retrieval, pack_codes
from training.callbacks.history_log import read_history
from training.compare.workers.digest_of_code import digest_of_code
from training.data.pipeline import evaluation_batches
from training.data.protocols import make_split
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.feature_network import with_layers
from training.trainer.fit import begin_or_resume
from training.trainer.model import model_of_images, new_backbone
from training.trainer.trainer import Trainer

RECIPE = {
    "dataset": "cifar10",
    "protocol": "cifar10",
    "backbone_rate": 0.1,
    "learning_rate": 3e-3,
    "method": "orthohash",
    "quantization_weight": 0.1,
    "quantize": "relaxed",
    "flip": True,
    "crop": 0.5,
    "colour": 0.2,
    "erase": 0.3,
    "average_weights": 0.99,
    "batch_size": 125,
    "epochs": 6,
    "evaluate_every": 0,
}
LARGER = (1.0, 1.125, 1.25)  # sizes to search at, of that of the training images
_SEEDS = range(3)
_MEASURED = 3000


def measured_images(data: RunData) -> np.ndarray:
    """Positions of images that are neither trained on nor queries with any of the seeds."""
    queries = [make_split(data.dataset, RECIPE["protocol"], seed).query for seed in _SEEDS]
    others = np.setdiff1d(data.split.database, np.concatenate(queries))
    return np.sort(np.random.default_rng(0).permutation(others)[:_MEASURED])


def measured(trainer: Trainer, images: np.ndarray) -> Iterator[dict[str, Any]]:
    """mAP of images among themselves, at each of the sizes."""
    dataset, trained_at = trainer.prepared.data.images
    settings, labels = trainer.settings, dataset.labels[images]
    for larger in LARGER:
        size = round(trained_at.height * larger)
        preprocessing = replace(trained_at, height=size, width=size)
        backbone = new_backbone(settings, preprocessing.shape, settings.dropout)
        trained = trainer.model.backbone  # the same, and the layers before the head
        backbone.set_weights(trained.get_weights()[: len(backbone.weights)])
        backbone = with_layers(backbone, trained.layers[len(backbone.layers) :])
        encoder = model_of_images(settings, backbone, trainer.model).encoder
        batches = evaluation_batches(dataset, images, preprocessing, 128)
        codes = pack_codes(encoder.predict(batches.map(lambda pixels, _: pixels), verbose=0))
        found = evaluate_retrieval(codes, labels, codes, labels).values
        yield {"searched_at": size, "map": round(found["map"], 4)}


def table(lines: list[dict[str, Any]]) -> str:
    """A row for each network and size of the training images."""
    rows = ["| network | trained at | minutes | mAP, searched at |", "|---|---|---|---|"]
    trained = dict.fromkeys((line["backbone"], line["trained_at"]) for line in lines)
    for cell in sorted(trained):
        of_cell = [line for line in lines if (line["backbone"], line["trained_at"]) == cell]
        found = ", ".join(f"{line['map']:.3f} at {line['searched_at']} px" for line in of_cell)
        rows.append(f"| {cell[0]} | {cell[1]} px | {of_cell[0]['seconds'] / 60:.0f} | {found} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    networks = ["efficientnet-lite0", "efficientnet-lite2"]
    parser.add_argument("--data-dir", help="TFDS' folder with cifar10")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--output", type=Path, required=True, help="file of results")
    parser.add_argument("--backbones", nargs="+", default=networks)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 160], help="of training")
    parser.add_argument("--table", action="store_true", help="print what is there, and stop")
    options = parser.parse_args()
    if not options.table and (options.data_dir is None or options.work is None):
        parser.error("--data-dir and --work must be given unless --table is")
    for backbone, size in () if options.table else product(options.backbones, options.sizes):
        cell = {"backbone": backbone, "trained_at": size}
        if any(cell.items() <= line.items() for line in read_lines(options.output)):
            continue
        settings = FitSettings.check(
            {**RECIPE, "backbone": backbone, "height": size, "width": size}
            | {"data_dir": options.data_dir}
        )
        data = RunData.load(settings)
        folder = RunFolder(options.work / f"{backbone}-{size}")
        trainer = begin_or_resume(settings, data, folder, code=digest_of_code("fine-tuned"))
        trainer.run(folder, verbose=2)
        seconds = round(sum(line["seconds"] for line in read_history(folder.history)))
        lines = [
            json.dumps({**cell, "seconds": seconds, **found})
            for found in measured(trainer, measured_images(data))
        ]
        with options.output.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))
    print(table(read_lines(options.output)))


if __name__ == "__main__":
    main()
