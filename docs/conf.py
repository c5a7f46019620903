"""How Sphinx builds the site: `make docs`. Markdown pages by MyST, API pages from docstrings."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["PYTHONPATH"] = str(ROOT)

from keras_hashing import __version__  # noqa: E402

project = "keras-hashing"
author = "the keras-hashing authors"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "examples/*.ipynb",
    "examples/GALLERY_HEADER.*",
    "**/sg_execution_times*",
]


myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # SQL with DuckDB's `$name`; links stay checked

# Docstrings are Google's; a single backtick stands for code, as in Keras' own.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # they are in the signature of `help`; here they hide the names
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Call arguments", "Other Parameters"),
    "Input shape",
    "Output shape",
]

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["examples"],
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "show_memory": False,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "reset_modules": ("matplotlib",),
}

html_theme = "furo"
html_title = f"keras-hashing {release}"


def _as_rst(app, what, name, obj, options, lines):
    """Docstrings in the manner of Keras as reStructuredText: fences, and bars that are no links."""
    found, fenced = [], False
    for line in lines:
        if line.strip().startswith("```"):
            indent, fenced = line[: len(line) - len(line.lstrip())], not fenced
            found += ["", f"{indent}.. code-block:: python", ""] if fenced else [""]
        elif fenced:
            found.append(f"    {line}")
        else:
            parts = line.split("`")
            parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
            found.append("`".join(parts))
    lines[:] = found


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _as_rst, priority=400)  # before napoleon
