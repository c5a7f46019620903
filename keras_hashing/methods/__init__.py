"""Methods: similarity objectives as layers, with the state they need."""

import inspect
from typing import Any

import keras

from keras_hashing import names
from keras_hashing.layers.code_memory import CodeMemory
from keras_hashing.methods.cibhash import CIBHash
from keras_hashing.methods.closed_form_method import ClosedFormMethod
from keras_hashing.methods.crovca import CroVCA
from keras_hashing.methods.csq import CSQ
from keras_hashing.methods.dch import DCH
from keras_hashing.methods.dcwae import DCWAE
from keras_hashing.methods.dhn import DHN
from keras_hashing.methods.dpsh import DPSH
from keras_hashing.methods.dsdh import DSDH
from keras_hashing.methods.greedy_hash import GreedyHash
from keras_hashing.methods.hash_centres import hash_centres
from keras_hashing.methods.hashing_method import HashingMethod
from keras_hashing.methods.hashnet import HashNet
from keras_hashing.methods.itq import ITQ
from keras_hashing.methods.lsh import LSH
from keras_hashing.methods.ntxent import NTXent
from keras_hashing.methods.ortho_hash import OrthoHash
from keras_hashing.methods.pairwise_method import PairwiseMethod
from keras_hashing.methods.pca import PCA
from keras_hashing.methods.two_view_method import TwoViewMethod

METHODS: dict[str, type[HashingMethod]] = {
    name: globals()[class_name]
    for name, class_name in {**names.METHODS, **names.LABEL_FREE_METHODS}.items()
}


def available(labels: bool = True) -> list[str]:
    """Names of the methods that learn from labels, in alphabetical order.

    Args:
        labels: `False` for those that need no labels: they learn from two views of an image
            (`TwoViewMethod`), reconstruct their input (`DCWAE`), or compute the head from features
            (`ClosedFormMethod`).
    """
    return sorted(names.METHODS if labels else names.LABEL_FREE_METHODS)


def get(identifier: Any, **options: Any) -> HashingMethod:
    """A method by name, configuration or as it is.

    Args:
        identifier: a name of `METHODS`, which may be followed by options, as in `"dsdh:eta=3"`;
            the dictionary that `keras.saving.serialize_keras_object` makes; or a `HashingMethod`.
        **options: arguments of the method's constructor, for a name (`bits`, `num_classes`,
            `memory_size`, …).

    Raises:
        ValueError: for anything else, and for an option that the method does not have.
    """
    if isinstance(identifier, HashingMethod):
        return identifier
    if isinstance(identifier, dict):
        return get(keras.saving.deserialize_keras_object(identifier))
    if isinstance(identifier, str):
        name, own_options = names.name_and_options(identifier)
        if name in METHODS:
            _check_options(identifier, own_options, METHODS[name])
            return METHODS[name](**{**options, **own_options})
    raise ValueError(
        f"`method` must be one of {sorted(METHODS)} or a `keras_hashing.methods.HashingMethod`. "
        f"Received: method={identifier!r}"
    )


def _check_options(identifier: str, options: dict[str, Any], kind: type[HashingMethod]) -> None:
    arguments = inspect.signature(kind.__init__).parameters.values()
    others = {"self", "bits", "num_classes"}  # the first, and those of the data
    if not issubclass(kind, PairwiseMethod):
        others.add("memory_size")
    known = [p.name for p in arguments if p.kind is not p.VAR_KEYWORD and p.name not in others]
    for option in options:
        if option not in known:
            raise ValueError(
                f"{kind.__name__} has no option `{option}`; "
                f"it has {names.quoted(known, 'and') if known else 'none'}. "
                f"Received: method={identifier!r}"
            )


__all__ = [
    "CSQ",
    "DCH",
    "DCWAE",
    "DHN",
    "DPSH",
    "DSDH",
    "ITQ",
    "LSH",
    "METHODS",
    "PCA",
    "CIBHash",
    "ClosedFormMethod",
    "CodeMemory",
    "CroVCA",
    "GreedyHash",
    "HashNet",
    "HashingMethod",
    "NTXent",
    "OrthoHash",
    "PairwiseMethod",
    "TwoViewMethod",
    "available",
    "get",
    "hash_centres",
]
