"""Recipes: settings that go together under one name."""

from typing import Any, Literal

from pydantic import ConfigDict

from keras_hashing.settings import Settings

PublishedRecipe = Literal["hswd-2022", "hswd-h2q"]
RecipeName = Literal["shop", "unlabelled", "vectors", PublishedRecipe]

_HEAD_AND_INDEX = {
    "frozen": True,
    "bits": 64,
    "protocol": "held-out-share",
    "index_all": True,
}
_PHOTOGRAPHS = {"backbone": "efficientnet-lite0", **_HEAD_AND_INDEX}
# What the authors of HSWD trained with: docs/fine-tuning.md, line by line.
_PUBLISHED = {
    "backbone": "ResNet50",
    "height": 224,
    "width": 224,
    "dropout": 0.0,
    "hidden": 0,
    "standardise": False,
    "method": "hashnet:alpha=0.1",
    "remember_all": True,
    "continuation_epochs": 20,
    "quantization": "hswd",
    "quantization_weight": 0.1,
    "quantize": "raw",
    "batch_size": 64,
    "optimizer": "adam",
    "weight_decay": 1e-5,
}
RECIPES: dict[str, dict[str, Any]] = {
    "shop": {"method": "orthohash", "instance_method": "ntxent", **_PHOTOGRAPHS},
    "unlabelled": {"method": "ntxent", **_PHOTOGRAPHS},
    "vectors": {"method": "ntxent", "backbone": "none", **_HEAD_AND_INDEX},
    "hswd-2022": {**_PUBLISHED, "learning_rate": 1e-5, "epochs": 200},
    "hswd-h2q": {**_PUBLISHED, "learning_rate": 1e-4, "backbone_rate": 0.1, "epochs": 100},
}


_FINE_TUNING: dict[str, Any] = {"crop": 0.5, "colour": 0.4, "flip": True, "backbone_rate": 0.1}


class RecipeSettings(Settings):
    """The recipe that gives the defaults of the other settings."""

    model_config = ConfigDict(title="Recipe")

    recipe: RecipeName | None = None
    """Defaults of the other options. 'shop' is for photographs with labels: the head of a
    pretrained network learns codes that keep images of a class apart, and the index holds all
    images. 'unlabelled' is the same without labels, 'vectors' without a network. With --no-frozen
    the first two train the network, too, on images that are cropped, coloured and mirrored at
    random. 'hswd-2022' trains as the authors of HSWD did, and 'hswd-h2q' as their figures were made
    again later. (default: 'unlabelled' for a folder without subfolders, 'vectors' for those)"""


def with_recipe(values: dict[str, Any]) -> dict[str, Any]:
    """The values, and those of the recipe that they name where there is no other."""
    recipe = values.get("recipe")
    if recipe not in RECIPES:
        return values
    trains_all = (
        RECIPES[recipe].get("frozen", False)
        and values.get("frozen") is False
        and values.get("train_from") is None
    )
    fine_tuning = _FINE_TUNING if trains_all else {}
    return {**RECIPES[recipe], **fine_tuning, **values}
