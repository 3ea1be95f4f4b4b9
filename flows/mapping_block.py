"""`[[format]]` of type `mapping`: from TOML to a declared mapping, with every fault at once."""

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any, Final

import msgspec

from flows.format_base import FormatBlock
from flows.formats.mapping import MAPPED, Candidate, DeclaredMapping, Scalar, text_of
from flows.formats.paths import Steps, parse, spell
from flows.formats.timestamps import PASSING, RFC_3339, Reader, reader, zone
from flows.structure import meant, shown
from models.base import ACTIONS, OUTCOMES, REASONS
from models.exceptions import network
from models.kernels.scan import KINDS, NUMBER_KIND, STRING_KIND

MOST_CANDIDATES: Final = 16
MOST_WORDS: Final = 4_096
MOST_PATHS: Final = 256
ENTITIES: Final = ("ip", "user", "username", "actor", "endpoint")
CLOSED: Final = {"action": ACTIONS, "outcome": OUTCOMES, "reason": REASONS[1:]}
"""The members whose values are a closed list."""
_KEYS: Final = (
    "path", "constant", "after", "until", "table", "default", "format", "timezone", "forwarded", "peer", "each",
)  # fmt: skip
_ONLY: Final = {
    "format": ("time", "received"), "timezone": ("time", "received"), "forwarded": ("ip",), "peer": ("ip",),
    "each": ("changes",),
}  # fmt: skip
"""The keys that only some members may have."""
_EACH: Final = ("path", "old", "new")


class MappingBlock(FormatBlock, frozen=True, kw_only=True):
    """A mapping as it is written: of each canonical member where its value stands; docs/mapping.md has the language."""

    secrets: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    when: dict[str, Any] = msgspec.field(default_factory=dict)
    member: dict[str, Any] = msgspec.field(default_factory=dict)

    def made(self) -> DeclaredMapping:
        """The format, compiled."""
        return compiled(self, "", [])

    def faults(self, path: str) -> list[str]:
        """What is wrong with its paths, tables, formats and networks."""
        found: list[str] = []
        compiled(self, path, found)
        return found


def compiled(row: MappingBlock, at: str, faults: list[str]) -> DeclaredMapping:
    """The format that a block declares, and in `faults` a line for each thing that is wrong; `at` is its path.

    With faults, what stands in the result is not to be used.

    >>> faults: list[str] = []
    >>> row = MappingBlock(id="idp", member={"time": "ts", "action": {"path": "evt", "table": {"IN": "logn"}}})
    >>> _ = compiled(row, "$.format[0]", faults)
    >>> print("\\n".join(faults))
    Expected one of the action values, got "logn", did you mean "login"? - at $.format[0].member.action.table.IN
    No entity is mapped: expected at least one of ip, user, username, actor, endpoint - at $.format[0].member
    """
    for key in ("secrets", "trusted_proxies", "when"):
        if len(getattr(row, key)) > MOST_PATHS:
            faults.append(f"Expected at most {MOST_PATHS} - at {at}.{key}")
    secrets = [found for i, text in enumerate(row.secrets) if (found := _secret(text, f"{at}.secrets[{i}]", faults))]
    trusted = []
    for i, text in enumerate(row.trusted_proxies):
        try:
            trusted.append(network(text))
        except ValueError:
            wrong = f'Expected a network such as "10.0.0.0/8", got {shown(text)}'
            faults.append(f"{wrong} - at {at}.trusted_proxies[{i}]")
    members: dict[str, tuple[Candidate, ...]] = {}
    for name, value in row.member.items():
        place = f"{at}.member.{name}"
        if name not in MAPPED:
            faults.append(f"Unknown member {shown(name)}{meant(name, MAPPED)} - at {at}.member")
            continue
        members[name] = _candidates(name, value, place, faults)
        for one in members[name]:
            faults += _told(one, secrets, place)
    if "time" not in row.member:
        faults.append(f"No time is mapped: expected the member time - at {at}.member")
    if not any(name in row.member for name in ENTITIES):
        wanted = ", ".join(ENTITIES)
        faults.append(f"No entity is mapped: expected at least one of {wanted} - at {at}.member")
    when = _when(row.when, f"{at}.when", faults)
    blank = tuple(tuple("*" if step is None else str(step) for step in steps) for steps in secrets)
    return DeclaredMapping(members, blank, when, tuple(trusted), row.id or "mapping")


def _key(text: str) -> str:
    return text if text.isascii() and text.replace("_", "").replace("-", "").isalnum() else shown(text)


def _secret(text: str, at: str, faults: list[str]) -> Steps:
    steps = _path(text, at, faults)
    if any(isinstance(step, int) for step in steps):
        faults.append(f"Expected [*] for the elements of a list, as all of them are secret - at {at}")
    return steps


def _told(one: Candidate, secrets: list[Steps], at: str) -> Iterator[str]:
    """Whether what a candidate reads is a secret, or holds one."""
    for path in (one.path, one.peer):
        for secret in secrets:
            if path and all(a == b or None in (a, b) for a, b in zip(path, secret, strict=False)):
                yield f"{spell(path)} reads the secret {spell(secret)}: expected another path - at {at}"


def _path(text: object, at: str, faults: list[str]) -> Steps:
    if not isinstance(text, str):
        faults.append(f"Expected a path such as client.ip, got {shown(text)} - at {at}")
        return ()
    try:
        return parse(text)
    except ValueError as error:
        faults.append(f"{error}, got {shown(text)} - at {at}")
        return ()


def _candidates(name: str, value: object, at: str, faults: list[str]) -> tuple[Candidate, ...]:
    rows = value if isinstance(value, list) else [value]
    if not rows or len(rows) > MOST_CANDIDATES:
        faults.append(f"Expected 1 to {MOST_CANDIDATES} candidates, got {len(rows)} - at {at}")
        return ()
    found: list[Candidate] = []
    for i, row in enumerate(rows):
        place = f"{at}[{i}]" if isinstance(value, list) else at
        if isinstance(row, Mapping):
            made = _table(name, row, place, faults)
        else:
            made = [Candidate(_path(row, place, faults))]
        found += made
        if i + 1 < len(rows) and any(one.constant is not None or one.default is not None for one in made):
            faults.append(f"What follows is never asked, as this always has a value - at {place}")
    return tuple(found)


def _table(name: str, row: Mapping[str, Any], at: str, faults: list[str]) -> list[Candidate]:
    """The candidates of a table: several where its `path` is a list."""
    for key in row:
        if key not in _KEYS:
            faults.append(f"Unknown key {shown(key)}{meant(key, _KEYS)} - at {at}")
        elif name not in _ONLY.get(key, (name,)):
            faults.append(f"Expected {key} only in {' and '.join(_ONLY[key])} - at {at}.{key}")
    if ("path" in row) == ("constant" in row):
        faults.append(f"Expected either path or constant - at {at}")
        return []
    if "constant" in row:
        for key in row.keys() - {"constant"}:
            faults.append(f"A constant stands alone: unexpected {key} - at {at}.{key}")
        return [Candidate(constant=_value(name, row["constant"], f"{at}.constant", faults))]
    if "table" in row:
        faults += [f"Expected either table or {key} - at {at}" for key in ("format", "forwarded", "each") if key in row]
    if "peer" in row and row.get("forwarded") is not True:
        faults.append(f"Expected forwarded = true beside peer - at {at}")
    if not isinstance(row.get("forwarded", False), bool):
        faults.append(f"Expected true or false, got {shown(row['forwarded'])} - at {at}.forwarded")
    table = _words(name, row["table"], f"{at}.table", faults) if "table" in row else None
    default = _value(name, row["default"], f"{at}.default", faults) if "default" in row else None
    time = _times(row, at, faults) if {"format", "timezone"} & row.keys() else None
    peer = _path(row["peer"], f"{at}.peer", faults) if "peer" in row else ()
    each = _each(row["each"], f"{at}.each", faults) if "each" in row else None
    passing = row.get("format", RFC_3339) in PASSING
    after, until = (_mark(row, key, at, faults) for key in ("after", "until"))
    many = isinstance(row["path"], list)
    texts = row["path"] if many else [row["path"]]
    if not texts or len(texts) > MOST_CANDIDATES:
        faults.append(f"Expected 1 to {MOST_CANDIDATES} paths, got {len(texts)} - at {at}.path")
    found = []
    for i, text in enumerate(texts[:MOST_CANDIDATES]):
        steps = _path(text, f"{at}.path[{i}]" if many else f"{at}.path", faults)
        last = default if i + 1 == len(texts) else None
        forwarded = row.get("forwarded") is True
        found.append(Candidate(steps, None, table, last, time, forwarded, peer, each, passing, after, until))
    return found


def _mark(row: Mapping[str, Any], key: str, at: str, faults: list[str]) -> str:
    """What a part of a string begins behind, or ends before."""
    text = row.get(key, "x")
    if not isinstance(text, str) or not text:
        faults.append(f'Expected a text such as "/users/", got {shown(text)} - at {at}.{key}')
    elif key in row and "each" in row:
        faults.append(f"Expected either each or {key} - at {at}")
    return text if key in row and isinstance(text, str) else ""


def _words(name: str, table: object, at: str, faults: list[str]) -> dict[str, Scalar]:
    if not isinstance(table, Mapping) or not table:
        faults.append(f'Expected a table such as {{ "LOGIN_FAILED" = "failure" }}, got {shown(table)} - at {at}')
        return {}
    if len(table) > MOST_WORDS:
        faults.append(f"Expected at most {MOST_WORDS} words, got {len(table)} - at {at}")
        return {}
    found = {}
    for word, value in table.items():
        meaning = _value(name, value, f"{at}.{_key(word)}", faults)
        if meaning is not None:
            found[word] = meaning
    return found


def _value(name: str, value: object, at: str, faults: list[str]) -> Scalar | None:
    """A value that the configuration gives to a member."""
    kind = KINDS[name]
    if name in ("time", "received", "changes"):
        faults.append(f"Expected no fixed value for {name}, which every event has its own of - at {at}")
        return None
    if name in CLOSED:
        if value in CLOSED[name]:
            return str(value)
        faults.append(
            f"Expected one of the {name} values, got {shown(value)}{meant(str(value), CLOSED[name])} - at {at}"
        )
        return None
    if kind & NUMBER_KIND and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if kind & STRING_KIND and not kind & NUMBER_KIND and isinstance(value, str) and value:
        return value
    wanted = "a number" if kind & NUMBER_KIND else "a string"
    faults.append(f"Expected {wanted}, got {shown(value)} - at {at}")
    return None


def _times(row: Mapping[str, Any], at: str, faults: list[str]) -> Reader | None:
    form = row.get("format", RFC_3339)
    if not isinstance(form, str):
        faults.append(
            f'Expected a format such as "epoch_ms" or "%Y-%m-%d %H:%M:%S", got {shown(form)} - at {at}.format'
        )
        return None
    return _reader(form, row.get("timezone", ""), at, faults)


def _reader(form: str, name: object, at: str, faults: list[str]) -> Reader | None:
    within: tzinfo | None = None
    if name != "":
        try:
            within = zone(name if isinstance(name, str) else "")
        except ValueError as error:
            faults.append(f"{error}, got {shown(name)} - at {at}.timezone")
            return None
    try:
        return reader(form, within)
    except ValueError as error:
        faults.append(f"{error}, got {shown(form)} - at {at}.format")
        return None


def _each(table: object, at: str, faults: list[str]) -> dict[str, Steps] | None:
    if not isinstance(table, Mapping) or "path" not in table:
        faults.append(f'Expected a table such as {{ path = "field", old = "from", new = "to" }} - at {at}')
        return None
    for key in table.keys() - {*_EACH}:
        faults.append(f"Unknown key {shown(key)}{meant(str(key), _EACH)} - at {at}")
    return {key: _path(table[key], f"{at}.{key}", faults) for key in _EACH if key in table}


def _when(table: Mapping[str, Any], at: str, faults: list[str]) -> dict[Steps, frozenset[str] | None]:
    found: dict[Steps, frozenset[str] | None] = {}
    for text, value in table.items():
        place = f"{at}.{_key(text)}"
        if isinstance(value, Mapping):
            faults.append(
                f'Expected a value: a path with dots stands in quotes, such as "event.kind" = ... - at {place}'
            )
            continue
        steps = _path(text, place, faults)
        texts = [text_of(one) for one in (value if isinstance(value, list) else [value])]
        if not texts or any(one is None for one in texts):
            faults.append(f'Expected a string, number or boolean, several of them, or "*" - at {place}')
            continue
        found[steps] = None if texts == ["*"] else frozenset(one for one in texts if one is not None)
    return found
