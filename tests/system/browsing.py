"""A notebook as `lapwing lab` serves it, and a real browser that looks at it."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.remote.webelement import WebElement

from tests.command import LAPWING


@contextmanager
def served(name: str, log: Path, *words: str) -> Iterator[str]:
    """The address of a notebook that `lapwing lab` serves; what it says goes into `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [LAPWING, "lab", name, *words, "--no-browser", "--port", str(port)]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=log.parent, stdout=out, stderr=out, start_new_session=True) as server,
    ):
        address = f"http://127.0.0.1:{port}/"
        try:
            for _ in range(1_500):  # the first start compiles what the notebook needs
                try:
                    urllib.request.urlopen(address, timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, log.read_text()
                    time.sleep(0.2)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """The machine's Chromium without a window, with a profile of its own."""
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    assert driver, "chromedriver is missing: see make test-system"
    assert program, "chromium is missing: see make test-system"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--window-size=1200,1600",
        f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(flag)
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def pictures(browser: webdriver.Chrome) -> list[WebElement]:
    """Drawn charts, also those that stand inside the notebook's own elements."""
    script = """
        const found = [], look = (node) => {
            for (const e of node.querySelectorAll('*')) {
                if (e.matches('svg.marks, canvas.marks, svg[role="img"]') && e.clientHeight > 50) found.push(e);
                if (e.shadowRoot) look(e.shadowRoot);
            }
        };
        look(document); return found;"""
    return list(browser.execute_script(script))


def elements(browser: webdriver.Chrome, selector: str) -> list[WebElement]:
    """Elements, also those inside the notebook's own."""
    script = """
        const found = [], look = (node) => {
            for (const e of node.querySelectorAll('*')) {
                if (e.matches(arguments[0])) found.push(e);
                if (e.shadowRoot) look(e.shadowRoot);
            }
        };
        look(document); return found;"""
    return list(browser.execute_script(script, selector))


def text_of(browser: webdriver.Chrome) -> str:
    """All text of the page, also what stands inside the notebook's own elements."""
    script = """
        let said = '';
        const look = (node) => {
            for (const e of node.childNodes) {
                if (e.nodeType === 3) said += e.textContent + ' ';
                if (e.nodeType === 1 && !['SCRIPT', 'STYLE'].includes(e.tagName)) {
                    look(e); if (e.shadowRoot) look(e.shadowRoot);
                }
            }
        };
        look(document.body); return said;"""
    return str(browser.execute_script(script))
