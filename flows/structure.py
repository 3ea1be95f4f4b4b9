"""Untyped tables into frozen types, collecting every fault instead of stopping at the first."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

from flows import durations

T = TypeVar("T", bound=msgspec.Struct)

_PATH: Final = re.compile(r"^(?P<text>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_LONGEST_SHOWN: Final = 80


def shown(value: object) -> str:
    """A value of the user's as it may stand in a message: escaped, quoted, short.

    >>> shown("a\\x1b[31m"), shown(5), shown(True), shown({"a": 1})
    ('"a\\\\u001b[31m"', '5', 'true', 'a table')
    """
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    cut = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
    escaped = "".join(c if c.isprintable() and c not in '"\\' else c.encode("unicode_escape").decode() for c in cut)
    return '"' + re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", escaped).replace('"', '\\"') + '"'


def meant(word: str, known: Iterable[str]) -> str:
    """`, did you mean ...?` where a known word is close, else the whole list.

    >>> meant("latness", ["lateness", "max_skew"])
    ', did you mean "lateness"?'
    >>> meant("x", ["lateness", "max_skew"])
    ' (known: lateness, max_skew)'
    """
    words = list(known)
    close = difflib.get_close_matches(word[:_LONGEST_SHOWN], words, n=1)
    return f', did you mean "{close[0]}"?' if close else f" (known: {', '.join(words)})"


def structure(cls: type[T], table: object, path: str, faults: list[str]) -> T:
    """An instance of `cls` from a table of untyped values, and in `faults` a line for each value that does not fit.

    What is wrong keeps its default, so that the caller can go on and find more. A `str` whose default is a duration
    must be one. Nested tables are not followed: the caller knows the blocks. `path` is the table's own, as `$.time`.
    """
    if not isinstance(table, Mapping):
        faults.append(f"Expected a table, got {shown(table)} - at {path}")
        return cls()
    fields = {field.encode_name: field for field in msgspec.structs.fields(cls)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            if key != cls.__struct_config__.tag_field:
                faults.append(f"Unknown key {shown(key)}{meant(key, fields)} - at {path}")
            continue
        field = fields[key]
        at = f"{path}.{key}"
        fault = _fault(value, field.type, field.default, at)
        if fault is None:
            values[field.name] = msgspec.convert(value, field.type)
        else:
            faults.append(fault)
    return cls(**values)


def tagged(
    union: UnionType | type[msgspec.Struct], rows: object, path: str, faults: list[str]
) -> tuple[tuple[int, Any], ...]:
    """Every row of a list of tables as the member of the union that its `type` names, each with its index.

    A row without a known type is a fault and is left out; the others follow.
    """
    members = {str(member.__struct_config__.tag): member for member in get_args(union) or (union,)}
    if not isinstance(rows, list):
        faults.append(f"Expected a list of tables, written [[{path[2:]}]], got {shown(rows)} - at {path}")
        return ()
    made = []
    for at, row in enumerate(rows):
        place = f"{path}[{at}]"
        if not isinstance(row, Mapping):
            faults.append(f"Expected a table, got {shown(row)} - at {place}")
        elif "type" not in row:
            faults.append(f"Missing key type (known: {', '.join(members)}) - at {place}")
        elif not isinstance(row["type"], str) or row["type"] not in members:
            name = row["type"]
            faults.append(f"Unknown type {shown(name)}{meant(str(name), members)} - at {place}.type")
        else:
            made.append((at, structure(members[row["type"]], row, place, faults)))
    return tuple(made)


def is_duration_field(field: msgspec.structs.FieldInfo) -> bool:
    """Whether a field holds a duration: a `str` whose default is one."""
    return durations.is_duration(field.default)


def _fault(value: Any, kind: Any, default: object, path: str) -> str | None:
    if durations.is_duration(default):
        return _duration_fault(value, path)
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(plain) is Literal:
        choices = [str(choice) for choice in get_args(plain)]
        if isinstance(value, str) and value in choices:
            return None
        return f"Expected one of {', '.join(choices)}, got {shown(value)}{_close(value, choices)} - at {path}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"Expected a finite number, got {value} - at {path}"
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = _PATH.match(str(error))
        text, below = (found["text"], found["path"] or "") if found else (str(error), "")
        return f"{text.replace('`', '')} - at {path}{below}"
    return None


def _close(value: object, choices: list[str]) -> str:
    close = difflib.get_close_matches(str(value)[:_LONGEST_SHOWN], choices, n=1)
    return f', did you mean "{close[0]}"?' if close else ""


def _duration_fault(value: object, path: str) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        fits = 0 <= value <= durations.LONGEST // 1_000_000
        fix = durations.spell(round(value * 1_000_000)) if fits else "5s"
        return f'Expected a duration, got the bare number {shown(value)}: write it as "{fix}" - at {path}'
    try:
        durations.microseconds(value if isinstance(value, str) else "")
    except ValueError as error:
        return f"{error}, got {shown(value)} - at {path}"
    return None
