"""Simulated audit events as lines of JSON, with the labels of the attacks among them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.errors import UsageError
from flows.formats import vocabulary
from flows.formats.truth import Truth
from models.simulation import operations as op
from models.simulation.attacks import Attack, carry_out, plan
from models.simulation.population import Newcomers, population
from models.simulation.rhythm import rhythm
from models.simulation.traffic import Traffic

DEFAULT_START: Final = datetime(2026, 11, 2, tzinfo=UTC)
_BLOCK: Final = 16_384
_CHUNK: Final = 8_192
_MOST_USERS: Final = 500_000
_LATENCY: Final = tuple(f"{tenths // 10}.{tenths % 10}}}\n" for tenths in range(10_000))


@dataclass(slots=True, frozen=True)
class Chunk:
    """Some next lines of a run: whole lines of UTF-8, how many, and the attacks that ended in them."""

    lines: bytes
    count: int
    truth: list[Truth]


def simulate(
    events: int,
    seed: int,
    hours: float | None = None,
    start: datetime | None = None,
    users: int | None = None,
    attacks: bool = True,
) -> Iterator[Chunk]:
    """Exactly `events` audit events in order of arrival, the same bytes for the same arguments.

    Visits begin within `hours` from `start` (the last may end some minutes later). By default 300,000 events take 24
    hours and no run less than one, so that a run holds enough one-minute windows to learn from; with few hours the
    platform is simply busier. Events are at most 4 seconds out of order. `users` defaults to one for 40 events, within
    5,000 and 50,000; with much fewer, or in a much busier run, single people are active enough to cross a rule
    honestly now and then.

    Memory is that of the users and of some 16,000 events. About 6 microseconds an event.

    Raises
    ------
    UsageError
        An argument is out of its range.

    Examples
    --------
    >>> chunks = list(simulate(3_000, seed=7))
    >>> sum(chunk.count for chunk in chunks), sum(chunk.lines.count(b"\\n") for chunk in chunks)
    (3000, 3000)
    >>> sorted({truth.kind for chunk in chunks for truth in chunk.truth})
    ['brute_force', 'deletion_surge', 'password_spray']
    """
    hours = max(events / 300_000 * 24, 1.0) if hours is None else hours
    users = min(max(events // 40, 5_000), 50_000) if users is None else users
    began = DEFAULT_START if start is None else start
    faults = []
    if not 1 <= events <= 10**11:
        faults.append(f"events must be from 1 to 1e11, not {events}")
    if not 0 <= seed < 2**64:
        faults.append(f"seed must be from 0 to 2**64 - 1, not {seed}")
    if not 0.01 <= hours <= 24 * 3_660:
        faults.append(f"hours must be from 0.01 to 87,840, not {hours:g}")
    if not 50 <= users <= _MOST_USERS:
        faults.append(f"users must be from 50 to {_MOST_USERS:,}, not {users}")
    if began.tzinfo is None or not 2000 <= began.year <= 2080:
        faults.append("start must have an offset and lie in 2000 to 2080")
    if faults:
        raise UsageError("; ".join(faults))
    return _chunks(events, seed, hours, int(began.timestamp()) * 1_000_000, users, attacks)


def _chunks(events: int, seed: int, hours: float, start: int, users: int, attacks: bool) -> Iterator[Chunk]:
    curve = rhythm(start, hours)
    streams = [np.random.Generator(np.random.PCG64([seed, number])) for number in range(4)]
    people = population(streams[0], users)
    newcomers = Newcomers(len(people.addresses))
    planned = plan(streams[1], people, curve, events, newcomers) if attacks else []
    texts, entities = vocabulary.addresses(newcomers.joined(people.addresses))
    lines = _Lines(
        seed, [vocabulary.identity(u, t) for u, t in enumerate(people.tenant.tolist())], texts, people.tenant
    )
    labels = _Labels(planned, entities, people.tenant)

    ordinary = events - sum(attack.size for attack in planned)
    traffic = Traffic(streams[2], people, curve)
    blocks = max(-(-ordinary // _BLOCK), 1)
    waiting = np.empty(0, op.ROW)
    next_attack = 0
    for block in range(blocks):
        until = int(curve.at((block + 1) / blocks))
        size = ordinary * (block + 1) // blocks - ordinary * block // blocks
        parts = [waiting, traffic.block(block / blocks, (block + 1) / blocks, size)]
        while next_attack < len(planned) and (planned[next_attack].start < until or block + 1 == blocks):
            parts.append(carry_out(streams[3], planned[next_attack], next_attack))
            next_attack += 1
        rows = np.concatenate(parts)
        rows = rows[np.argsort(rows["arrival"], kind="stable")]
        ready = len(rows) if block + 1 == blocks else int(np.searchsorted(rows["arrival"], until))
        waiting = rows[ready:]
        for at in range(0, ready, _CHUNK):
            yield labels.chunk(lines, rows[at : min(at + _CHUNK, ready)])


@dataclass(slots=True)
class _Labels:
    """Gathers each attack's events until it is complete."""

    planned: list[Attack]
    addresses: list[str]
    tenant: NDArray[np.int8]
    _found: dict[int, tuple[list[int], list[str]]] = field(default_factory=dict)

    def chunk(self, lines: "_Lines", rows: NDArray[np.void]) -> Chunk:
        first = lines.written
        text = lines.text(rows)
        complete: list[Truth] = []
        for row in np.flatnonzero(rows["attack"] >= 0).tolist():
            number = int(rows["attack"][row])
            times, ids = self._found.setdefault(number, ([], []))
            times.append(int(rows["time"][row]))
            ids.append(lines.id(first + row))
            if len(ids) == self.planned[number].size:
                complete.append(self._truth(number))
        return Chunk(text, len(rows), complete)

    def _truth(self, number: int) -> Truth:
        attack = self.planned[number]
        times, ids = self._found.pop(number)
        users: list[str] = []
        if attack.actor >= 0:
            users = [f"u-{attack.actor}"]
        elif attack.kind != "deletion_surge":
            users = [self._name(user, attack.kind == "password_spray") for user in attack.users]
        flood = attack.kind == "traffic_spike"
        entities = {
            "ip": sorted({self.addresses[source] for source in attack.sources}),
            "user": users,
            "endpoint": [op.OPERATIONS[attack.operation].path] if flood else [],
            "tenant": [vocabulary.TENANTS[attack.tenant]] if attack.tenant_moves else [],
        }
        return Truth(
            f"{attack.kind}-{number:03d}", attack.kind, entities, _rfc3339(min(times)), _rfc3339(max(times)), ids
        )

    def _name(self, user: int, sprayed: bool) -> str:
        name = vocabulary.username(user, int(self.tenant[user]))
        return vocabulary.mistyped(name) if sprayed and user % 5 == 0 else name


def _rfc3339(time: int) -> str:
    return f"{np.datetime64(time // 1000, 'ms')}Z"


def _bytewise(text: str) -> str:
    return text.encode().decode("latin-1")


class _Lines:
    """Rows to lines: pieces of JSON that are made once, put together event by event.

    Pieces hold UTF-8 as one character for each byte, so that a chunk is turned into bytes by copying it.
    """

    def __init__(self, seed: int, people: list[str], addresses: list[str], tenant: NDArray[np.int8]) -> None:
        self.written = 0
        self._tag = f"e{seed:x}-"
        self._people = people
        self._addresses = [_bytewise(text) for text in addresses]
        self._tenant = tenant
        results = len(op.RESULTS)
        calls = [vocabulary.call(code // results, code % results) for code in range(len(op.OPERATIONS) * results)]
        self._heads = [f'"tenant":"{name}",{did}' for name in vocabulary.TENANTS for did, _, _ in calls]
        agents = [_bytewise(agent) for agent in vocabulary.AGENTS]
        self._tails = [f"{agent}{before}{after}" for agent in agents for _, before, after in calls]
        self._parts = [(f"{agent}{before}8f3a", after) for agent in agents for _, before, after in calls]
        self._calls = len(calls)
        self._holed = np.array(["{id}" in operation.path for operation in op.OPERATIONS])

    def id(self, number: int) -> str:
        """The id of the run's event with this number."""
        return f"{self._tag}{number}"

    def text(self, rows: NDArray[np.void]) -> bytes:
        """The rows' lines, in their order."""
        times = np.datetime_as_string((rows["time"] // 1000).astype("M8[ms]")).tolist()
        calls = rows["operation"].astype(np.int64) * len(op.RESULTS) + rows["result"]
        people, addresses, tag = self._people, self._addresses, self._tag
        who = [people[user] for user in rows["user"].tolist()]
        for row in np.flatnonzero(rows["wording"]).tolist():
            who[row] = self._wording(rows[row])
        heads = [self._heads[head] for head in (rows["tenant"].astype(np.int64) * self._calls + calls).tolist()]
        ends = rows["agent"].astype(np.int64) * self._calls + calls
        tails = [self._tails[end] for end in ends.tolist()]
        holed = np.flatnonzero(self._holed[rows["operation"]])
        for row, end, hole in zip(holed.tolist(), ends[holed].tolist(), rows["hole"][holed].tolist(), strict=True):
            before, after = self._parts[end]
            tails[row] = f"{before}{hole:08x}{after}"
        columns = (
            times, heads, who, rows["session"].tolist(), rows["request"].tolist(), rows["ip"].tolist(),
            rows["device"].tolist(), tails, rows["latency"].tolist(),
        )  # fmt: skip
        lines = [
            f'{{"time":"{time}Z","id":"{tag}{number}",{head}{person}"session":"s-{session:x}","request_id":"r-{request:x}",'
            f'{addresses[ip]}"device":"d-{device:x}",{tail}{_LATENCY[latency]}'
            for number, (time, head, person, session, request, ip, device, tail, latency) in enumerate(
                zip(*columns, strict=True), self.written
            )
        ]
        self.written += len(lines)
        return "".join(lines).encode("latin-1")

    def _wording(self, row: np.void) -> str:
        user, target, wording = int(row["user"]), int(row["target"]), int(row["wording"])
        if wording == op.MISTYPED:
            name = vocabulary.mistyped(vocabulary.username(user, int(self._tenant[user])))
            return f'"username":"{name}",'
        if wording == op.ADMINISTRATIVE:
            return f'"user":"u-{target}","actor":"u-{user}","actor_type":"admin","target":"u-{target}",'
        if wording == op.KEYED:
            return f'"actor_type":"api_key","api_key":"key-{int(row["ip"]) % 97}","target":"u-{target}",'
        if wording == op.CHANGING:
            number = int(row["request"]) % 9_000 + 1_000
            path, old, new = (
                ("email", f"old{number}@mail.example", f"new{number}@mail.example")
                if row["operation"] == op.EMAIL_CHANGE
                else ("phone", f"+31 6 {number}", f"+31 6 {number + 1}")
            )
            return f'{self._people[user]}"changes":[{{"path":"{path}","old":"{old}","new":"{new}"}}],'
        return ""
