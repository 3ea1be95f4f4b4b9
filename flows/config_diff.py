"""Another limit of a detection as a change to the text of a configuration."""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from flows.config import Config, load
from flows.errors import Refused
from models.rules import Rule

_HEADER: Final = re.compile(r"\s*\[\[?\s*[A-Za-z0-9_\"'.\- ]+\]\]?\s*(#.*)?$")
_DETECTION: Final = re.compile(r"\s*\[\[\s*detection\s*\]\]\s*(#.*)?$")
_LIMIT: Final = re.compile(r"(\s*at_least\s*=\s*)([0-9_.eE+-]+)(.*)$", re.DOTALL)


def with_limits(text: str, config: Config, limits: Mapping[str, float]) -> str:
    """The text of a configuration with other values of `at_least`, by detection id; all else stays as it is written.

    Where the text has no `[[detection]]`, all those that are in force are written below it: a list replaces the
    defaults. `config` is what the text means.

    Raises
    ------
    Refused
        The text is written in a way in which the detection's place cannot be found, so somebody has to.
    """
    tables = tomllib.loads(text.replace("\r\n", "\n"))
    if "detection" in tables:
        lines = text.splitlines(keepends=True)
        places = [at for at, line in enumerate(lines) if _DETECTION.match(line)]
        ids = [rule.id for rule in config.detection]
        if len(places) != len(ids):
            raise Refused("[[detection]] is not written as tables of lines of their own: put the limit in by hand")
        for at in sorted(((places[ids.index(name)], limit) for name, limit in limits.items()), reverse=True):
            _put(lines, *at)
        changed = "".join(lines)
    else:
        below = "\n".join(_block(rule, limits.get(rule.id)) for rule in config.detection)
        head = text if not text or text.endswith("\n") else f"{text}\n"
        note = "# Every detection that was on by default: a list replaces the default one.\n"
        changed = f"{head}{chr(10) if head else ''}{note}{below}"
    _check(changed, config, limits)
    return changed


def diff(before: str, after: str, name: str) -> str:
    """The unified diff of a file's text, empty where nothing changes; a file that is not there yet has no text.

    >>> print(diff("a = 1\\n", "a = 2\\n", "x.toml"), end="")
    --- x.toml
    +++ x.toml
    @@ -1 +1 @@
    -a = 1
    +a = 2
    """
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name if before else "/dev/null", name
    )
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(ended)


def _put(lines: list[str], header: int, limit: float) -> None:
    """Set a table's `at_least`, in its line or in a new one below the header."""
    at = header + 1
    while at < len(lines) and not _HEADER.match(lines[at]):
        if found := _LIMIT.match(lines[at]):
            # Comments to the right of it stay where they were if the number is as long.
            lines[at] = f"{found[1]}{_number(limit).ljust(len(found[2]))}{found[3]}"
            return
        at += 1
    ended = "\r\n" if lines[header].endswith("\r\n") else "\n"
    if not lines[header].endswith("\n"):
        lines[header] += ended
    lines.insert(header + 1, f"at_least = {_number(limit)}{ended}")


def _block(rule: Rule, limit: float | None) -> str:
    values: dict[str, Any] = {"type": rule.__struct_config__.tag, "id": rule.id}
    plain = type(rule)()
    for field in msgspec.structs.fields(rule):
        value = getattr(rule, field.name)
        if field.name not in values and value != getattr(plain, field.name):
            values[field.name] = value
    if limit is not None:
        values["at_least"] = limit
    return "[[detection]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return _number(value)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _check(text: str, config: Config, limits: Mapping[str, float]) -> None:
    """That the text means what it should: nothing but the limits has changed."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(text, newline="")
        found = load(str(path))
    if found.detection != limited(config.detection, limits) or _rest(found) != _rest(config):
        raise Refused("the configuration is written in a way that cannot be changed line by line: put it in by hand")


def limited(detections: Sequence[Rule], limits: Mapping[str, float]) -> tuple[Rule, ...]:
    """The detections with other limits, by id."""
    return tuple(
        msgspec.structs.replace(rule, at_least=type(rule.at_least)(limits[rule.id]))  # type: ignore[union-attr]
        if rule.id in limits
        else rule
        for rule in detections
    )


def _rest(config: Config) -> Config:
    return msgspec.structs.replace(config, detection=(), example=(), given={})
