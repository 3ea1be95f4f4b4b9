"""The notebook as a person meets it: in a real browser, with a picture, and a choice that changes it."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

ROOT = Path(__file__).parents[2]


def lapwing(*arguments: str) -> None:
    command = str(Path(sys.executable).parent / "lapwing")
    subprocess.run([command, *arguments], check=True, cwd=ROOT, timeout=600)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The notebook served on the results of a small simulated day."""
    folder = tmp_path_factory.mktemp("look")
    lapwing("simulate", "--events", "40000", "--seed", "5", "--output", str(folder / "events.ndjson"))
    lapwing("detect", "--input", str(folder / "events.ndjson"), "--output", str(folder / "out"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "run", "notebooks/look.py", "--headless", "--no-token"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--", "--dir", str(folder / "out")]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as server:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
        yield address
        server.terminate()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    driver = shutil.which("chromedriver")
    chromium = shutil.which("chromium")
    assert driver, "chromedriver is missing: see make test-system"
    assert chromium, "chromium is missing: see make test-system"
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--window-size=1200,1600",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(flag)
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def pictures(browser: webdriver.Chrome) -> list[WebElement]:
    """Drawn charts, also those that stand inside the notebook's own elements."""
    script = """
        const found = [], look = (node) => {
            for (const e of node.querySelectorAll('*')) {
                if (e.matches('svg.marks, canvas.marks') && e.clientHeight > 50) found.push(e);
                if (e.shadowRoot) look(e.shadowRoot);
            }
        };
        look(document); return found;"""
    return list(browser.execute_script(script))


def choosers(browser: webdriver.Chrome) -> list[WebElement]:
    script = """
        const found = [], look = (node) => {
            for (const e of node.querySelectorAll('*')) {
                if (e.matches('select')) found.push(e);
                if (e.shadowRoot) look(e.shadowRoot);
            }
        };
        look(document); return found;"""
    return list(browser.execute_script(script))


def test_it_draws_an_incident_and_follows_a_choice(page: str, browser: webdriver.Chrome) -> None:
    browser.get(page)
    wait = WebDriverWait(browser, 90, ignored_exceptions=(StaleElementReferenceException,))
    wait.until(pictures)
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "What did it do, and what was expected?" in text
    assert "Traceback" not in text
    before = [picture.screenshot_as_base64 for picture in pictures(browser)]
    dimension = Select(wait.until(choosers)[0])
    other = next(o.text for o in dimension.options if o.text not in (dimension.first_selected_option.text, "--"))
    dimension.select_by_visible_text(other)
    wait.until(lambda b: pictures(b) and [picture.screenshot_as_base64 for picture in pictures(b)] != before)
