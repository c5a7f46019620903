"""The card for a reader: what a SavedModel is, in the form of Hugging Face's model cards."""

import json
import math
from typing import Any

from keras_hashing.encoder.card import Card
from keras_hashing.retrieval.figures import FIGURES

_NEAR_COLLAPSE = 0.2  # different codes for each item of the database

_LOAD = """```python
import tensorflow as tf

model = tf.saved_model.load(version)  # the folder that holds saved_model.pb
{call}
```"""
_CALLS = {
    "images": """\
files = tf.constant([open(path, "rb").read() for path in paths])
codes = model.signatures["encode_bytes"](encoded=files)["code"].numpy()  # uint8 [n, {bytes}]""",
    "vectors": """\
codes = model.signatures["encode_vectors"](vectors=tf.constant(vectors))["code"].numpy()\
  # uint8 [n, {bytes}]""",
}


def model_card(card: Card, name: str) -> str:
    """The model card, Markdown with a head in YAML.

    Args:
        card: what the SavedModel says about itself.
        name: what the model is called.
    """
    of = "images" if card.vector_width is None else "vectors"
    figures = _figures(card.metrics)
    head = {
        "library_name": "keras",
        "pipeline_tag": "image-feature-extraction" if of == "images" else "feature-extraction",
        "tags": ["hashing", "similarity-search", "keras-hashing", "tensorflow"],
        **_model_index(card, name, of),
    }
    parts = [
        "---\n"
        + "".join(
            f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in head.items()
        )
        + "---",
        f"# {name}: {card.bits} bits of {of}",
        f"Turns {of} into binary codes of {card.bits} bits. Similar {of} get codes that differ in "
        "few bits, so that a search is a count of bits.",
        "## How to use it",
        _LOAD.format(call=_CALLS[of].format(bytes=-(-card.bits // 8))),
        f"Bits: {card.bit_order}. Signatures: {', '.join(card.signatures)}. Codes compare with "
        f"codes of the code space `{card.fingerprint}` only. TensorFlow Serving serves the folder "
        "above as it is.",
        "## What it was trained on",
        _training(card, of),
        "## How well it finds",
        _table(figures) if figures else "It was not measured by the program that exported it.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(card, of)),
        f"Written {card.created:%Y-%m-%d} by "
        + ", ".join(f"{library} {version}" for library, version in card.versions.items())
        + ".",
    ]
    return (
        ("\n\n".join(parts) + "\n").encode(errors="replace").decode()
    )  # of names that are no UTF-8


def _figures(metrics: dict[str, Any]) -> dict[str, str]:
    """Each figure that was measured, by its heading."""
    return {
        figure.heading(metrics.get("k"), metrics.get("radius", 0))
        + (f" ({figure.better} is better)" if figure.better else ""): (
            f"{metrics[key]:,.{figure.digits}f}"
        )
        for key, figure in FIGURES.items()
        if metrics.get(key) is not None
    }


def _model_index(card: Card, name: str, of: str) -> dict[str, Any]:
    """What Hugging Face shows as results: mAP, if there is one."""
    found = card.metrics.get("map")
    if found is None or not math.isfinite(found):
        return {}
    data = str(card.metrics.get("dataset", "unknown"))
    result = {
        "task": {"type": f"{of.removesuffix('s')}-retrieval", "name": f"Retrieval of {of}"},
        "dataset": {"type": data, "name": data},
        "metrics": [{"type": "mean_average_precision", "name": "mAP", "value": round(found, 4)}],
    }
    return {"model-index": [{"name": name, "results": [result]}]}


def _training(card: Card, of: str) -> str:
    training, metrics = card.training, card.metrics
    if "dataset" not in training:
        return "The model was handed over as a file; what it was trained on is not known here."
    facts = {
        "Data": training["dataset"],
        f"{of.capitalize()} trained on": metrics.get("trained_on"),
        "Classes": _classes(card.class_names),
        "Method": training.get("method"),
        "Quantization": training.get("quantization"),
        "Network": training.get("backbone"),
        "Epochs": metrics.get("epochs"),
    }
    rows = [f"- {name}: {value}" for name, value in facts.items() if value is not None]
    return "\n".join(rows) + "\n\nEvery setting is in `card.json`."


def _classes(names: list[str]) -> str:
    if not names:
        return "none: no labels were used"
    more = len(names) - 20
    return f"{len(names)} ({', '.join(names[:20])}{f' and {more} more' if more > 0 else ''})"


def _table(figures: dict[str, str]) -> str:
    rows = (f"| {heading} | {value} |" for heading, value in figures.items())
    return "\n".join(["| figure | value |", "|---|---|", *rows])


def _limits(card: Card, of: str) -> list[str]:
    metrics = card.metrics
    limits = []
    protocol, queries, items = (metrics.get(key) for key in ("protocol", "queries", "database"))
    if protocol is not None:
        of_many = f", {queries:,} queries in a database of {items:,}" if queries and items else ""
        limits.append(
            f"The figures are those of the protocol `{protocol}`{of_many}; other data gives others."
        )
    if card.class_names:
        limits.append(
            "What counts as similar is what the labels say. Of classes that it was not trained on "
            "nothing was measured, unless the table says so."
        )
    different = metrics.get("unique_codes")
    if different and items and different < _NEAR_COLLAPSE * items:
        limits.append(
            f"{items:,} items of the database have {different:,} different codes: those that share "
            "one come in no order."
        )
    if of == "images":
        limits.append(f"Preprocessing is in the graph: {card.preprocessing.description}.")
    else:
        limits.append(f"Vectors must have {card.vector_width} values.")
    return limits
