"""Dead letters as they were written: counted, shown, and put back once, as far as they can be restored."""

import base64
import binascii
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from flows.connectors.output_directory import DEAD_LETTERS
from flows.durable import alone, cannot_write, sync
from flows.errors import InputError, Refused
from flows.result_lines import raw_lines
from flows.verdicts import Operation, read_operations, write_verdict

MOST: Final = 20_000
"""So many letters are put into one file at most: one line in the log of what was done names them all."""
_DRAFT: Final = ".part"
_UID: Final = re.compile("[0-9a-f]{32}")


class Header(msgspec.Struct, frozen=True):
    """A header of the record; the value is base64, None where it is not kept."""

    name: str
    value: str | None = None


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as it was written; `at` is when its record came, epoch ms, None in files, which have no time."""

    stage: str = "decode"
    reason: str
    topic: str
    partition: str
    offset: int
    index: int = 0
    key: str | None = None
    headers: list[Header] | None = None
    size: int
    sha256: str
    body: str | None = None
    detail: str = ""
    at: int | None = None
    by_topic: bool = False

    @property
    def source(self) -> str:
        """The file, or the partition of a topic, that it came from."""
        return f"{self.topic}/{self.partition}" if self.by_topic else self.partition

    @property
    def id(self) -> str:
        """Where its message stands: the source and the offset, and which event of the message, if not the first."""
        return f"{self.source}:{self.offset}" + (f".{self.index}" if self.index else "")

    @property
    def mark(self) -> str:
        """What says that it was put back: the id alone would stand for another message in another run's results."""
        return f"{self.id}#{self.sha256[:12]}"

    @property
    def hour(self) -> str:
        """The hour in which it came, empty where that is not known."""
        return "" if self.at is None else f"{datetime.fromtimestamp(self.at / 1000, UTC):%Y-%m-%d %H:00Z}"

    def kept(self) -> bytes:
        """What is kept of the message."""
        return _bytes(self.body)

    def kept_key(self) -> bytes | None:
        """The record's key, or its first KiB."""
        return None if self.key is None else _bytes(self.key)

    def kept_headers(self) -> list[tuple[str, bytes | None]]:
        """The record's headers, as far as they are kept."""
        return [(one.name, None if one.value is None else _bytes(one.value)) for one in self.headers or ()]

    def original(self) -> bytes | None:
        """The message as it was, where it is kept whole: neither cut nor redacted. Its hash says so."""
        return same(self, self.kept())


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters: those with this reason and source, whose records came from `since` to before `until` (epoch ms).

    >>> letter = Letter(reason="empty", topic="t", partition="a", offset=1, size=0, sha256="")
    >>> Wanted(reason="empty").has(letter), Wanted(source="b").has(letter)
    (True, False)
    """

    reason: str | None = None
    source: str | None = None
    since: int | None = None
    until: int | None = None

    def has(self, letter: Letter) -> bool:
        """Whether a letter is one of them. One without a time is none where a time is asked for."""
        if self.reason not in (None, letter.reason) or self.source not in (None, letter.source, letter.topic):
            return False
        if self.since is None and self.until is None:
            return True
        return letter.at is not None and (self.since or 0) <= letter.at < (self.until or 1 << 62)


class Group(msgspec.Struct, kw_only=True):
    """Letters of one reason, source and hour; `example` is the first of them, `put_back` how many were."""

    reason: str
    source: str
    hour: str
    letters: int = 0
    put_back: int = 0
    example: str = ""
    detail: str = ""


class Replayed(msgspec.Struct, kw_only=True):
    """What was put back, and what was not: put back before, scored already, or kept in part only."""

    put_back: int = 0
    before: int = 0
    scored: int = 0
    lost: int = 0
    more: int = 0
    where: str = ""


_LETTER: Final = msgspec.json.Decoder(Letter)


def read_letter(line: bytes, at: int | None = None, *, by_topic: bool = False) -> Letter:
    """A letter from its JSON.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        return msgspec.structs.replace(_LETTER.decode(line), at=at, by_topic=by_topic)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"among the dead letters is one that is none ({error})") from error


def of_directory(directory: str) -> Iterator[Letter]:
    """The letters of a directory of results, in order.

    Raises
    ------
    InputError
        There are none, or a line is none.
    """
    path = Path(directory) / DEAD_LETTERS
    if not path.is_file():
        raise InputError(f"{path}: no such file; `lapwing detect --output {directory}` writes it")
    for line in raw_lines(path):
        yield read_letter(line)


def groups(letters: Iterable[Letter], marks: set[str]) -> list[Group]:
    """Letters counted by reason, source and hour, the largest number first."""
    found: dict[tuple[str, str, str], Group] = {}
    for letter in letters:
        key = letter.reason, letter.source, letter.hour
        if (group := found.get(key)) is None:
            group = Group(
                reason=letter.reason, source=letter.source, hour=letter.hour, example=letter.id, detail=letter.detail
            )
            found[key] = group
        group.letters += 1
        group.put_back += letter.mark in marks
    return sorted(found.values(), key=lambda one: (-one.letters, one.reason, one.source, one.hour))


def marks_of(operations: Iterable[Operation]) -> set[str]:
    """The marks of all letters that were put back."""
    return {mark for one in operations if one.operation == "replay" for mark in one.letters}


def same(letter: Letter, message: bytes | None) -> bytes | None:
    """The message, if it is the letter's whole one."""
    if message is None or len(message) != letter.size or hashlib.sha256(message).hexdigest() != letter.sha256:
        return None
    return message


def replay_files(
    directory: str, wanted: Wanted, to: Path, said: Callable[[str, tuple[str, ...], str], Operation]
) -> Replayed:
    """Write the messages of letters into a new file, one a line, for `detect --input`; each letter once.

    The file is whole and durable, as a draft that bears the replay's uid, before the log in the directory says that its
    letters were put back, and has its name afterwards: whatever dies between, the next replay finishes it. A second one
    waits for the first. `said(uid, marks, file)` makes the entry.

    Raises
    ------
    InputError
        There are no results.
    Refused
        The file is there already.
    OutputError
        It cannot be written.
    """
    try:
        with alone(Path(directory)):
            return _replayed(directory, wanted, to, said)
    except OSError as error:
        raise InputError(f"{directory}: cannot be read ({error.strerror})") from None


def _replayed(
    directory: str, wanted: Wanted, to: Path, said: Callable[[str, tuple[str, ...], str], Operation]
) -> Replayed:
    operations = read_operations(directory)
    _finish(operations)
    if to.exists():
        raise Refused(f"{to}: is there already; name a file that is not, so that nothing is put back twice")
    marks, done = marks_of(operations), Replayed(where=str(to))
    lines, chosen = list[bytes](), list[str]()
    for letter in of_directory(directory):
        if not wanted.has(letter):
            continue
        message = _restored(letter, marks, done)
        if message is None:
            continue
        if len(lines) == MOST:
            done.more += 1
            continue
        marks.add(letter.mark)
        lines.append(message)
        chosen.append(letter.mark)
    done.put_back = len(lines)
    if not lines:
        return done
    uid = uuid.uuid4().hex
    draft = _draft(to, uid)
    try:
        with draft.open("wb") as file:
            file.writelines(line + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        sync(draft.resolve().parent)
        write_verdict(directory, said(uid, tuple(chosen), str(to.resolve())))
        draft.rename(to)
        sync(to.resolve().parent)
    except OSError as error:
        raise cannot_write(to, error) from None
    return done


def _restored(letter: Letter, marks: set[str], done: Replayed) -> bytes | None:
    """The message of a letter that is to be put back into a file; why not is counted."""
    if letter.mark in marks:
        done.before += 1
    elif letter.stage != "decode":
        done.scored += 1
    elif (message := letter.original()) is None or b"\n" in message:
        done.lost += 1
    else:
        return message
    return None


def _finish(operations: Iterable[Operation]) -> None:
    """Give the files their names that a replay had promised and died over."""
    for one in operations:
        if one.operation == "replay" and one.file and _UID.fullmatch(one.uid):
            to = Path(one.file)
            draft = _draft(to, one.uid)
            if not draft.exists():
                continue
            if to.exists():
                raise Refused(f"{draft}: was put back, and {to} is in its way; move that, and call again")
            draft.rename(to)


def _draft(to: Path, uid: str) -> Path:
    """What a replay writes before it has noted that it did: another replay's is another file."""
    return to.with_name(f"{to.name}.{uid}{_DRAFT}")


def _bytes(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except binascii.Error:
        return b""
