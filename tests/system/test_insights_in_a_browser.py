"""The page of `lapwing insights` as people meet it: on a telephone, a wide screen, in the dark, and on paper."""

import base64
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from tests.command import command

WIDTHS = (390, 1440)

CONTRAST = """
    const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const parts = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
    const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
    const shape = (e) => {
        const style = getComputedStyle(e);
        if (e instanceof SVGGeometryElement) {
            if (style.fill === 'none') return null;
            const fill = parts(style.fill);
            return [...fill.slice(0, 3), fill[3] * Number(style.fillOpacity)];
        }
        return e instanceof HTMLElement ? parts(style.backgroundColor) : null;
    };
    const found = [];
    for (const e of document.body.querySelectorAll('*')) {
        const own = [...e.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own.length || e.tagName.toLowerCase() === 'title') continue;
        const range = document.createRange();
        range.selectNodeContents(own[0]);
        const box = range.getClientRects()[0];
        if (!box || !box.width) continue;
        const x = box.left + Math.min(2, box.width / 2), y = box.top + box.height / 2;
        const stack = document.elementsFromPoint(x, y).reverse();
        if (!stack.includes(e)) continue;  // a table's cell that is to be scrolled to
        let below = [255, 255, 255];
        for (const under of stack) {
            const paint = under === e && e instanceof SVGElement ? null : shape(under);
            if (paint) below = over(paint, below);
        }
        const style = getComputedStyle(e), svg = e instanceof SVGElement;
        const ink = over(parts(svg ? style.fill : style.color), below);
        const [a, b] = [light(ink), light(below)].sort((p, q) => q - p);
        found.push([(a + 0.05) / (b + 0.05), e.textContent.slice(0, 60), Math.round(x), Math.round(y)]);
    }
    return found;"""
"""The contrast (WCAG 2.2) of every piece of text that shows, to whatever is painted below it."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated weeks with attacks, scored, archived and shown."""
    folder = tmp_path_factory.mktemp("insights")
    events = folder / "events.ndjson"
    where = ("--trail", folder / "trail", "--keys", folder / "keys")
    for words in (
        (*["simulate", "--events", "8000", "--days", "15", "--users", "300", "--seed", "5", "--output"], events),
        ("detect", "--input", events, "--output", folder / "out"),
        ("archive", "--input", folder / "out", *where),
        ("insights", *where, "--output", folder / "report.html"),
    ):
        code, _, said = command(*words)
        assert code == 0, said
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    assert driver, "chromedriver is missing: see make test-system"
    assert chromium, "chromium is missing: see make test-system"
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def shown(browser: webdriver.Chrome, report: Path, width: int = 1440, scheme: str = "light") -> None:
    """Open the page, all of it in view and every table open."""
    for height in (1000, None):
        tall = height or int(browser.execute_script("return document.documentElement.scrollHeight"))
        size = {"width": width, "height": min(tall, 16_000), "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        if height:
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            browser.get(report.as_uri())
            browser.execute_script("document.querySelectorAll('details').forEach((e) => e.open = true)")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(report: Path, browser: webdriver.Chrome, width: int) -> None:
    shown(browser, report, width)
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(report: Path, browser: webdriver.Chrome, width: int, scheme: str) -> None:
    shown(browser, report, width, scheme)
    texts = browser.execute_script("return document.querySelectorAll('h1, h2, h3, p, li, svg text, th').length")
    found = browser.execute_script(CONTRAST)
    assert len(found) > texts
    assert [one for one in found if one[0] < 4.5] == []
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", background)[0]) < 128) == (scheme == "dark")


def test_the_page_says_nothing_to_the_console_and_asks_nobody(report: Path, browser: webdriver.Chrome) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    shown(browser, report)
    assert browser.get_log("browser") == []
    told = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]
    assert asked == [report.as_uri()]


def test_every_chart_has_title_unit_picture_and_table(report: Path, browser: webdriver.Chrome) -> None:
    shown(browser, report)
    cards: list[dict[str, Any]] = browser.execute_script("""
        return [...document.querySelectorAll('.card')].map((card) => ({
            id: card.id, title: card.querySelector('h3').innerText, unit: card.querySelector('.unit').innerText,
            tall: card.querySelector('svg').getBoundingClientRect().height,
            label: card.querySelector('svg').getAttribute('aria-label'),
            rows: card.querySelectorAll('details tr').length,
        }))""")
    assert {
        "logins", "failures", "signups", "resets", "deletions", "week", "cities", "countries", "devices", "systems",
        "browsers", "apps", "versions", "factors", "reset", "mfa", "active", "cohorts", "slowest", "failing",
        "incidents",
    } == {card["id"] for card in cards}  # fmt: skip
    for card in cards:
        assert card["title"], card
        assert card["title"] == card["label"]
        assert card["unit"], card
        assert card["tall"] > 30, card
        assert card["rows"] > 1, card


def pages_of_charts(browser: webdriver.Chrome) -> tuple[int, Counter[str]]:
    """How many pages a print has, and on how many of them each chart is.

    Each is made a link for this: a PDF says where a link lies, once for every page that it touches.
    """
    browser.execute_script("""
        document.querySelectorAll('.card').forEach((card) => {
            const link = document.createElement('a');
            link.href = 'https://chart.invalid/' + card.id; link.style.display = 'block';
            card.querySelectorAll(':scope > h3, :scope > .unit, :scope > svg').forEach((e) => link.append(e));
            card.prepend(link);
        })""")
    pdf = base64.b64decode(
        browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
    )
    links = re.findall(rb"/URI \(https://chart\.invalid/([a-z]+)\)", pdf)
    return len(re.findall(rb"/Type /Page\b", pdf)), Counter(link.decode() for link in links)


def test_no_chart_is_cut_on_paper(report: Path, browser: webdriver.Chrome) -> None:
    shown(browser, report, scheme="dark")
    charts = browser.execute_script("return [...document.querySelectorAll('.card')].map((e) => e.id)")
    pages, found = pages_of_charts(browser)
    assert 2 <= pages <= 8
    assert found == Counter(charts)
    shown(browser, report)
    browser.execute_script("""
        const style = document.createElement('style');
        style.textContent = '.card, .card * { break-inside: auto !important } .card svg { height: 30cm !important }';
        document.head.append(style);""")
    assert max(pages_of_charts(browser)[1].values()) > 1, "the PDF does not tell a chart that is cut"
