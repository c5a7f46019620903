"""Options of a command that are the fields of a pydantic model."""

import inspect
from collections.abc import Callable, Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from keras_hashing.command_line.errors import is_given

Command = Callable[..., Any]

_LONGEST_CHOICES = 20


def options_of(
    model: type[BaseModel], only: Iterable[str] | None = None, panel: str | None = None
) -> list[inspect.Parameter]:
    """An option for each field of a model, with its name, type, default and description.

    A field that is true or false has a flag, and a hidden one, `--no-…`, for what a file or another
    setting says. Rules are not checked here: the model says what is wrong, in the same words for a
    file.

    Args:
        model: The model.
        only: The fields, in their order in `--help`; all of them by default.
        panel: Title of their panel in `--help`; the model's own title by default.
    """
    title = model.model_config.get("title") if panel is None else panel
    options = []
    for name in model.model_fields if only is None else only:
        field, flag = model.model_fields[name], f"--{name.replace('_', '-')}"
        text = " ".join((field.description or "").split())
        about: dict[str, Any] = {"help": text, "rich_help_panel": title}
        kind, _ = _without_none(field.annotation)
        if kind is bool:
            options.append(_option(name, bool, False, flag, **about))
            options.append(_option(f"no_{name}", bool, False, f"--no-{flag[2:]}", hidden=True))
            continue
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        if len("|".join(map(str, choices))) > _LONGEST_CHOICES:
            about |= {
                "metavar": "<choice>",
                "help": f"{', '.join(choices)}: {text}",
            }
        options.append(_option(name, _type_of(field), _default_of(field), flag, **about))
    return options


def _option(name: str, kind: Any, default: Any, flag: str, **about: Any) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(flag, **about)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)


def with_options(*options: inspect.Parameter) -> Callable[[Command], Command]:
    """Adds options to a command, which takes their values as `**values`."""

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        return command

    return decorate


def given(context: typer.Context, model: type[BaseModel]) -> dict[str, Any]:
    """The values of a model's fields that stand on the command line."""
    values = {name: context.params[name] for name in model.model_fields if is_given(context, name)}
    off = {name: False for name in model.model_fields if is_given(context, f"no_{name}")}
    return values | off


def _default_of(field: FieldInfo) -> Any:
    """As it is given on the command line, where a list is a text with commas."""
    if not isinstance(field.default, tuple):
        return field.default
    return ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in field.default)


def _type_of(field: FieldInfo) -> Any:
    """What typer can read: rules, lists, and numbers in a `Literal` are for the model to check."""
    kind, optional = _without_none(field.annotation)
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal and not all(isinstance(one, str) for one in get_args(kind)):
        kind = type(get_args(kind)[0])
    if get_origin(kind) is tuple:
        kind = str
    return kind | None if optional else kind


def _without_none(kind: Any) -> tuple[Any, bool]:
    """A type without `None`, and whether `None` was in it."""
    if get_origin(kind) not in (Union, UnionType):
        return kind, False
    return next(part for part in get_args(kind) if part is not NoneType), True
