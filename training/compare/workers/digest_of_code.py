"""Which code trained a run."""

import ast
import hashlib
from pathlib import Path

from training.compare.recipe import Mode

_ROOT = Path(__file__).resolve().parents[3]
_SHARED = (
    "keras_hashing/backend",
    "keras_hashing/callbacks",
    "keras_hashing/layers",
    "keras_hashing/losses",
    "keras_hashing/methods",
    "keras_hashing/models",
    "keras_hashing/retrieval",
    "training/data/epoch_order.py",
    "training/trainer/feature_network.py",
    "training/compare/grid_run.py",
    "training/compare/workers/frozen_data.py",
    "training/compare/workers/measure_codes.py",
)
_PARTS: dict[Mode, tuple[str, ...]] = {
    "frozen": (
        *_SHARED,
        "training/compare/workers/host_sorted_swd.py",
        "training/compare/workers/frozen_trainer.py",
    ),
    "fine-tuned": (
        *_SHARED,
        "keras_hashing/optimizers",
        "keras_hashing/images/preprocessing.py",
        "training/data/augmentation.py",
        "training/data/pipeline.py",
        "training/backbones",
        "training/trainer",
        "training/callbacks/seed_each_epoch.py",
        "training/compare/recipe.py",
        "training/compare/workers/fine_tuner.py",
        "training/compare/workers/image_data.py",
    ),
}


def digest_of_code(mode: Mode = "frozen") -> str:
    """SHA-256 over what decides a run's figures, cut to 16 hexadecimal digits.

    Comments, docstrings and layout do not count. A line of results keeps it, so that a report can
    say when its runs are not all of the same code.
    """
    digest = hashlib.sha256()
    for part in _PARTS[mode]:
        path = _ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(_ROOT)}\n{meaning_of(file.read_text())}".encode())
    return digest.hexdigest()[:16]


def meaning_of(source: str) -> str:
    """The syntax tree of a module as text, without docstrings."""
    tree = ast.parse(source)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)
