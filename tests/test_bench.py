"""The benchmark runs, and its figures hang together. How fast anything is, is not asserted."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import alone, run, stops

EVENTS = 3_000


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    told = []
    figures = run.measure(folder, EVENTS, rounds=1, seed=3, say=told.append)
    assert told
    return json.loads(json.dumps(figures))


def test_every_event_is_measured_and_scored(figures):
    assert figures["events"] == EVENTS
    assert figures["reference_events"] == min(EVENTS, run.REFERENCE_EVENTS)
    assert 300 < figures["bytes_an_event"] < 1000
    assert all(ns > 0 for ns in figures["ns_an_event"].values())
    assert figures["ns_an_event"]["detect_process"] > figures["ns_an_event"]["detect"]
    assert figures["peak_mib"] > 10


def test_ratios_are_those_of_the_times(figures):
    ns = figures["ns_an_event"]
    assert figures["detect_over_typed_decode"] == pytest.approx(ns["typed_decode"] / ns["detect"])
    assert figures["detect_over_reference"] == pytest.approx(ns["reference"] / ns["detect"])


@pytest.mark.parametrize("yardstick", alone.YARDSTICKS)
def test_a_yardsticks_process_loads_nothing_of_lapwing(yardstick):
    loaded = f"import sys, benchmarks.alone, benchmarks.{yardstick}; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", loaded], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert f"benchmarks.{yardstick}" in names
    assert not [name for name in names if name.partition(".")[0] in ("flows", "models", "numba")]


def test_a_yardstick_alone_reads_as_many_lines_as_it_is_told(tmp_path):
    events = tmp_path / "events.ndjson"
    events.write_bytes(b'{"time":"2026-11-02T00:00:00Z","ip":"192.0.2.1"}\n' * 3 + b"{")
    assert alone.seconds("plain_loop", events, 3, spared=True) > 0
    with pytest.raises(subprocess.CalledProcessError):
        alone.seconds("plain_loop", events, 4)


def test_every_stop_is_on_the_path(figures):
    unseen = {stop for stop, ns in figures["stops"].items() if not ns}
    assert unseen <= {"decode: unusual events", "encode alerts", "assess: behaviour"}, (
        "a renamed function is no longer measured"
    )


def test_the_table_names_every_figure_and_no_place(figures):
    text = run.table(figures)
    for stop in (*(stop for stop, _ in stops.STOPS), stops.ENGINE):
        assert stop in text
    assert "typed decode" in text
    assert "straightforward flow" in text
    assert "/tmp" not in text + json.dumps(figures)


def test_the_section_of_the_page_has_what_is_calculated_with(figures):
    section = run.section(figures)
    assert section.table == run.table(figures)
    assert section.figures["run.decode_share"] == figures["detect_over_typed_decode"]
    assert {"run.bytes_an_event", "run.result_bytes_an_event"} <= set(section.figures)
    assert 300 < section.figures["run.result_bytes_an_event"] < 3_000
    assert section.picture.count("<rect") == 1 + len(figures["stops"])


def test_no_bench_imports_numba_before_it_is_said_where_kernels_are_kept():
    """Else it would compile them beside their sources, and go on with them when what they call has changed."""
    benches = [*Path(run.__file__).parent.glob("*.py")]
    assert not [path.name for path in benches if re.search(r"^(import|from) numba", path.read_text(), re.MULTILINE)]


def test_clocks_count_a_nested_stop_once():
    clocks = stops.Clocks()

    def burn(n):
        return sum(i * i for i in range(n))

    inner = clocks.around("inner", burn)
    outer = clocks.around("outer", lambda: inner(300_000))
    outer()
    assert clocks.seconds["inner"] > 10 * clocks.seconds["outer"] > 0
