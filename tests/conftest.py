"""What holds for every test: hypothesis without a clock, and no test left out in silence."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import flows  # noqa: F401  (before any kernel: it says where compiled ones are)

# Kernels compile inside a first example, and machines differ: time decides nothing.
settings.register_profile("lapwing", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("lapwing")


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
