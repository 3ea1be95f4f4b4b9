"""docs/performance.md: a bench replaces its own block and nothing else, and what is calculated is what it says."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import archive, bars, capacity, page, slider
from benchmarks.page import Circumstances, Section
from flows.config import load
from flows.errors import ConfigError

ROOT = Path(__file__).parent.parent
PAGE = """# What it costs

<!-- calculated: estimate -->
<!-- end -->

<!-- run: python -m benchmarks.a -->
<!-- end -->

By hand.

<!-- run: python -m benchmarks.a --more -->
<!-- end -->
"""
ON = Circumstances("0123456", "2026-11-30", "2 cores (Some Processor), 8.0 GiB, Python 3.11.2", 240.0, 0.03)
RUN = {"run.bytes_an_event": 400.0, "run.result_bytes_an_event": 600.0}
FIGURES = RUN | {
    "kafka_speed.events_a_second": 40_000.0,
    "kafka_speed.events_a_cpu_second": 30_000.0,
    "kafka_speed.cpu_share": 0.5,
    "kafka_speed.processes": 2.0,
    "memory.bytes_an_entity": 1_024.0,
    "memory.other_mib": 512.0,
    "snapshots.bytes_an_entity": 32.0,
    "archive.events_a_core_second": 20_000.0,
    "archive.bytes_an_event": 800.0,
}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "docs" / "performance.md"
    path.parent.mkdir()
    path.write_text(PAGE)
    (tmp_path / "README.md").write_text("# R\n\n<!-- calculated: summary -->\nold\n<!-- end -->\n")
    return path


def section(**changed):
    figures = changed.pop("figures", RUN | {"run.nothing": float("nan")})
    given = {"name": "a", "title": "A bench", "about": "What it does.", "table": "x   1\n", "picture": "<svg/>"}
    return Section(figures=figures, **given | changed)


def test_a_section_replaces_itself_and_what_is_calculated_from_it(written):
    page.write(written, "python -m benchmarks.a", section(), ON)
    once = written.read_text()
    block = """<!-- run: python -m benchmarks.a -->
## A bench

What it does.

Commit 0123456, 2026-11-30; 2 cores (Some Processor), 8.0 GiB, Python 3.11.2; took 4 min, other work had 3% of the processors meanwhile.

```text
$ python -m benchmarks.a
x   1
```

![A bench](performance-a.svg)

<!-- figures: {"run.bytes_an_event": 400.0, "run.result_bytes_an_event": 600.0} -->
<!-- end -->
"""  # noqa: E501
    assert block in once
    assert (written.parent / "performance-a.svg").read_text() == "<svg/>"
    estimated = page.recalculated(PAGE, RUN).partition("<!-- run")[0]
    assert "disk of the topics" in estimated
    assert once == estimated + PAGE[PAGE.index("<!-- run") :].replace(
        "<!-- run: python -m benchmarks.a -->\n<!-- end -->\n", block
    )
    assert written.parent.parent.joinpath("README.md").read_text().endswith("summary -->\n<!-- end -->\n")
    page.write(written, "python -m benchmarks.a --more", section(name="more", figures={"memory.peak_mib": 9.0}), ON)
    assert block in written.read_text()
    page.write(written, "python -m benchmarks.a --more", section(name="more", figures={"memory.peak_mib": 9.0}), ON)
    twice = written.read_text()
    page.write(written, "python -m benchmarks.a", section(), ON)
    assert written.read_text() == twice
    assert page.figures_of(twice) == RUN | {"memory.peak_mib": 9.0}


def test_a_bench_writes_when_it_was_run_as_the_page_asks(written, monkeypatch, capsys):
    words = ["--windows", "2000", "--moves", "0"]
    written.write_text(f"a\n<!-- run: python -m benchmarks.slider {' '.join(words)} -->\n<!-- end -->\nb\n")
    monkeypatch.setattr(sys, "argv", ["slider", "--windows", "1000", "--page", str(written)])
    with pytest.raises(SystemExit, match="2"):
        slider.main()
    assert "asks for python -m benchmarks.slider --windows 2000 --moves 0, not for" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["slider", *words, "--page", str(written)])
    slider.main()
    printed = capsys.readouterr().out
    text = written.read_text()
    assert text.startswith("a\n<!-- run") and text.endswith("<!-- end -->\nb\n")  # noqa: PT018
    assert f"```text\n$ python -m benchmarks.slider {' '.join(words)}\n{printed}```\n" in text
    assert page.figures_of(text)["slider.move_most_ms"] > 0
    assert str(ROOT) not in text
    assert (written.parent / "performance-slider.svg").read_text().count("<rect") == 1 + 9


def test_an_estimate_is_the_sums_it_shows():
    # a billion a day: 11,574 a second, 34,722 at the peak; 20 million entities
    needed = capacity.need(1e9 / 86_400 * 3, 20e6, FIGURES)
    assert needed == pytest.approx({
        "processes": 4, "cores": 5, "memory_gib": 20e6 / 2**20 + 2, "state_gib": 20e6 * 96 / 2**30,
        "topics_gib": 1e12 / 2**30, "trail_cores": 2, "trail_gib": 800e9 / 2**30,
    })  # fmt: skip
    alone = capacity.need(6_000.0, 0.0, FIGURES)
    assert (alone["processes"], alone["cores"], alone["memory_gib"]) == (1, 1, 0.5)
    text = capacity.estimate(FIGURES)
    # 34,722 / 20,000 / 0.5 and ten times that, before rounding up; 20 million and 100 million KiB, and processes / 2
    assert "| processes of `detect` | 4 | 35 | peak / (40,000 events/s of one process x 0.5), if" in text
    assert "| memory of `detect`, GiB | 21 | 113 | entities x 1,024 bytes + processes x 512 MiB |" in text
    assert "| entities | 20,000,000 | 100,000,000 | events / 50, at most 100,000,000 |" in text
    load(flags={"state.max_entities": capacity.MOST_ENTITIES})
    with pytest.raises(ConfigError):
        load(flags={"state.max_entities": capacity.MOST_ENTITIES + 1})
    assert "More than 2 processes" in text
    assert set(capacity.need(1.0, 1.0, RUN)) == {"topics_gib"}
    assert [capacity.BLOCKS[name]({}) for name in capacity.BLOCKS] == ["", "", ""]
    rows = capacity.capacity(FIGURES).strip().splitlines()
    assert len(rows) == 2 + len(capacity.SIZES)
    assert {row.count("|") for row in rows} == {3 + len(capacity.SUMS)}


def test_an_archive_is_told_without_its_start():
    short = {"events": 100, "seconds": 3.0, "processor_s": 2.0, "peak_mib": 500.0, "mib": 1.0, "commits": 1}
    long = short | {"events": 300, "processor_s": 2.01, "mib": 3.0}
    stops = {"seal: AES-256-GCM": 600.0, "hash: SHA-256": 900.0, "tokens: BLAKE2b": 500.0, "files and commits": 2_000.0,
             "columns": 4_000.0}  # fmt: skip
    told = archive.section(short, long, long | {"processor_s": 2.04}, stops)
    assert "columns                                          50.0%       4,000" in told.table
    assert "without all else at most 250,000 events/s" in told.table
    assert told.figures["archive.events_a_core_second"] == pytest.approx(20_000)
    assert told.figures["archive.sorting_us_an_event"] == pytest.approx(100)
    assert capacity.named(capacity.SUMS["trail_cores"][1] + capacity.SUMS["trail_gib"][1]) <= set(told.figures)


def test_bars_below_zero_go_to_the_left():
    drawn = bars.svg("t", "ns", [("a", 30.0), ("b & c", -10.0)])
    boxes = [tuple(map(float, box)) for box in re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', drawn)]
    assert boxes == [(365.0, 315.0), (260.0, 105.0)]
    assert "b &amp; c" in drawn


@pytest.mark.parametrize("path", page.citing(page.PAGE), ids=lambda path: path.name)
def test_what_is_calculated_is_that_of_the_figures(path):
    measured, text = page.PAGE.read_text(), path.read_text()
    assert page.recalculated(text, page.figures_of(measured)) == text, "run `make performance CALCULATE=1`"


def test_the_page_asks_for_benches_and_shows_their_pictures():
    text = page.PAGE.read_text()
    asked = page.commands(text)
    assert len(asked) == len(set(asked)) > 20
    assert all(find_spec(command.split()[2]) for command in asked)
    pictures = re.findall(r"\]\((performance-[^)]*\.svg)\)", text)
    assert {path.name for path in page.PAGE.parent.glob("performance-*.svg")} == set(pictures)
    figures = page.figures_of(text)
    there = {name.partition(".")[0] for name in figures}
    of = {name for _, sums in capacity.SUMS.values() for name in capacity.named(sums)}
    assert {name for name in of if name.partition(".")[0] in there} <= set(figures)
