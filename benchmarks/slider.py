"""How long moving the slider of the notebook takes over a million windows: the calculation, and in a real browser.

In the browser it is from the key that moves the slider to the frame that shows the new limit's count and the change.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import bars
from benchmarks.made_windows import levels
from benchmarks.page import Bench, Section
from flows.config import config_hash, load
from flows.formats.windows import table
from flows.rethreshold import Rethreshold, least_answered
from flows.tuning import limit_of
from models.rules import BruteForceUser

_START = 1_793_577_600_000_000
SLIDER = '[role="slider"]'
IN_FORCE = "This is the limit in force"


def windows(rows: int, seed: int) -> pa.Table:
    """So many kept windows of accounts over four weeks: few entities are busy, values have a long tail."""
    rng = np.random.default_rng(seed)
    entities = max(rows // 50, 1)
    number = (entities * rng.random(rows) ** 3).astype(np.int64)
    minute = rng.integers(28 * 1_440, size=rows)
    _, first = np.unique(number * 100_000 + minute, return_index=True)
    number, minute = number[first], minute[first]
    peak = np.floor(5 + 3 * rng.pareto(2.0, len(first)))
    start = _START + minute * 60_000_000
    names = pa.array([f"user{n}@example.com" for n in range(entities)])
    return table({
        "tenant": "acme", "dimension": pa.array(["user"] * len(first)), "entity": names.take(pa.array(number)),
        "detector": "ewma", "start": start, "end": start + 60_000_000, "guarded": pa.array([False] * len(first)),
        "sample_weight": np.ones(len(first)), "config_hash": "0", "levels": levels("brute_force_user", peak, held=6),
    })  # fmt: skip


WATCH = """
    const seen = arguments[0].map((words) => new RegExp(words));
    const text = (node) => {
        let said = '';
        for (const e of node.childNodes) {
            if (e.nodeType === 3) said += e.textContent + ' ';
            if (e.nodeType === 1 && !['SCRIPT', 'STYLE'].includes(e.tagName))
                said += text(e) + (e.shadowRoot ? text(e.shadowRoot) : '');
        }
        return said;
    };
    window.took = new Promise((done) => document.addEventListener('keydown', () => {
        const began = performance.now();
        const look = () => {
            const said = text(document.body);
            if (!seen.every((words) => words.test(said))) return requestAnimationFrame(look);
            requestAnimationFrame(() => done(performance.now() - began));
        };
        requestAnimationFrame(look);
    }, {capture: true, once: true}));"""
"""Waits for a key, then frame by frame for all words, and for the frame after them."""


def in_browser(rows: pa.Table, moves: int) -> list[float]:
    """Milliseconds of each move of the slider in Chromium, as a person waits for them: to the lowest limit, then up."""
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    from tests.system.browsing import chromium, elements, pictures, served, text_of

    rule = BruteForceUser()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "config.toml").write_text('[[detection]]\ntype = "brute_force_user"\n')
        named = config_hash(load(str(folder / "config.toml")))
        at = rows.column_names.index("config_hash")
        pq.write_table(rows.set_column(at, "config_hash", pa.repeat(named, rows.num_rows)), folder / "windows.parquet")
        words = ["--dir", place, "--config", str(folder / "config.toml")]
        with served("tune", folder / "log", *words) as address, chromium(folder / "profile") as chrome:
            chrome.get(address)
            chrome.set_script_timeout(120)
            # Nobody moves a slider of a page that is not drawn yet.
            WebDriverWait(chrome, 120).until(lambda b: pictures(b) and IN_FORCE in text_of(b))
            chrome.execute_script("arguments[0].focus()", elements(chrome, SLIDER)[0])
            before = limit = int(limit_of(rule))
            lowest = least_answered(rule, 0.01)
            taken, step = [], -1
            for _ in range(moves):
                step = 1 if limit <= lowest else step
                limit += step
                change = f"at_least = {limit}\\b" if limit != before else IN_FORCE
                chrome.execute_script(WATCH, [f"chosen\\s+{limit}\\s", change])
                elements(chrome, SLIDER)[0].send_keys(Keys.ARROW_RIGHT if step > 0 else Keys.ARROW_LEFT)
                # The browser says when: asking it again and again would be work beside what is measured.
                taken.append(float(chrome.execute_async_script("window.took.then(arguments[0])")))
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slider", description=__doc__)
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--moves", type=int, default=40, help="in the browser; 0: the calculation alone")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    bench = Bench(parser)
    arguments = bench.arguments
    rows = windows(arguments.windows, arguments.seed)
    began = time.perf_counter()
    index = Rethreshold(rows, BruteForceUser())
    figures: dict[str, Any] = {"windows": rows.num_rows, "index_ms": 1e3 * (time.perf_counter() - began)}
    began = time.perf_counter()
    index.at(index.bounds()[1])  # loads the kernel, as the notebook does when it opens
    figures["first_ms"] = 1e3 * (time.perf_counter() - began)
    moves = []
    for limit in (5, 6, 8, 10, 15, 20, 40, 80, 200):
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            fired = index.at(float(limit))
            fired.burners()
            fired.incidents(1_000)
            taken.append(1e3 * (time.perf_counter() - began))
        moves.append(
            {"limit": limit, "incidents": fired.total, "median_ms": float(np.median(taken)), "most_ms": max(taken)}
        )
    figures["moves"] = moves
    if arguments.moves:
        figures["browser_ms"] = in_browser(rows, arguments.moves)
    print(json.dumps(figures, indent=2) if arguments.json else report(figures))
    kept = {"slider.move_most_ms": max(move["most_ms"] for move in moves)}
    shown = [(f"limit {move['limit']}", move["median_ms"]) for move in moves]
    if "browser_ms" in figures:
        kept["slider.browser_median_ms"] = float(np.median(figures["browser_ms"]))
        kept["slider.browser_most_ms"] = max(figures["browser_ms"])
        shown.append(("in Chromium", kept["slider.browser_median_ms"]))
    bench.write(
        Section(
            "slider",
            "Moving the notebook's slider",
            "The limit of a detection over a million kept windows: the calculation, and from the key to "
            "the frame in Chromium.",
            report(figures),
            kept,
            bars.svg("A move, median", "ms", shown),
        )
    )


def report(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    out = [
        f"{figures['windows']:,} windows, index once {figures['index_ms']:.0f} ms, "
        f"kernel once {figures['first_ms']:.0f} ms"
    ]
    out += [
        "limit {limit:>4}: {incidents:>9,} incidents, {median_ms:7.1f} ms, at most {most_ms:7.1f} ms".format(**move)
        for move in figures["moves"]
    ]
    out.append("(a move: incidents a day, five burners, the list's first 1,000)")
    if "browser_ms" in figures:
        shown = figures["browser_ms"]
        out.append(
            f"in Chromium, from the key to the new count and change on the screen, {len(shown)} moves: median "
            f"{np.median(shown):.0f} ms, 95th percentile {np.percentile(shown, 95):.0f} ms, "
            f"at most {max(shown):.0f} ms (aim 200 ms)"
        )
    return "\n".join(out)


if __name__ == "__main__":
    main()
