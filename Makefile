# Everything sets up its own environment: a fresh machine needs git, make, Python and PyPI.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
QUICKSTART := runs/quickstart

.PHONY: help quickstart test test-all check format benchmark docs wheel clean

# What does not depend on the backend of Keras is tested once.
ON_JAX := tests/keras_hashing $(patsubst %,--ignore=tests/keras_hashing/%,client device encoder files images retrieval)

help:
	@echo "make quickstart   train, evaluate, export and query on scikit-learn's digits"
	@echo "make test         the test suite, on the TensorFlow and the JAX backend"
	@echo "make test-all     the same with the slow tests"
	@echo "make check        formatter, linter, type checker"
	@echo "make benchmark    the measured comparisons"
	@echo "make docs         the site of the documents, build/docs/index.html; runs the examples"
	@echo "make wheel        dist/keras_hashing-*.whl"
	@echo "make clean        remove the environment and what was built"

$(READY): requirements-dev.txt requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else \
		"keras-hashing needs Python 3.11, 3.12 or 3.13 (make PYTHON=python3.12 ...). Received: " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

quickstart: $(READY)
	rm -rf $(QUICKSTART)
	$(PY) -m training fit --dataset digits --bits 32 --output $(QUICKSTART)/run
	$(PY) -m training evaluate --run $(QUICKSTART)/run
	$(PY) -m training images --run $(QUICKSTART)/run --part query --count 3 --output $(QUICKSTART)/images
	$(PY) -m export saved-model --run $(QUICKSTART)/run --output $(QUICKSTART)/saved_model
	$(PY) -m export query --model $(QUICKSTART)/saved_model --index $(QUICKSTART)/run --k 5 $(QUICKSTART)/images
	@echo
	@echo "Done. What was made:"
	@echo "  $(QUICKSTART)/run            the run: model.keras, metrics.json, history, TensorBoard logs,"
	@echo "                                  and report.html: what its queries find, as pictures"
	@echo "  $(QUICKSTART)/saved_model    for TensorFlow Serving; its card: 1/assets.extra/card.md"
	@echo "What to do next:"
	@echo "  see it in the browser: $(PY) -m export page --model $(QUICKSTART)/saved_model --index $(QUICKSTART)/run"
	@echo "  your own images, one subfolder a class:"
	@echo "    $(PY) -m training fit --dataset folder --data-dir IMAGES --height 64 --width 64 --channels 3 --output runs/mine"
	@echo "    $(PY) -m export saved-model --run runs/mine --output exported/mine"
	@echo "    $(PY) -m export query --model exported/mine --index runs/mine PICTURE.jpg"
	@echo "  every option:         $(PY) -m training fit --help"
	@echo "  the training curves:  $(VENV)/bin/tensorboard --logdir $(QUICKSTART)/run/logs"
	@echo "  HSWD in your own Keras model: see README.md"

test: $(READY)
	KERAS_BACKEND=tensorflow $(PY) -m pytest -m "not slow" -n 2 --dist loadfile
	KERAS_BACKEND=jax $(PY) -m pytest -m "not slow" -n 2 $(ON_JAX)

test-all: $(READY)
	KERAS_BACKEND=tensorflow $(PY) -m pytest -n 2 --dist loadfile
	KERAS_BACKEND=jax $(PY) -m pytest -n 2 $(ON_JAX)

check: $(READY)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: $(READY)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

benchmark: $(READY)
	$(PY) -m benchmarks.training.quantization_losses
	KERAS_BACKEND=jax $(PY) -m benchmarks.training.quantization_losses
	$(PY) -m benchmarks.search.mean_average_precision
	$(PY) -m benchmarks.search.hamming_search
	$(PY) -m benchmarks.training.code_memory
	$(PY) -m benchmarks.serving.search_page
	KERAS_BACKEND=jax $(PY) -m benchmarks.training.code_memory

docs: $(READY)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(PY) -m sphinx --fail-on-warning --keep-going -d build/doctrees docs build/docs

wheel: $(READY)
	rm -rf build dist
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info runs/quickstart
