"""Simulated audit events as lines of JSON, with the labels of the attacks among them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.errors import UsageError
from flows.formats import vocabulary
from flows.formats.truth import Truth
from models.simulation import operations as op
from models.simulation.attacks.attack import Attack, Scene
from models.simulation.attacks.plan import KINDS, plan
from models.simulation.bots import SHARE, Bots
from models.simulation.population import Newcomers, Population, population
from models.simulation.rhythm import HOUR_US, rhythm
from models.simulation.traffic import Traffic

ALL: Final = tuple(KINDS)
"""Every kind of attack."""
DEFAULT_START: Final = datetime(2026, 11, 2, tzinfo=UTC)
_BLOCK: Final = 16_384
_CHUNK: Final = 8_192
_MOST_USERS: Final = 500_000
_MOST_ATTACKS: Final = 5_000
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
    attacks: Sequence[str] = ALL,
    attack_count: int | None = None,
    attack_every: int | None = None,
) -> Iterator[Chunk]:
    """Exactly `events` audit events in order of arrival, the same bytes for the same arguments.

    Visits begin within `hours` from `start` (the last may end some minutes later). By default 300,000 events take 24
    hours and no run less than one, so that a run holds enough one-minute windows to learn from; with few hours the
    platform is simply busier. Events are at most 4 seconds out of order. `users` defaults to one for 40 events, within
    5,000 and 50,000; with much fewer, or in a much busier run, single people are active enough to cross a rule
    honestly now and then. `attacks` are kinds (none: an empty sequence), which take turns; how many there are follows
    from the events, or is `attack_count`, or one in `attack_every` microseconds behind the first quarter. The lines of
    a `dead_letter_surge` are lines, but no events.

    Memory is that of the users, of all attacks' events (at most 15 % of the run's) and of some 16,000 others. About 5
    microseconds an event.

    Raises
    ------
    UsageError
        An argument is out of its range.

    Examples
    --------
    >>> chunks = list(simulate(3_000, seed=7, attacks=("brute_force", "deletion_surge")))
    >>> sum(chunk.count for chunk in chunks), sum(chunk.lines.count(b"\\n") for chunk in chunks)
    (3000, 3000)
    >>> sorted({truth.kind for chunk in chunks for truth in chunk.truth})
    ['brute_force', 'deletion_surge']
    """
    hours = max(events / 300_000 * 24, 1.0) if hours is None else hours
    users = min(max(events // 40, 5_000), 50_000) if users is None else users
    began = DEFAULT_START if start is None else start
    unknown = [kind for kind in attacks if kind not in KINDS]
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
    if unknown:
        faults.append(f"no such attack: {', '.join(unknown)[:200]}; there are {', '.join(KINDS)}")
    if attack_count is not None and attack_every is not None:
        faults.append("a count of attacks and a time between them exclude each other")
    if attack_count is not None and not 1 <= attack_count <= _MOST_ATTACKS:
        faults.append(f"the count of attacks must be from 1 to {_MOST_ATTACKS:,}, not {attack_count}")
    if attack_every is not None and not attack_every * _MOST_ATTACKS >= hours * HOUR_US:
        faults.append(f"attacks must be at least {hours * 3_600 / _MOST_ATTACKS:.1f} seconds apart in so long a run")
    if faults:
        raise UsageError("; ".join(faults))
    return _chunks(
        events, seed, hours, int(began.timestamp()) * 1_000_000, users, tuple(attacks), attack_count, attack_every
    )


def _chunks(
    events: int,
    seed: int,
    hours: float,
    start: int,
    users: int,
    attacks: tuple[str, ...],
    attack_count: int | None,
    attack_every: int | None,
) -> Iterator[Chunk]:
    curve = rhythm(start, hours, seed)
    streams = [np.random.Generator(np.random.PCG64([seed, number])) for number in range(4)]
    people = population(streams[0], users)
    newcomers = Newcomers(len(people.addresses))
    planned = plan(Scene(streams[1], people, curve, events, newcomers), attacks, attack_count, attack_every)
    texts, entities = vocabulary.addresses(newcomers.joined(people.addresses))
    bots = len(people.bot_tenant)
    identities = [vocabulary.identity(u, t) for u, t in enumerate(people.tenant.tolist())]
    lines = _Lines(seed, identities + [vocabulary.bot_identity(bot) for bot in range(bots)], texts, people.tenant)
    labels = _Labels(planned, entities, people)

    others = events - sum(len(attack.rows) for attack in planned)
    traffic = Traffic(streams[2], people, curve)
    steady = Bots(streams[3], people, start, max(int(bots * hours * HOUR_US / (SHARE * max(others, 1))), 1_000))
    blocks = max(-(-others // _BLOCK), 1)
    waiting = np.empty(0, op.ROW)
    begun, next_attack = start, 0
    for block in range(blocks):
        until = int(curve.at((block + 1) / blocks))
        size = others * (block + 1) // blocks - others * block // blocks
        programs = steady.block(begun, until)[:size]
        people_do = traffic.block(block / blocks, (block + 1) / blocks, size - len(programs))
        parts = [waiting, programs, people_do]
        while next_attack < len(planned) and (planned[next_attack].start < until or block + 1 == blocks):
            parts.append(planned[next_attack].rows)
            next_attack += 1
        rows = np.concatenate(parts)
        rows = rows[np.argsort(rows["arrival"], kind="stable")]
        ready = len(rows) if block + 1 == blocks else int(np.searchsorted(rows["arrival"], until))
        waiting, begun = rows[ready:], until
        for at in range(0, ready, _CHUNK):
            yield labels.chunk(lines, rows[at : min(at + _CHUNK, ready)])


@dataclass(slots=True)
class _Labels:
    """Gathers the ids of each attack's events until it is complete."""

    planned: list[Attack]
    addresses: list[str]
    people: Population
    _found: dict[int, tuple[list[str], list[str]]] = field(default_factory=dict)

    def chunk(self, lines: "_Lines", rows: NDArray[np.void]) -> Chunk:
        first = lines.written
        text = lines.text(rows)
        entered = (rows["operation"] == op.LOGIN) & np.isin(rows["result"], (op.SUCCESS, op.CHALLENGE))
        complete: list[Truth] = []
        for row in np.flatnonzero(rows["attack"] >= 0).tolist():
            number = int(rows["attack"][row])
            ids, successes = self._found.setdefault(number, ([], []))
            ids.append(lines.id(first + row))
            if entered[row]:
                successes.append(ids[-1])
            if len(ids) == len(self.planned[number].rows):
                complete.append(self._truth(number))
        return Chunk(text, len(rows), complete)

    def _truth(self, number: int) -> Truth:
        attack = self.planned[number]
        rows = attack.rows
        ids, successes = self._found.pop(number)
        named = {
            "ip": sorted({self.addresses[source] for source in set(rows["ip"].tolist())}),
            "user": list(dict.fromkeys(name for row in rows if (name := self._user(row)))),
            "endpoint": sorted({op.OPERATIONS[call].path for call in set(rows["operation"].tolist())}),
            "tenant": [vocabulary.TENANTS[int(rows["tenant"][0])]],
        }
        return Truth(
            f"{attack.kind}-{number:03d}",
            attack.kind,
            {dimension: values if dimension in attack.dimensions else [] for dimension, values in named.items()},
            _rfc3339(attack.start),
            _rfc3339(attack.end),
            ids,
            list(KINDS[attack.kind].expected),
            successes,
        )

    def _user(self, row: np.void) -> str:
        user, wording = int(row["user"]), int(row["wording"])
        if user < 0 or wording in (op.KEYED, op.ANONYMOUS):
            return ""
        if user >= len(self.people):
            return vocabulary.bot_name(user - len(self.people))
        if wording == op.ADMINISTRATIVE:
            return f"u-{user}"
        name = vocabulary.username(user, int(self.people.tenant[user]))
        return vocabulary.mistyped(name) if wording == op.MISTYPED else name


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
        for row in np.flatnonzero((rows["wording"] != op.PLAIN) & (rows["wording"] != op.BROKEN)).tolist():
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
        for row in np.flatnonzero(rows["wording"] == op.BROKEN).tolist():
            lines[row] = vocabulary.broken(lines[row], int(rows["request"][row]))
        self.written += len(lines)
        return "".join(lines).encode("latin-1")

    def _wording(self, row: np.void) -> str:
        user, target, wording = int(row["user"]), int(row["target"]), int(row["wording"])
        if wording == op.MISTYPED:
            name = vocabulary.mistyped(vocabulary.username(user, int(self._tenant[user])))
            return f'"username":"{name}",'
        if wording == op.READING:
            return f'{self._people[user]}"target":"u-{target}",'
        if wording == op.ADMINISTRATIVE:
            return f'"user":"u-{target}","actor":"u-{user}","actor_type":"admin","target":"u-{target}",'
        if wording == op.KEYED:
            return f'"actor_type":"api_key","api_key":"key-9{int(row["ip"]) % 97:02d}","target":"u-{target}",'
        if wording == op.CHANGING:
            number = int(row["request"]) % 9_000 + 1_000
            path, old, new = (
                ("email", f"old{number}@mail.example", f"new{number}@mail.example")
                if row["operation"] == op.EMAIL_CHANGE
                else ("phone", f"+31 6 {number}", f"+31 6 {number + 1}")
            )
            return f'{self._people[user]}"changes":[{{"path":"{path}","old":"{old}","new":"{new}"}}],'
        return ""
