"""The canary: attacks of our own, whether each was found, and what that says of the last weeks."""

import fcntl
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from flows.canary_block import Canary
from flows.config import Config
from flows.connectors.kafka_lines import LineSender
from flows.connectors.output_directory import SCORED, SUPPRESSED
from flows.connectors.topic_tail import TopicTail
from flows.durable import cannot_write, sync
from flows.errors import ConfigError, InputError, Refused
from flows.formats.canary import attack, attacker_of, finding, incident_of, tick, username
from flows.log import Say
from flows.result_lines import lines, raw_lines
from flows.steps.deliver import ALERT_HEADERS
from models.alert import CANARY
from models.rules.brute_force_user import BruteForceUser

LOG: Final = "canary.ndjson"
_TICK_S: Final = 10.0
_LOOK_S: Final = 0.5
_CATCH_UP_S: Final = 5.0
"""So long a watch that begins looks for what came before it, ere it calls that missed."""
_DAY_S: Final = 86_400
_SHOWN_MISSED: Final = 50
Moment = Annotated[int, Meta(ge=0, le=1 << 53)]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log: an attack that was sent, found, or missed. Times are wall clock, epoch milliseconds."""

    user: Annotated[str, Meta(max_length=128)]
    what: Literal["sent", "found", "missed"]
    time: Moment
    uid: Annotated[str, Meta(max_length=64)] = ""


class Attack(msgspec.Struct, kw_only=True):
    """An attack and what became of it. `sent` is epoch seconds, `delay_s` from then to its incident."""

    user: str
    sent: float
    outcome: Literal["waiting", "found", "missed"] = "waiting"
    delay_s: float | None = None
    uid: str = ""


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """An attack whose incident did not come in time."""

    sent: float
    user: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the attacks of some days say. `expected` is how many there should have been since the first of them.

    `longest_without_s` is the longest time without one that was found, up to now; delays are seconds, None without any.
    """

    days: int
    attacks: int
    expected: int
    found: int
    missed: int
    waiting: int
    delay_median_s: float | None
    delay_p95_s: float | None
    delay_most_s: float | None
    longest_without_s: float
    last_missed: list[Missed]


class Seen:
    """What a watch shows of itself to whoever asks."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.sent = self.found = self.missed = 0
        self.last_found: float | None = None
        self.delay_s: float | None = None
        self.ready = False

    def count(self, attacks: Iterable[Attack]) -> None:
        """Take over what an earlier watch has done, so that counters go on."""
        for one in attacks:
            self.sent += 1
            if one.outcome == "found":
                self.take(one)
            self.missed += one.outcome == "missed"

    def take(self, one: Attack) -> None:
        """One was found."""
        self.found += 1
        self.delay_s = one.delay_s
        self.last_found = one.sent + (one.delay_s or 0)


def failures(config: Config) -> int:
    """How many failed logins an attack needs: what the detection `brute_force_user` asks for.

    Raises
    ------
    ConfigError
        There is no canary, or no such detection.
    """
    if not config.canary.tenant:
        raise ConfigError(['there is no canary: give it a tenant of its own, [canary] tenant = "lapwing-canary"'])
    for rule in config.detection:
        if isinstance(rule, BruteForceUser):
            return rule.at_least
    raise ConfigError(["[canary] needs a detection of type brute_force_user: its incident is what is waited for"])


def once(config: Config, second: int) -> tuple[str, list[bytes]]:
    """The attack of a second since the epoch: its user, and its events as lines without LF."""
    canary, many = config.canary, failures(config)
    key = canary.key()
    return username(key, canary.tenant, second), attack(key, canary.tenant, canary.endpoint, second, many)


class Log:
    """The attacks of a state directory, and a lock: one watch writes it at a time.

    Raises
    ------
    Refused
        Another watch has it.
    """

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / LOG
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise Refused(f"another canary is using {directory}") from None
        self.attacks = read(self.path)
        self._mend()

    def add(self, line: Line) -> None:
        """One line; it is durable when this returns."""
        try:
            os.write(self._file, msgspec.json.encode(line) + b"\n")
            os.fsync(self._file)
            sync(self.path.parent)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def _mend(self) -> None:
        """A last line that a crash has cut off goes; it was never acted on."""
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.ftruncate(self._file, data.rfind(b"\n") + 1)


def read(path: Path) -> dict[str, Attack]:
    """The attacks of a log by their user, in the order in which they were sent; none if there is no log."""
    attacks: dict[str, Attack] = {}
    if not path.exists():
        return attacks
    whole = path.read_bytes().endswith(b"\n")
    found = lines(path, Line, "no line of a canary's log")
    while True:
        try:
            line = next(found)
        except StopIteration:
            break
        except InputError:
            if whole:
                raise
            break
        one = attacks.setdefault(line.user, Attack(user=line.user, sent=line.time / 1000))
        if line.what != "sent" and one.outcome != "found":
            one.outcome, one.uid = line.what, line.uid
            one.delay_s = line.time / 1000 - one.sent if line.what == "found" else None
    return attacks


def watch(config: Config, state: str, stop: threading.Event, seen: Seen, tell: Say, count: int | None = None) -> int:
    """Attack, wait for the incident, say so when it stays away; again until `stop`, or `count` times. How many missed.

    What was sent before a stop or a crash is waited for by the next watch, which sends the next attack when it is due.

    Raises
    ------
    LapwingError
        A broker is away, a topic is missing, or the log cannot be written: whoever restarts it, may.
    """
    kafka, canary = config.kafka, config.canary
    failures(config)
    canary.key()
    log = Log(state)
    try:
        seen.count(log.attacks.values())
        waiting = {one.user: one for one in log.attacks.values() if one.outcome == "waiting"}
        since = min((one.sent for one in waiting.values()), default=time.time())
        told = Told(config, _open_findings(log.attacks.values()))
        last = max((one.sent for one in log.attacks.values()), default=-math.inf)
        # Attacks bear the time of their events, and so may their incidents
        with (
            TopicTail(kafka, kafka.topics.suppressed, int((since - 2) * 1000)) as tail,
            LineSender(kafka) as sender,
        ):
            seen.ready = True
            sent = missed = 0
            ticked = 0.0
            began = time.time()
            while not stop.is_set() and (count is None or sent < count or waiting):
                now = time.time()
                if (count is None or sent < count) and now >= last + canary.every_s:
                    one = _send(config, sender, log)
                    waiting[one.user], last, ticked = one, one.sent, now
                    sent += 1
                    seen.sent += 1
                if waiting and now >= ticked + _TICK_S:
                    ticked = now
                    for one in waiting.values():
                        sender.send(tick(canary.tenant, canary.endpoint, int(now * 1000)), one.user.encode())
                    sender.flush()
                for line in tail.take(_LOOK_S):
                    there = incident_of(line, canary.tenant, CANARY)
                    if there is None or (found := waiting.get(there[0])) is None:
                        continue
                    delay_s = time.time() - found.sent
                    if delay_s > canary.within_s:  # nobody looked meanwhile: it may have come in time
                        delay_s = there[2] / 1000 - found.sent
                    if delay_s > canary.within_s:
                        continue
                    del waiting[found.user]
                    found.outcome, found.uid, found.delay_s = "found", there[1], max(0.0, delay_s)
                    log.add(
                        Line(user=found.user, what="found", time=int((found.sent + found.delay_s) * 1000), uid=there[1])
                    )
                    seen.take(found)
                    told.over(tell)
                now = time.time()
                for one in [
                    one for one in waiting.values() if now > max(one.sent + canary.within_s, began + _CATCH_UP_S)
                ]:
                    del waiting[one.user]
                    told.missing(one, tell)
                    log.add(Line(user=one.user, what="missed", time=int(time.time() * 1000)))
                    seen.missed += 1
                    missed += 1
            return missed
    finally:
        log.close()


class Told:
    """The findings of missed attacks in the topic of alerts; `open` are those that no later attack has ended."""

    def __init__(self, config: Config, open: list[str]) -> None:
        self._config, self._open = config, open

    def missing(self, one: Attack, tell: Say) -> None:
        """One stayed away. The same attack gives the same finding, if a crash has it told again."""
        tell(f"canary {one.user}: no incident within {self._config.canary.within}", "canary_missing", "warning")
        self._write([self._finding(one.user)])
        self._open.append(one.user)

    def over(self, tell: Say) -> None:
        """One was found: what was open is closed."""
        if self._open:
            tell("the canary was found again", "canary_found")
            now = int(time.time() * 1000)
            self._write([self._finding(user, now) for user in self._open])
            self._open.clear()

    def _finding(self, user: str, over_ms: int = 0) -> bytes:
        canary = self._config.canary
        second = int(user.split("-")[1])
        return finding(canary.tenant, user, second, canary.within, canary.within_s, version("lapwing"), over_ms)

    def _write(self, findings: list[bytes]) -> None:
        kafka = self._config.kafka
        with LineSender(kafka, topic=kafka.topics.alerts, headers=ALERT_HEADERS) as sender:
            for line in findings:
                sender.send(line, msgspec.json.decode(line)["finding_info"]["uid"].encode())


def _send(config: Config, sender: LineSender, log: Log) -> Attack:
    user, events = once(config, int(time.time()) - 1)
    one = Attack(user=user, sent=time.time())
    for event in events:
        sender.send(event, user.encode())
    sender.flush()
    log.add(Line(user=user, what="sent", time=int(one.sent * 1000)))
    return one


def _open_findings(attacks: Iterable[Attack]) -> list[str]:
    """The users of the attacks that were missed since one was last found."""
    users: list[str] = []
    for one in attacks:
        if one.outcome == "found":
            users.clear()
        elif one.outcome == "missed":
            users.append(one.user)
    return users


def of_results(directory: str | Path, canary: Canary) -> list[Attack]:
    """The attacks among a folder's scored events, and whether each has its incident; a delay is not known.

    Raises
    ------
    InputError
        There are no results.
    """
    key = canary.key()
    attacks: dict[str, Attack] = {}
    for line in _results(Path(directory) / SCORED):
        if (found := attacker_of(line, key, canary.tenant)) is not None:
            attacks.setdefault(found[0], Attack(user=found[0], sent=float(found[1]), outcome="missed"))
    if (path := Path(directory) / SUPPRESSED).is_file():
        for line in raw_lines(path):
            if (told := incident_of(line, canary.tenant, CANARY)) is not None and told[0] in attacks:
                attacks[told[0]].outcome, attacks[told[0]].uid = "found", told[1]
    return list(attacks.values())


def _results(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; `lapwing detect --output {path.parent}` writes it")
    yield from raw_lines(path)


def report(attacks: Iterable[Attack], days: int, every_s: float, now: float) -> Report:
    """What the attacks of the last days before `now` (epoch seconds) say.

    >>> made = report([Attack(user="a", sent=0, outcome="found", delay_s=9.0), Attack(user="b", sent=3600,
    ...     outcome="missed")], 90, 3600, 7200.0)
    >>> made.expected, made.found, made.missed, made.longest_without_s
    (2, 1, 1, 7200.0)
    """
    mine = sorted((one for one in attacks if now - days * _DAY_S <= one.sent <= now), key=lambda one: one.sent)
    by = {outcome: [one for one in mine if one.outcome == outcome] for outcome in ("found", "missed", "waiting")}
    delays = sorted(one.delay_s for one in by["found"] if one.delay_s is not None)
    heard = [mine[0].sent if mine else now, *(one.sent for one in by["found"]), now]
    return Report(
        days=days,
        attacks=len(mine),
        expected=math.ceil((now - mine[0].sent) / every_s) if mine else 0,
        found=len(by["found"]),
        missed=len(by["missed"]),
        waiting=len(by["waiting"]),
        delay_median_s=_of(delays, 0.5),
        delay_p95_s=_of(delays, 0.95),
        delay_most_s=_of(delays, 1.0),
        longest_without_s=round(max(b - a for a, b in pairwise(heard)), 3),
        last_missed=[Missed(sent=one.sent, user=one.user) for one in by["missed"][-_SHOWN_MISSED:]],
    )


def _of(ordered: list[float], share: float) -> float | None:
    """The least that so large a share does not exceed."""
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3) if ordered else None


def append(path: str, events: list[bytes]) -> None:
    """Write events to the end of a file, one a line.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        with open(path, "ab") as file:
            file.write(b"".join(event + b"\n" for event in events))
    except OSError as error:
        raise cannot_write(Path(path), error) from error
