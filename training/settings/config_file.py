"""Settings from a file."""

import json
from pathlib import Path
from typing import Any

import yaml


def read_config(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML or JSON file: names of `FitSettings`, or the config.json of a run.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is neither, or holds no names with values.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8-sig")
    try:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if isinstance(content, dict) and isinstance(content.get("settings"), dict):
        content = content["settings"]  # the config.json of a run
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError(
            f"{path} must hold names of settings with their values, such as `epochs: 20`. "
            f"Received: {content!r}"
        )
    return content
