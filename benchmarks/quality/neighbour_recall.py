"""How many neighbours codes of vectors keep: methods without labels, by the length of the code.

    python -m benchmarks.quality.neighbour_recall --vectors FEATURES.npy --output results.jsonl

1,000 vectors are queries, the others are trained on and searched. A figure is the share of the 10
nearest vectors by the cosine that are among the 10, 100 and 1,000 nearest codes, and after the 100
nearest codes are reordered by the continuous code of the query, among the first 10. "one bit a
dimension" is the sign of each value, as sentence-transformers' binary quantization has it: of the
first values for a shorter code; "centred" takes the mean off first. Each run is a line of the file;
those that are there are not made again.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.on_frozen_features import trained_head
from keras_hashing.names import CLOSED_FORM_METHODS
from keras_hashing.retrieval import pack_codes
from keras_hashing.retrieval.neighbour_recall import recall_within
from keras_hashing.retrieval.reranked_recall import recall_after_reranking
from keras_hashing.retrieval.true_neighbours import true_neighbours
from training.data.sources.vectors import load_vectors
from training.settings import FitSettings

QUERIES, WITHIN = 1000, (10, 100, 1000)
SIGNS = ("one bit a dimension", "one bit a dimension, centred")
TRAINED = ("ntxent", "cibhash")
METHODS = (
    *((name, "none") for name in (*CLOSED_FORM_METHODS, *SIGNS)),
    *product(TRAINED, ("hswd", "none")),
)


class Bench:
    """The vectors, and the true neighbours of the queries among them."""

    def __init__(self, path: Path) -> None:
        self.dataset = load_vectors(path)
        order = np.random.default_rng(0).permutation(len(self.dataset))
        self.query, self.train = np.sort(order[:QUERIES]), np.sort(order[QUERIES:])
        self.values = np.array(self.dataset.vectors, np.float32)
        self.true = true_neighbours(self.values[self.query], self.values[self.train])

    def codes(self, method: str, quantization: str, bits: int, seed: int) -> list[np.ndarray]:
        """Continuous codes of the queries and of the others."""
        if method in SIGNS:
            mean = self.values[self.train].mean(axis=0) if "centred" in method else 0
            signed = (self.values - mean)[:, :bits]
            return [signed[self.query], signed[self.train]]
        settings = FitSettings.check(
            {
                "dataset": "vectors",
                "method": method,
                "quantization": quantization,
                "bits": bits,
                "epochs": 5,
                "seed": seed,
            }
        )
        views = {"views": 2} if settings.takes_two_views else {}
        labels = np.zeros((len(self.values), 0), np.uint8)
        encode = trained_head(settings, self.values, labels, self.train, unit_length=True, **views)
        return [encode(self.query), encode(self.train)]

    def figures(self, query: np.ndarray, database: np.ndarray) -> dict[str, float]:
        """Neighbour recall, and that after re-ranking."""
        items = pack_codes(database)
        found = recall_within(self.true, pack_codes(query), items, WITHIN)
        return {
            **{f"neighbour_recall_at_{within}": round(found[within], 4) for within in WITHIN},
            "reranked": round(recall_after_reranking(self.true, query, items), 4),
        }


def table(lines: list[dict[str, Any]]) -> str:
    """Recall within 100 · after re-ranking, by method and length of the code; means over seeds."""
    lengths = sorted({line["bits"] for line in lines})
    methods = dict.fromkeys((line["method"], line["quantization"]) for line in lines)
    rows = ["| | " + " | ".join(map(str, lengths)) + " |", "|---" * (len(lengths) + 1) + "|"]
    for method, quantization in methods:
        cells = []
        for bits in lengths:
            chosen = [
                (line["neighbour_recall_at_100"], line["reranked"])
                for line in lines
                if (line["method"], line["quantization"], line["bits"])
                == (method, quantization, bits)
            ]
            cells.append("{:.3f} · {:.3f}".format(*np.mean(chosen, axis=0)) if chosen else "")
        with_hswd = " with HSWD" * (quantization == "hswd")
        rows.append(f"| {method}{with_hswd} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=Path, required=True, help="a file of vectors")
    parser.add_argument("--output", type=Path, required=True, help="file of results, a line a run")
    parser.add_argument("--bits", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    bench = Bench(arguments.vectors)
    width = bench.values.shape[1]
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    names = ("vectors", "method", "quantization", "bits", "seed")
    done = [{name: json.loads(line)[name] for name in names} for line in lines]
    cells: list[tuple[Any, ...]] = [
        (*method, bits, seed)
        for seed, bits, method in product(arguments.seeds, arguments.bits, METHODS)
        if bits <= width
    ]
    cells += [(name, "none", width, 0) for name in SIGNS]
    for cell in cells:
        about = dict(zip(names, (arguments.vectors.name, *cell), strict=True))
        if about in done:
            continue
        line = json.dumps({**about, **bench.figures(*bench.codes(*cell))})
        with arguments.output.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)
    made = map(json.loads, arguments.output.read_text().splitlines())
    print(table([line for line in made if line["vectors"] == arguments.vectors.name]))


if __name__ == "__main__":
    main()
