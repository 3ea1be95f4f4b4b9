"""What holds for every test: hypothesis without a clock, no test left out in silence, golden files, one real run."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.command import lapwing, said, simulate

pytest_plugins = ["tests.kafka.fixture", "tests.opensearch.fixture"]

# Kernels compile inside a first example, and machines differ: time decides nothing.
settings.register_profile("lapwing", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("lapwing")


GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes what a golden test got instead of comparing it."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the files in tests/golden")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Compare bytes with a file of tests/golden, line by line."""

    def compare(name: str, got: bytes) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(got)
        assert got.splitlines() == path.read_bytes().splitlines()
        assert got == path.read_bytes()

    return compare


@pytest.fixture(scope="session")
def detected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `events.ndjson`, 60,000 simulated events with every attack, and their results in `out`."""
    folder = tmp_path_factory.mktemp("detected")
    events = simulate(folder / "events.ndjson", 60_000, 3)
    done = lapwing("detect", "--input", events, "--output", folder / "out")
    assert done.returncode == 0, done.stderr
    said(done.stderr)
    return folder


def _left_out(terminal: pytest.TerminalReporter) -> Iterator[str]:
    for kind in ("skipped", "xfailed", "xpassed"):
        for report in terminal.stats.get(kind, []):
            yield f"{report.nodeid}: {kind}"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each test that did not run."""
    for line in _left_out(terminalreporter):
        terminalreporter.write_line(f"NOT RUN {line}")


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """With LAPWING_STRICT=1 a test that did not run is a failure."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("LAPWING_STRICT") == "1" and terminal is not None and any(_left_out(terminal)):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
    return (yield)
