"""The notebooks as a person meets them: in a real browser, with pictures, and choices that change them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from flows import kernels_cache
from tests.system.browsing import chromium, elements, pictures, served, text_of

ROOT = Path(__file__).parents[2]


def lapwing(*arguments: str) -> None:
    command = str(Path(sys.executable).parent / "lapwing")
    subprocess.run([command, *arguments], check=True, cwd=ROOT, timeout=600)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated day, and what was found in it."""
    folder = tmp_path_factory.mktemp("day")
    lapwing("simulate", "--events", "40000", "--seed", "5", "--output", str(folder / "events.ndjson"))
    lapwing("detect", "--input", str(folder / "events.ndjson"), "--output", str(folder / "out"))
    return folder


def notebook(name: str, results: Path) -> AbstractContextManager[str]:
    """The address of a notebook on the results."""
    return served(name, results / f"{name}.log", "--dir", str(results / "out"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path / "profile") as chrome:
        yield chrome


LOWEST_DOT = """
    const c = arguments[0], scale = c.clientWidth / c.width;
    const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    for (let y = c.height - 1; y >= 0; y--) for (let x = 0; x < c.width; x++) {
        const at = 4 * (y * c.width + x), [r, g, b, a] = p.slice(at, at + 4);
        if (a > 200 && r < 90 && g > 90 && g < 160 && b > 160)
            return [Math.round(x * scale), Math.round((y - 2) * scale)];
    }
    return null;"""
"""Where in a drawn picture the blue dot nearest to its lower edge is."""


def opened(browser: webdriver.Chrome, address: str, title: str) -> WebDriverWait[webdriver.Chrome]:
    browser.get(address)
    wait = WebDriverWait(browser, 90, ignored_exceptions=(StaleElementReferenceException,))
    wait.until(pictures)
    assert title in text_of(browser)
    assert "Traceback" not in text_of(browser)
    return wait


def test_explore_shows_the_events_of_the_dot_that_is_clicked(results: Path, browser: webdriver.Chrome) -> None:
    with notebook("explore", results) as address:
        wait = opened(browser, address, "Who stood out, and when?")
        wait.until(lambda b: "The minute's events" in text_of(b))
        before = text_of(browser)
        picture = pictures(browser)[0]
        x, y = browser.execute_script(LOWEST_DOT, picture)
        middle = picture.size["width"] // 2, picture.size["height"] // 2
        ActionChains(browser).move_to_element_with_offset(picture, x - middle[0], y - middle[1]).click().perform()
        wait.until(lambda b: text_of(b) != before)
        assert "The minute's events" in text_of(browser)


def test_another_dimension_is_another_picture(results: Path, browser: webdriver.Chrome) -> None:
    with notebook("explore", results) as address:
        wait = opened(browser, address, "Who stood out, and when?")
        before = [picture.screenshot_as_base64 for picture in pictures(browser)]
        dimension = Select(elements(browser, "select")[0])
        other = next(o.text for o in dimension.options if o.text not in (dimension.first_selected_option.text, "--"))
        dimension.select_by_visible_text(other)
        wait.until(lambda b: pictures(b) and [picture.screenshot_as_base64 for picture in pictures(b)] != before)


def test_investigate_shows_why_and_what_to_do(results: Path, browser: webdriver.Chrome) -> None:
    with notebook("investigate", results) as address:
        wait = opened(browser, address, "What happened, and who else is in it?")
        wait.until(lambda b: "Where from" in text_of(b))
        assert all(part in text_of(browser) for part in ("Why", "What to do", "Timeline", "Who and what is in its"))


def test_compare_draws_the_strangest_of_each_detector(results: Path, browser: webdriver.Chrome) -> None:
    with notebook("compare", results) as address:
        opened(browser, address, "What would another detector have found?")
        assert "sklearn:IsolationForest" in text_of(browser)


def test_tune_moves_the_count_and_the_change_with_the_slider(results: Path, browser: webdriver.Chrome) -> None:
    with notebook("tune", results) as address:
        wait = opened(browser, address, "What would another threshold have done?")
        wait.until(lambda b: "This is the limit in force" in text_of(b))
        slider = elements(browser, '[role="slider"]')[0]
        before = int(slider.get_attribute("aria-valuenow") or 0)
        (dot,) = elements(browser, "svg circle[r='6']")
        place = dot.get_attribute("cx")
        slider.click()
        slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        wait.until(lambda b: "+++ config.toml" in text_of(b))
        now = int(elements(browser, '[role="slider"]')[0].get_attribute("aria-valuenow") or 0)
        assert now != before
        wait.until(lambda b: f"at_least = {now}" in text_of(b))
        rows = re.findall(r"(in force|chosen) +(\d+) +(\d+)", text_of(browser))
        fired = {name: (int(limit), int(count)) for name, limit, count in rows}
        assert fired["in force"][0] == before
        assert fired["chosen"][0] == now
        assert f"of {fired['chosen'][1]:,}:" in text_of(browser), "the list is that of the new limit"
        assert elements(browser, "svg circle[r='6']")[0].get_attribute("cx") != place


def test_the_first_start_of_an_installation_draws_before_anything_is_compiled(
    tmp_path: Path, browser: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder that is there is not begun as a copy of what others have compiled.
    (tmp_path / kernels_cache.prepare().name).mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with served("explore", tmp_path / "log") as address:
        wait = opened(browser, address, "Who stood out, and when?")
        wait.until(lambda b: "The minute's events" in text_of(b))
        (server,) = (
            one for one in Path("/proc").glob("[0-9]*")
            if b"marimo" in (words := (one / "cmdline").read_bytes()) and address.split(":")[-1][:-1].encode() in words
        )  # fmt: skip
        assert b"NUMBA_DISABLE_JIT=1" in (server / "environ").read_bytes(), "it waits for no compiler"
    assert "Warning" not in (tmp_path / "log").read_text()
