"""What people said of incidents and did about them: each verdict and operation as it is kept."""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from flows.connectors.output_directory import ALERTS, SUPPRESSED, append
from flows.durable import cannot_write, sync
from flows.errors import InputError, OutputError, Refused
from flows.formats.evidence import shown
from flows.result_lines import raw_lines
from models.alert import CANARY

VERDICTS: Final = "verdicts.ndjson"
VERSION: Final = 1
LEAST_PREFIX: Final = 8
MOST_NOTE: Final = 2_000
MOST_BY: Final = 256
_LONGEST_REST: Final = 1 << 22
"""More than a verdict or an operation takes."""
Word = Literal["true", "false", "benign"]
Uid = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Name = Annotated[str, Meta(max_length=512)]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as far as a verdict names it; `entities` are both parts of an entity of two dimensions.

    `severity` is OCSF's `severity_id`.
    """

    uid: Uid
    detection: Name = ""
    tenant: Name = ""
    dimension: Name = ""
    entity: Name = ""
    entities: dict[Name, Name] = {}
    severity: Annotated[int, Meta(ge=0, le=99)] = 0


class Incident(Subject, frozen=True, kw_only=True):
    """An incident of the results, as its last message tells it; `kept_back` is what suppressed it, if anything did."""

    kept_back: str = ""


class Verdict(Subject, frozen=True, kw_only=True):
    """What somebody said of an incident: `true`, `false`, or `benign`, a right detection of what is permitted.

    `time` is wall clock, epoch milliseconds. One line of JSON in a file, or one record with the uid as its key; of
    several with one uid the last counts. Only `uid` and `verdict` must be there.
    """

    version: Literal[1] = VERSION
    time: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    verdict: Word
    note: Annotated[str, Meta(max_length=MOST_NOTE)] = ""
    by: Annotated[str, Meta(max_length=MOST_BY)] = ""


class Operation(Subject, frozen=True, kw_only=True):
    """What somebody did: took an incident (`ack`) or has done with it (`resolve`), muted, ended a mute, or put dead
    letters back.

    It stands among the verdicts, in the same file or topic, told apart by its member `operation`: what people said and
    did is one log, which the trail keeps whole. `uid` is the incident's; a mute's or a replay's own otherwise. Of
    `ack` and `resolve` on an incident the last counts. `until` is a mute's end, epoch milliseconds; `letters` are the
    ids of dead letters, `file` where they were put.
    """

    uid: Name = ""
    version: Literal[1] = VERSION
    time: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    operation: Literal["ack", "resolve", "mute", "unmute", "replay"]
    note: Annotated[str, Meta(max_length=MOST_NOTE)] = ""
    by: Annotated[str, Meta(max_length=MOST_BY)] = ""
    until: int = 0
    letters: tuple[str, ...] = ()
    file: str = ""


class _FindingInfo(msgspec.Struct):
    uid: Uid


class _Metadata(msgspec.Struct):
    tenant_uid: Name = ""


class _Unmapped(msgspec.Struct):
    detection: Name
    dimension: Name
    entity: Name
    entities: dict[Name, Name] = {}
    digest: int | None = None


class _AlertLine(msgspec.Struct):
    severity_id: int
    finding_info: _FindingInfo
    unmapped: _Unmapped
    metadata: _Metadata
    status_detail: str = ""


_ALERT: Final = msgspec.json.Decoder(_AlertLine)
_VERDICT: Final = msgspec.json.Decoder(Verdict)
_OPERATION: Final = msgspec.json.Decoder(Operation)
_BEGIN: Final = b'{"uid":"'
"""With this every line begins."""
_IS_OPERATION: Final = b'"operation":"'


def read_verdicts(path: str | Path) -> dict[str, Verdict]:
    """The verdicts of a directory of results, or of a file of them, the last of each incident, by uid.

    A directory without any has none. A last line that was cut off, as a power failure leaves it, was never told to
    anybody and is left out.

    Raises
    ------
    InputError
        There is no such place, or a line is no verdict.
    """
    path = Path(path)
    if path.is_dir():
        path /= VERDICTS
        if not path.exists():
            return {}
    return {one.uid: one for one in _read(path) if isinstance(one, Verdict)}


def read_operations(path: str | Path) -> list[Operation]:
    """The operations of a directory of results, or of a file of verdicts, in their order; errors are those of verdicts.

    A directory without any has none.
    """
    path = Path(path)
    if path.is_dir():
        path /= VERDICTS
    return [one for one in _read(path) if isinstance(one, Operation)] if path.exists() else []


def _read(path: Path) -> Iterator[Verdict | Operation]:
    for number, line in enumerate(raw_lines(path), 1):
        try:
            one = said_in(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not line.endswith(b"\n"):
                break
            raise InputError(f"{path}: line {number} is no verdict ({error})") from error
        yield one


def said_in(line: bytes) -> Verdict | Operation:
    """What one line, or one record's value, says.

    Raises
    ------
    msgspec.DecodeError, UnicodeDecodeError
        It is neither.
    """
    if _IS_OPERATION in line:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return _OPERATION.decode(line)
    return _VERDICT.decode(line)


def read_records(values: Iterable[bytes]) -> tuple[dict[str, Verdict], list[Operation], int]:
    """What a topic's values say: the last verdict of each incident, as `read_verdicts`, operations in the order of
    their time, and how many values are neither: others write there too.
    """
    found: dict[str, Verdict] = {}
    operations = []
    unreadable = 0
    for value in values:
        try:
            one = said_in(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            unreadable += 1
            continue
        if isinstance(one, Verdict):
            found[one.uid] = one
        else:
            operations.append(one)
    return found, sorted(operations, key=lambda one: one.time), unreadable


def key(said: Verdict | Operation) -> bytes:
    """The key of a record, which a compacted topic keeps the last of: a verdict's is the uid alone."""
    if isinstance(said, Verdict):
        return said.uid.encode()
    kind = "handling" if said.operation in ("ack", "resolve") else said.operation
    return f"{kind}/{said.uid}".encode()


def encode(verdict: Verdict | Operation) -> bytes:
    """A verdict or operation as one line of JSON, without LF."""
    return msgspec.json.encode(verdict)


def write_verdict(directory: str | Path, verdict: Verdict | Operation) -> Path:
    """Add a verdict or operation to a directory's, durably; several may write at a time. The file's path.

    Raises
    ------
    OutputError
        It cannot be written; what was there stands.
    """
    path = Path(directory) / VERDICTS
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = _whole(path, file)
        os.lseek(file, size, os.SEEK_SET)
        append(path, file, size, encode(verdict) + b"\n")
        os.fsync(file)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        os.close(file)
    return path


def _whole(path: Path, file: int) -> int:
    """The size of a file of lines, made to end with a whole one: a part of one goes, one without LF stays."""
    size = os.fstat(file).st_size
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return size
    rest = os.pread(file, _LONGEST_REST, max(0, size - _LONGEST_REST)).rpartition(b"\n")[2]
    if len(rest) == _LONGEST_REST:
        raise OutputError(f"{path}: is no file of verdicts")
    try:
        said_in(rest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if not _BEGIN.startswith(rest[: len(_BEGIN)]):
            raise OutputError(f"{path}: is no file of verdicts") from None
        os.ftruncate(file, size - len(rest))
        return size - len(rest)
    os.pwrite(file, b"\n", size)
    return size + 1


def alert_lines(directory: str | Path, *, suppressed: bool = True) -> Iterator[bytes]:
    """The alerts of a directory of results, if it is asked for those that were suppressed too.

    Raises
    ------
    InputError
        There are none.
    """
    path = Path(directory) / ALERTS
    if not path.is_file():
        raise InputError(f"{path}: no such file; `lapwing detect --output {directory}` writes it")
    yield from raw_lines(path)
    if suppressed and (beside := path.with_name(SUPPRESSED)).is_file():
        yield from raw_lines(beside)


def incidents(alerts: Iterable[bytes], prefix: str = "", *, digests: bool = False) -> dict[str, Incident]:
    """The incidents in alerts as OCSF lines, by uid; a canary's is none, nor, unless it is asked for, a digest.

    Only those whose uid begins with `prefix`, if it is given.

    Raises
    ------
    InputError
        A line is no alert.
    """
    found: dict[str, Incident] = {}
    wanted = prefix.encode()
    for line in alerts:
        if wanted not in line:
            continue
        try:
            one = _ALERT.decode(line)
            told = one.unmapped
            if one.status_detail == CANARY or not one.finding_info.uid.startswith(prefix):
                continue
            if told.digest and not digests:
                continue
            found[one.finding_info.uid] = Incident(
                uid=one.finding_info.uid,
                detection=told.detection,
                tenant=one.metadata.tenant_uid,
                dimension=told.dimension,
                entity=told.entity,
                entities=told.entities,
                severity=one.severity_id,
                kept_back=one.status_detail,
            )
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"among the alerts is a line that is none ({error})") from error
    return found


def the_one(alerts: Iterable[bytes], uid: str, where: str, *, digests: bool = False) -> Incident:
    """The incident, or if it is asked for the digest, that a uid or the beginning of one names.

    Raises
    ------
    Refused
        It names none, or several.
    """
    begin = uid_begin(uid)
    found = incidents(alerts, begin, digests=digests)
    hint = "" if digests else "; of a digest judge the incidents it stands for, itself it is acknowledged or resolved"
    return found[only_uid(found, begin, where, hint)]


def uid_begin(text: str) -> str:
    """What somebody typed as a uid, or as the beginning of one, as uids are written.

    Raises
    ------
    Refused
        It is so short that it may name several.
    """
    begin = text.strip().lower()
    if len(begin) < LEAST_PREFIX:
        raise Refused(f"a uid has 32 hex digits; at least the first {LEAST_PREFIX} of them are needed")
    return begin


def only_uid(uids: Iterable[str], begin: str, where: str, hint: str = "") -> str:
    """The uid that begins so.

    Raises
    ------
    Refused
        None does, or several do.
    """
    found = [uid for uid in uids if uid.startswith(begin)]
    if not found:
        raise Refused(f"no incident in {where} begins with {shown(begin)}{hint}")
    if len(found) > 1:
        raise Refused(f"{len(found)} incidents of {where} begin so; give more of the uid")
    return found[0]


def verdict_on(incident: Incident, word: Word, note: str, by: str, now: float | None = None) -> Verdict:
    """A verdict on an incident, given at `now` (epoch seconds; the present if left out)."""
    about = {name: getattr(incident, name) for name in Subject.__struct_fields__}
    return Verdict(**about, time=int(1000 * (time.time() if now is None else now)), verdict=word, note=note, by=by)
