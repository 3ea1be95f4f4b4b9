"""Canonical objects of ordinary records, written after templates that a format's own `event` has made."""

import copy
import re
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.formats.blank import Blanking
from flows.formats.exposed import watched
from flows.formats.reads import Path, Reads, place
from flows.formats.source_format import SourceFormat
from flows.formats.tree import Tree, joined
from models.kernels.exposed import exposed
from models.kernels.pick import NONE
from models.kernels.template import (
    ADDRESS,
    AS_IS,
    BARE,
    CARRIED,
    DECISIVE,
    HIDDEN,
    INNER,
    LONGEST_SIGNATURE,
    LOWERED,
    QUOTED,
    REFUSED,
    TIME,
    measure,
    sign,
    write,
)

MOST_SIGNATURES: Final = 4_096
"""Signatures that are remembered, of those seen once too; then all of their kind are forgotten."""

_AT_ONCE: Final = 512
"""Rows whose places stay in a core's cache."""
_NO_BYTES: Final = np.zeros(0, np.uint8)
_UNSEEN, _NEVER = -1, -2
_ENCODER: Final = msgspec.json.Encoder()
_STAND_IN: Final = re.compile(
    rb'"[^"\\]{0,8}?(?P<letter>[Ll])w(?P<text>[0-9]{4})[Qq]~(?:z|\xc3\x89)"|"2015-06-07T08:09:10\.7351(?P<time>[0-9]{4})Z"'
    rb'|"7351(?P<quoted>[0-9]{4})0{0,8}"|(?<=[:,\[])7351(?P<bare>[0-9]{4})0{0,8}(?:\.5)?(?=[,}\]])'
)
_TRACE: Final = re.compile(rb"[Ll]w[0-9]{4}[Qq]~|7351[0-9]{4}")
_NUMBERS, _DIGITS = range(0x80, 0xA0), range(0xA0, 0xC0)
"""Forms of times: 0x80 or 0xA0 and how many digits they have."""


class _Template(NamedTuple):
    """Pieces: literals, each its bytes, and nodes, each its number and how it is written."""

    literals: tuple[bytes, ...]
    nodes: tuple[int, ...]
    styles: tuple[int, ...]


class _Compiled(NamedTuple):
    """All templates, for the kernels."""

    first: NDArray[np.int64]
    node: NDArray[np.int64]
    style: NDArray[np.uint8]
    literal: NDArray[np.int64]
    text: NDArray[np.uint8]


class Written(NamedTuple):
    """Rows as templates write them, by their place among those asked for."""

    lines: NDArray[np.uint8]
    ends: NDArray[np.int64]
    done: NDArray[np.bool_]
    signatures: list[bytes]


class Templates:
    """What has been learned of a format's records.

    Records with the same members, and the same values in those that decide, become canonical objects that differ only
    in what is passed on. The second such record makes a template, which `event` fills with stand-ins; it must give what
    `event` gives of the record itself. A record that has none, or is unusual, goes through `event`.

    Cost: below a microsecond a record of 1 KB, outside of Python but for a look into a dict; some 50 us for each
    template. Memory: bounded by `MOST_SIGNATURES`.
    """

    def __init__(self, form: SourceFormat, reads: Reads) -> None:
        self._form, self._reads = form, reads
        kind_of = dict.fromkeys(reads.carried, CARRIED) | dict.fromkeys(reads.times, TIME)
        kind_of |= dict.fromkeys(reads.addresses, ADDRESS)
        kind_of |= dict.fromkeys(reads.decisive, DECISIVE) | dict.fromkeys(reads.refused, REFUSED)
        read = Tree([*kind_of]).nodes
        kind_of = dict.fromkeys(read, INNER) | kind_of
        rules = watched(form.secrets, read)
        self._blank_first, rules = rules is None, rules or {}
        self._tree = Tree([*read, *rules])
        self._paths = self._tree.nodes
        self._kinds = np.array([kind_of.get(path, HIDDEN) for path in self._paths], np.uint8)
        self._signed = [node for node, path in enumerate(self._paths) if node and path in kind_of]
        watches = [(node, rules[path]) for node, path in enumerate(self._paths) if path in rules]
        words = [sorted(watch.words) for _, watch in watches]
        self._watched = (
            np.array([node for node, _ in watches], np.int64),
            np.array([watch.rule for _, watch in watches], np.uint8),
            *joined([word.encode() for each in words for word in each]),
            np.cumsum([0, *map(len, words)], dtype=np.int64),
        )
        self._told = (*joined([word.encode() for word in reads.words]), *joined([one.encode() for one in reads.heads]))
        self._known: dict[bytes, int] = {}
        self._once: set[bytes] = set()
        self._count = 0
        self._new: list[_Template] = []
        self._compiled = _compiled([])
        self._lock = Lock()

    def write(
        self,
        buffer: NDArray[np.uint8],
        begin: NDArray[np.int64],
        extent: NDArray[np.int32],
        rows: NDArray[np.int64],
        blanking: Blanking,
    ) -> Written:
        """The canonical objects of rows that templates know, one after the other; `done` says which.

        Secrets are blanked in the buffer first, of all rows.
        """
        with self._lock:
            if self._new:
                self._compiled, self._new = _more(self._compiled, _compiled(self._new)), []
            known, compiled = self._known, self._compiled
        parts = [
            self._part(buffer, begin, extent, rows[first : first + _AT_ONCE], blanking, known, compiled)
            for first in range(0, len(rows), _AT_ONCE)
        ]
        used = np.cumsum([0, *(len(part.lines) for part in parts)])
        return Written(
            np.concatenate([_NO_BYTES, *(part.lines for part in parts)]),
            np.concatenate([used[:0], *(part.ends + before for part, before in zip(parts, used, strict=False))]),
            np.concatenate([np.zeros(0, np.bool_), *(part.done for part in parts)]),
            [signature for part in parts for signature in part.signatures],
        )

    def _part(
        self,
        buffer: NDArray[np.uint8],
        begin: NDArray[np.int64],
        extent: NDArray[np.int32],
        rows: NDArray[np.int64],
        blanking: Blanking,
        known: dict[bytes, int],
        compiled: _Compiled,
    ) -> Written:
        if self._blank_first:
            blanking.rows(buffer, begin, extent, rows)
        found = self._tree.pick(buffer, begin, extent, rows)
        if not self._blank_first:
            nodes, rules, words, ends, last = self._watched
            some = exposed(buffer, begin, rows, *found, nodes, rules, words, ends, last)
            blanking.rows(buffer, begin, extent, rows[some])
        out = np.empty(LONGEST_SIGNATURE * (len(rows) + 1), np.uint8)
        stops = sign(buffer, begin, rows, *found, self._kinds, *self._told, out).tolist()
        text = out[: stops[-1]].tobytes()
        signatures = [text[a:b] for a, b in zip([0, *stops], stops, strict=False)]
        most = len(compiled.first) - 1  # what is learned meanwhile is not compiled yet
        which = np.array([known.get(one, _UNSEEN) for one in signatures], np.int64)
        which[which >= most] = _UNSEEN
        ends = measure(found.size, which, *compiled[:4])
        lines = np.empty(int(ends[-1]), np.uint8)
        write(buffer, begin, rows, found.at, found.size, which, *compiled, lines)
        return Written(lines, ends, which >= 0, signatures)

    def learn(self, signature: bytes, record: dict[str, Any], event: dict[str, Any]) -> None:
        """Take notice of a record that went through `event`."""
        if not signature or signature in self._known:
            return
        with self._lock:
            if signature not in self._once:
                if len(self._once) >= MOST_SIGNATURES:
                    self._once.clear()
                self._once.add(signature)
                return
            self._once.remove(signature)
            if len(self._known) >= MOST_SIGNATURES:
                self._known, self._new, self._count = {}, [], 0
                self._compiled = _compiled([])
            made = self._template(signature, record, event)
            self._known[signature] = _NEVER if made is None else self._count
            if made is not None:
                self._new.append(made)
                self._count += 1

    def _template(self, signature: bytes, record: dict[str, Any], event: dict[str, Any]) -> _Template | None:
        """The template of records of a signature, None where there is none that holds."""
        if event.get("action") in self._reads.whole or _TRACE.search(signature):
            return None
        stood_in = copy.deepcopy(record)
        values: dict[int, Any] = {}
        forms = dict(zip(self._signed, _forms(signature), strict=True))
        for node, form in forms.items():
            if (shown := _stand_in(node, form, self._reads.heads)) is not None:
                values[node] = _put(stood_in, self._paths[node], shown)
        text = _ENCODER.encode(self._form.event(stood_in))
        literals, nodes, styles, last = [], [], [], 0
        for found in _STAND_IN.finditer(text):
            node = int(next(filter(None, found.group("text", "time", "quoted", "bare"))))
            literals.append(text[last : found.start()])
            nodes.append(node)
            last = found.end()
            style = _style(found, forms[node]) if node in values else None
            if style is None:
                return None
            styles.append(style)
        literals.append(text[last:])
        if any(map(_TRACE.search, literals)):
            return None
        made = _Template(tuple(literals), tuple(nodes), tuple(styles))
        return made if _filled(made, values) == _ENCODER.encode(event) else None


def _stand_in(node: int, form: int, heads: tuple[str, ...]) -> Any:
    """What stands for a value of that form; None where the form says what the value is."""
    number = 73_510_000 + node
    if form in _NUMBERS:
        return number * 10 ** (form - _NUMBERS.start - 8)
    if form in _DIGITS:
        return str(number * 10 ** (form - _DIGITS.start - 8))
    if ord("a") <= form < ord("a") + len(heads):
        return f"{heads[form - ord('a')]}Lw{node:04d}Q~z"
    return {
        "N": number, "F": number + 0.5, "S": f"Lw{node:04d}Q~z", "U": f"Lw{node:04d}Q~\u00c9",
        "I": f"7:Lw{node:04d}Q~z", "Z": f"2015-06-07T08:09:10.7351{node:04d}Z",
    }.get(chr(form))  # fmt: skip


def _style(found: re.Match[bytes], form: int) -> int | None:
    """How a stand-in of that form has been written; None where that tells nothing of other values of the form."""
    if found["letter"] == b"l":
        return LOWERED if form == ord("S") else None
    if found["text"]:
        return AS_IS
    if found["time"]:
        return AS_IS if form == ord("Z") else None
    if found["quoted"]:
        return AS_IS if form in _DIGITS else QUOTED if form in (*_NUMBERS, ord("N")) else None
    return BARE if form in _DIGITS else AS_IS


def _filled(template: _Template, values: dict[int, Any]) -> bytes:
    """A template with a record's own values."""
    out = bytearray(template.literals[0])
    for node, style, literal in zip(template.nodes, template.styles, template.literals[1:], strict=True):
        value = values[node]
        if style == LOWERED:
            value = value.lower()
        elif style != AS_IS:
            value = int(value) if style == BARE else str(value)
        out += _ENCODER.encode(value) + literal
    return bytes(out)


def _forms(signature: bytes) -> bytes:
    """What a signature says of each node but the first, without what is written out."""
    forms, at = bytearray(), 0
    while at < len(signature):
        forms.append(signature[at])
        at += 2 + signature[at + 1] if signature[at] == ord("v") else 1
    return bytes(forms)


def _put(record: Any, path: Path, value: Any) -> Any:
    """Put a value where another one stands, which is given."""
    steps: list[Any] = [step if (at := place(step)) is None else at for step in path]
    for step in steps[:-1]:
        record = record[step]
    before, record[steps[-1]] = record[steps[-1]], value
    return before


def _compiled(templates: list[_Template]) -> _Compiled:
    first, node, style, literals = [0], [], [], []
    for one in templates:
        for at, literal in enumerate(one.literals):
            node.append(NONE)
            style.append(AS_IS)
            literals.append(literal)
            if at < len(one.nodes):
                node.append(one.nodes[at])
                style.append(one.styles[at])
                literals.append(b"")
        first.append(len(node))
    text, ends = joined(literals)
    return _Compiled(
        np.array(first, np.int64), np.array(node, np.int64), np.array(style, np.uint8),
        np.concatenate((np.zeros(1, np.int64), ends)), text,
    )  # fmt: skip


def _more(before: _Compiled, new: _Compiled) -> _Compiled:
    """Templates, and others after them."""
    return _Compiled(
        np.concatenate((before.first, before.first[-1] + new.first[1:])),
        np.concatenate((before.node, new.node)),
        np.concatenate((before.style, new.style)),
        np.concatenate((before.literal, before.literal[-1] + new.literal[1:])),
        np.concatenate((before.text, new.text)),
    )
