"""Frozen dataclasses as plain JSON and back, so that a run, a checkpoint and a command line speak of the same fields."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

FieldValue = None | bool | int | float | str | list[Any] | dict[str, Any]


def nearest(name: str, options: Iterable[str]) -> str:
    """A clause for an error message: the nearest option first, then all of them."""
    options = sorted(options)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}there are: {', '.join(options)}"


def to_fields(value: Any) -> FieldValue:
    """A dataclass (or a value inside one) as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _written(type(value), field.name, getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [to_fields(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_fields(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be a field: fields are numbers, strings, paths, tuples and dataclasses")


def _written(kind: type, name: str, value: Any) -> FieldValue:
    """A field as JSON; 1 where the field is a float is 1.0, so that a value has one hash whether it was written or read."""
    return float(value) if type(value) is int and _hints(kind)[name] is float else to_fields(value)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def from_fields(kind: Any, fields: Mapping[str, Any], where: str = "") -> Any:
    """Build the dataclass `kind` from JSON values; a wrong name or type is a ValueError that names the field."""
    hints = _hints(kind)
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    for name in fields:
        if name not in known:
            raise ValueError(f"{kind.__name__} has no field {where + name!r}; {nearest(name, known)}")
    return kind(**{name: _typed(hints[name], value, where + name) for name, value in fields.items()})


def _typed(hint: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _typed(inner[0], value, where)
    if origin in (typing.Union, types.UnionType):
        for option in inner:
            try:
                return _typed(option, value, where)
            except (TypeError, ValueError):
                continue
        raise ValueError(f"{where}: {value!r} is none of {hint}")
    if origin is typing.Literal:
        if value not in inner:
            raise ValueError(f"{where}: {value!r} is not possible; {nearest(str(value), map(str, inner))}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise ValueError(f"{where}: expected {len(kinds)} values, got {len(value)}")
        return tuple(_typed(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_fields(hint, value, where + ".")
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (None, type(None)):
        if value is None:
            return None
    elif isinstance(hint, type) and isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)):
        return value
    raise ValueError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")
