"""What the measured figures come to: an estimate for very many events, the capacity table, and README's summary.

Everything here is arithmetic on the figures of docs/performance.md and on the assumptions below. What was not measured
is left out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from textwrap import fill
from typing import Final

Figures = Mapping[str, float]
"""By name, `bench.figure`."""
DAY_S: Final = 86_400
PEAK: Final = 3.0
"""The busiest hour beside the mean."""
LOAD: Final = 0.5
"""The share of the measured speed that is planned with: an hour's outage at the peak is caught up with in an hour."""
EVENTS_AN_ENTITY: Final = 50.0
"""Events a day for each entity that is to be remembered."""
MOST_ENTITIES: Final = 100_000_000
"""No `max_entities` may be larger: what comes beyond it drives out what was longest unseen."""
STATE_COPIES: Final = 3
"""What a state directory holds at most, beside what is current (docs/operations.md, "Lost or damaged state")."""
EVENTS: Final = (1e9, 1e10)
SIZES: Final = ((1_000, 100_000), (5_000, 500_000), (20_000, 1_000_000), (50_000, 3_000_000), (200_000, 10_000_000))
"""Rows of the capacity table: events a second at the peak, and entities."""
_GIB: Final = float(1 << 30)
_MIB: Final = float(1 << 20)

SUMS: Final = {
    "processes": (
        "processes of `detect`",
        "peak / ({0[kafka_speed.events_a_second]:,.0f} events/s of one process x {1}), "
        "if that is more than 1 also / {0[kafka_speed.cpu_share]:.2f}, rounded up",
    ),
    "cores": (
        "cores of `detect`",
        "peak / ({0[kafka_speed.events_a_cpu_second]:,.0f} events a second of processor time x {1}), "
        "with several processes also / {0[kafka_speed.cpu_share]:.2f}, rounded up",
    ),
    "memory_gib": (
        "memory of `detect`, GiB",
        "entities x {0[memory.bytes_an_entity]:,.0f} bytes + processes x {0[memory.other_mib]:,.0f} MiB",
    ),
    "state_gib": (
        "disk of the state, GiB",
        "entities x {0[snapshots.bytes_an_entity]:,.1f} bytes x {2}",
    ),
    "topics_gib": (
        "disk of the topics, GiB a day",
        "mean x 86,400 s x ({0[run.bytes_an_event]:,.0f} bytes that come + {0[run.result_bytes_an_event]:,.0f} of "
        "results)",
    ),
    "trail_cores": (
        "cores of `archive`",
        "mean / ({0[archive.events_a_core_second]:,.0f} events/s of a core x {1}), rounded up",
    ),
    "trail_gib": (
        "disk of the trail, GiB a day",
        "mean x 86,400 s x {0[archive.bytes_an_event]:,.0f} bytes",
    ),
}
"""By what is needed: its name, and the sum in words (of figures, `LOAD` and `STATE_COPIES`)."""


def need(peak: float, entities: float, figures: Figures) -> dict[str, float]:
    """What so many events a second at the peak, and so many entities, take; without what was not measured.

    >>> need(3_000.0, 1e6, {"archive.events_a_core_second": 20_000.0, "archive.bytes_an_event": 800.0})["trail_cores"]
    1
    """
    f, mean = figures, peak / PEAK
    known = {name for name, (_, sums) in SUMS.items() if named(sums) <= f.keys()}
    found: dict[str, float] = {}
    if "processes" in known:
        alone = peak / (f["kafka_speed.events_a_second"] * LOAD)
        found["processes"] = ceil(alone / f["kafka_speed.cpu_share"]) if alone > 1 else 1
    if {"processes", "cores"} <= known:
        share = f["kafka_speed.cpu_share"] if found["processes"] > 1 else 1.0
        found["cores"] = ceil(peak / (f["kafka_speed.events_a_cpu_second"] * share * LOAD))
    if {"processes", "memory_gib"} <= known:
        others = found["processes"] * f["memory.other_mib"] * _MIB
        found["memory_gib"] = (entities * f["memory.bytes_an_entity"] + others) / _GIB
    if "state_gib" in known:
        found["state_gib"] = entities * f["snapshots.bytes_an_entity"] * STATE_COPIES / _GIB
    if "topics_gib" in known:
        found["topics_gib"] = mean * DAY_S * (f["run.bytes_an_event"] + f["run.result_bytes_an_event"]) / _GIB
    if "trail_cores" in known:
        found["trail_cores"] = ceil(mean / (f["archive.events_a_core_second"] * LOAD))
    if "trail_gib" in known:
        found["trail_gib"] = mean * DAY_S * f["archive.bytes_an_event"] / _GIB
    return found


def estimate(figures: Figures) -> str:
    """The section about a billion events a day and ten, with its sums."""
    peaks = [each / DAY_S * PEAK for each in EVENTS]
    entities = [min(each / EVENTS_AN_ENTITY, MOST_ENTITIES) for each in EVENTS]
    needs = [need(peak, known, figures) for peak, known in zip(peaks, entities, strict=True)]
    if not needs[0]:
        return ""
    rows = [
        ("events/s, mean", *(_number(peak / PEAK) for peak in peaks), "events / 86,400 s"),
        ("events/s, peak", *(_number(peak) for peak in peaks), f"mean x {PEAK:g}"),
        ("entities", *map(_number, entities), f"events / {EVENTS_AN_ENTITY:g}, at most {MOST_ENTITIES:,}"),
        *((SUMS[name][0], *(_number(each[name]) for each in needs), sum_of(name, figures)) for name in needs[0]),
    ]
    most = f"{figures['kafka_speed.processes']:.0f} processes" if "kafka_speed.processes" in figures else "one process"
    said = (
        "Nobody has run that much: it is what the figures of this page come to if cost stays in proportion. More than "
        f"{most} over one topic were not measured, nor a network between machines. Assumed: the busiest hour has "
        f"{PEAK:g} times the mean; {LOAD:.0%} of the measured speed is planned with, so that an hour's outage at the "
        "peak is caught up with in an hour; an entity that is to be remembered has "
        f"{EVENTS_AN_ENTITY:g} events a day, and a tenth of the entities is active at once. Topics are told for one "
        "replica, as they are before compression; the brokers' own cores are not in it. `detect` takes at most one "
        "process for each partition; `archive` is one process on one core, so more than one core of it means as many "
        "topics and trails."
    )
    head = ("", *(f"{each / 1e9:g} billion a day" for each in EVENTS), "the sum")
    title = "## An estimate for 1 and 10 billion events a day"
    return "\n".join([title, "", fill(said, 120), "", *_table(head, rows), ""])


def capacity(figures: Figures) -> str:
    """The capacity table of docs/operations.md."""
    needs = [need(peak, entities, figures) for peak, entities in SIZES]
    if not needs[0]:
        return ""
    head = ("events/s at the peak", "entities", *(SUMS[name][0] for name in needs[0]))
    rows = [
        (_number(peak), _number(entities), *(_number(value) for value in each.values()))
        for (peak, entities), each in zip(SIZES, needs, strict=True)
    ]
    return "\n".join(["", *_table(head, rows), ""]) + "\n"


def summary(figures: Figures) -> str:
    """What README says was measured."""
    f, out = figures, [""]
    if "run.decode_share" in f:
        rows = [
            (
                "speed, as a share of only decoding the same lines into typed structs",
                f"{f['run.decode_share']:.2f}", f"{f['run.behaviour_decode_share']:.2f}", "0.30",
            ),
            (
                "speed, beside the straightforward flow (dicts, Bytewax windows, River's trees)",
                f"{f['run.reference_times']:.0f} times", f"{f['run.behaviour_reference_times']:.0f} times", "100",
            ),
            (
                "speed, beside a plain loop over dicts that counts and keeps three means",
                f"{f['run.plain_share']:.2f}", f"{f['run.behaviour_plain_share']:.2f}", "1",
            ),
            (
                "events/s, file to files",
                f"{f['run.events_a_second']:,.0f}", f"{f['run.behaviour_events_a_second']:,.0f}", "",
            ),
        ]  # fmt: skip
        out += [*_table(("", "defaults", "and behaviour", "aim"), rows), ""]
    out += ["- " + text.format(f) for text in _SAID if named(text) <= f.keys()]
    return "\n".join(out) + "\n" if len(out) > 1 else ""


_SAID: Final[Sequence[str]] = (
    "Topic to topics: {0[kafka_speed.events_a_second]:,.0f} events/s, {0[kafka_speed.decode_share]:.2f} of only "
    "consuming and decoding (aim 0.40); {0[kafka_speed.processes]:.0f} processes do {0[kafka_speed.cpu_share]:.2f} "
    "of the events of one for each second of processor time (aim 0.75).",
    "At {0[kafka_latency.rate]:,.0f} events/s a scored event is visible after {0[kafka_latency.event_p50_s]:.1f} s "
    "(p99 {0[kafka_latency.event_p99_s]:.1f}; aim 3), an alert {0[kafka_latency.alert_p50_s]:.1f} s (p99 "
    "{0[kafka_latency.alert_p99_s]:.1f}; aim 13) after its crossing event.",
    "A restart with {0[kafka_restart.entities]:,.0f} entities takes {0[kafka_restart.seconds]:.1f} s (aim 10).",
    "{0[memory.one_shots]:,.0f} addresses and accounts, each seen once: {0[memory.peak_mib]:,.0f} MiB at most "
    "(aim 1,536).",
    "Eleven days at full speed (`make soak`), the last beside the one before: memory "
    "{0[soak.memory_change_mib]:+.1f} MiB (±{0[soak.memory_interval_mib]:.1f}), throughput "
    "{0[soak.speed_change]:+,.0f} events/s of {0[soak.events_a_second]:,.0f} (±{0[soak.speed_interval]:,.0f}).",
    "Into the trail: {0[archive.events_a_core_second]:,.0f} events/s of a core, "
    "{0[archive.bytes_an_event]:,.0f} bytes an event on disk.",
)
"""Sentences of the summary; one is said if all its figures are there."""

BLOCKS: Final[dict[str, Callable[[Figures], str]]] = {"estimate": estimate, "capacity": capacity, "summary": summary}
"""What a page may ask for: `<!-- calculated: NAME -->`."""


def named(text: str) -> set[str]:
    """The figures that a text has places for.

    >>> sorted(named("{0[a.x]:,.0f} of {0[b.y_s]:.2f} and {1}"))
    ['a.x', 'b.y_s']
    """
    return set(re.findall(r"\{0\[([\w.]+)\]", text))


def sum_of(name: str, figures: Figures) -> str:
    """A sum with its numbers."""
    return SUMS[name][1].format(figures, LOAD, STATE_COPIES)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _number(value: float) -> str:
    """As it is read: whole from ten on.

    >>> _number(115_740.7), _number(1.64), _number(1.0)
    ('115,741', '1.6', '1')
    """
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1g}" if value < 1 else f"{value:.1f}"
