"""Small readers of what a SIEM is sent, written from the specifications and sharing nothing with the encoders."""

import json
import re
import unicodedata
from typing import Any


def cef(line: str) -> tuple[list[str], dict[str, str]]:
    """The seven fields of the header and the extension's pairs."""
    head, at, field = [], 0, ""
    while len(head) < 7:
        char = line[at]
        if char == "\\":
            assert line[at + 1] in "\\|"
            field, at = field + line[at + 1], at + 1
        elif char == "|":
            head.append(field)
            field = ""
        else:
            field += char
        at += 1
    pairs: dict[str, str] = {}
    # A key is a word before an equals sign that is not escaped; a value runs to the next key.
    starts = [*re.finditer(r"(?:^| )([A-Za-z0-9]+)(?<!\\)=", rest := line[at:])]
    assert "".join(rest[: starts[0].start()]) == "" if starts else rest == ""
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        value = rest[start.end() : after.start() if after else len(rest)]
        assert start[1] not in pairs
        pairs[start[1]] = re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), value)
        assert not re.search(r"(?<!\\)(?:\\\\)*=", value)
    return head, pairs


def leef(line: str) -> tuple[list[str], dict[str, str]]:
    """The header's fields and the attributes, by the delimiter that the header names."""
    *head, delimiter, rest = line.split("|", 6)
    pairs = dict(one.split("=", 1) for one in rest.split(delimiter))
    assert len(pairs) == rest.count(delimiter) + 1
    return head, pairs


def syslog(line: str) -> tuple[dict[str, str], dict[str, str], str]:
    """The header, the parameters of the one structured element, and the text."""
    header = re.match(
        r"<(?P<pri>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) (?P<host>[!-~]{1,255}) "
        r"(?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) ",
        line,
    )
    assert header
    assert int(header["pri"]) <= 191
    at = header.end()
    if line[at] == "-":
        return header.groupdict(), {}, line[at + 2 :]
    name = re.compile(r"\[[^\s=\]\"]{1,32}@\d+").match(line, at)
    assert name
    at, pairs = name.end(), {}
    while line[at] == " ":
        key = re.compile(r' ([^\s=\]"]{1,32})="').match(line, at)
        assert key
        at, value = key.end(), ""
        while line[at] != '"':
            if line[at] == "\\" and line[at + 1] in '"\\]':
                at += 1
            else:
                assert line[at] != "]"
            value, at = value + line[at], at + 1
        at += 1
        assert key[1] not in pairs
        pairs[key[1]] = value
    assert line[at : at + 2] == "] "
    text = line[at + 2 :]
    assert text.isascii() or text[0] == "\ufeff"
    return header.groupdict(), pairs, text.removeprefix("\ufeff")


def flat(found: Any, above: str = "") -> dict[str, Any]:
    """An object's leaves by dotted name; a list is a leaf."""
    if not isinstance(found, dict):
        return {above: found}
    return {
        name: leaf
        for key, inner in found.items()
        for name, leaf in flat(inner, f"{above}.{key}" if above else key).items()
    }


def ecs(line: str) -> dict[str, Any]:
    """A document's fields by dotted name."""
    return flat(json.loads(line))


def cut(text: str, longest: int) -> str:
    """A text of at most so many characters, the last a mark where it was longer."""
    return text if len(text) <= longest else text[: longest - 1] + "\u2026"


def coded(text: str, kept: str = "", end: str = "") -> str:
    """A text as a form without escapes shows it: cut, and what hides, moves, reorders or ends a value as its code."""
    codes = "".join(
        f"\\u{ord(char):04x}"
        if char not in kept and (unicodedata.category(char).startswith("C") or char in "\u2028\u2029" or char in end)
        else char
        for char in cut(text, 256)
    )
    return cut(codes, 1023)
