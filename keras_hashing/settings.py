"""What all settings have in common. Loads neither Keras nor TensorFlow."""

import difflib
from collections.abc import Mapping
from copy import copy
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from keras_hashing.broken_rules import broken_rules


class Settings(BaseModel):
    """Settings that do not change, and refuse unknown names.

    The title of a subclass is the panel of its options in `--help`, and the string below a field is
    the help of its option (`Field(description=…)` where it has to be put together).

    Raises:
        pydantic.ValidationError: (a `ValueError`) when a value breaks its rule or is unknown.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """The settings, if each value keeps its rule.

        Raises:
            ValueError: with a line for each value that does not.
        """
        unknown = [_unknown(name, cls) for name in values if name not in cls.model_fields]
        if unknown:
            raise ValueError("\n".join(unknown))
        try:
            return cls(**values)
        except ValidationError as error:
            raise ValueError(broken_rules(error)) from None

    @classmethod
    def among(cls, values: Mapping[str, Any]) -> Self:
        """The settings among the values of a command; otherwise as `check`."""
        return cls.check({name: values[name] for name in cls.model_fields})


def _unknown(name: str, settings: type[BaseModel]) -> str:
    close = difflib.get_close_matches(name, settings.model_fields, n=1)
    meant = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(settings.model_fields)}"
    return f"Unknown setting `{name}`; {meant}"


def field_of(settings: type[BaseModel], name: str, **changes: Any) -> Any:
    """A field of other settings, with its rule, default and description.

    Args:
        **changes: What is different here: `default` or `description`.
    """
    field = copy(settings.model_fields[name])
    field.metadata = list(field.metadata)
    for attribute, value in changes.items():
        setattr(field, attribute, value)
    return field
