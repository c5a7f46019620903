"""The codes of a database in TensorBoard's projector, as pictures with labels."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from keras_hashing.files.atomic_write import atomic_write, write_text
from keras_hashing.files.thumbnail import thumbnail
from keras_hashing.retrieval import unpack_codes
from training.data import ImageDataset
from training.runs.run_data import RunData
from training.trainer.evaluate import Evaluation

_ITEMS = 2000
_SIDE = 40  # of a picture in the sprite, pixels: the projector takes 8192 in all
_CONFIG = """embeddings {{
  tensor_name: "codes"
  tensor_path: "projector/codes.tsv"
  metadata_path: "projector/items.tsv"
{sprite}}}
"""
_SPRITE = f"""  sprite {{
    image_path: "projector/sprite.png"
    single_image_dim: {_SIDE}
    single_image_dim: {_SIDE}
  }}
"""


def write_projector(logs: Path, evaluation: Evaluation, data: RunData) -> int:
    """Writes what TensorBoard's projector shows of a run.

    Returns:
        The number of items: all of the database, or 2,000 that are spread evenly.

    Raises:
        OSError: when something cannot be written.
    """
    dataset, database = data.dataset, data.split.database
    rows = np.unique(np.linspace(0, len(database) - 1, min(len(database), _ITEMS), dtype=int))
    folder = logs / "projector"
    folder.mkdir(parents=True, exist_ok=True)
    codes = unpack_codes(evaluation.database_codes[rows], evaluation.figures["bits"])
    write_text(folder / "codes.tsv", "".join("\t".join(map(str, row)) + "\n" for row in codes))
    items = [(dataset.ids[at], dataset.names_of(at)) for at in database[rows].tolist()]
    lines = ["id\tlabel", *("\t".join(map(_one_field, item)) for item in items)]
    write_text(folder / "items.tsv", "\n".join(lines) + "\n")
    sprite = ""
    if isinstance(dataset, ImageDataset):
        sprite = _SPRITE
        with atomic_write(folder / "sprite.png") as temporary:
            _sprite(dataset, database[rows].tolist()).save(temporary, "PNG")
    # Last: with it, TensorBoard shows the rest.
    config = _CONFIG.format(sprite=sprite)
    write_text(logs / "projector_config.pbtxt", config)
    return len(rows)


def _one_field(text: str) -> str:
    return " ".join(text.split()).encode(errors="replace").decode()


def _sprite(dataset: ImageDataset, positions: list[int]) -> Image.Image:
    """All pictures in a square, row by row; one that cannot be read stays white."""
    columns = int(np.ceil(np.sqrt(len(positions))))
    sprite = Image.new("RGB", (columns * _SIDE, columns * _SIDE), "white")
    for number, position in enumerate(positions):
        try:
            content, _ = dataset.images.encoded_image(position)
            small = Image.open(io.BytesIO(thumbnail(content, _SIDE).content)).convert("RGB")
        except (OSError, ValueError):
            continue
        fitting = ImageOps.contain(small, (_SIDE, _SIDE), Image.Resampling.NEAREST)
        sprite.paste(fitting, (number % columns * _SIDE, number // columns * _SIDE))
    return sprite
