"""What holds for every test: hypothesis without a clock, no test left out in silence, golden files, one real run."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.command import ROOT, lapwing, said, simulate

pytest_plugins = ["tests.kafka.fixture", "tests.object_store.fixture", "tests.opensearch.fixture"]

# Else a run over Kafka would write JSON in every test: none of them has a terminal.
os.environ.setdefault("LAPWING_LOG", "text")

# Kernels compile inside a first example, and machines differ: time decides nothing.
settings.register_profile("lapwing", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("lapwing")


LONGEST = (
    "test_chaos",
    "test_kafka_processes",
    "test_promise",
    "test_processes",
    "test_kafka_start",
    "test_crash",
    "test_holding",
    "test_kafka_cluster",
    "test_kafka_check",
    "test_decide_flow",
    "test_kafka_trouble",
    "test_quality",
    "test_alerts_valid",
    "test_behaviour_quality",
    "test_state_command",
    "test_state_faults",
    "test_kafka_secured_flow",
    "test_kafka_metrics",
    "test_demo_kafka",
    "test_make_kafka",
    "test_bench_growth",
    "test_kafka_grown",
    "test_kafka_memory",
    "test_fresh",
    "test_examples",
    "test_score",
    "test_share_of_events",
    "test_golden",
    "test_golden_state",
)
"""Files by how long they take, those that wait beside those that work; all others follow."""
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
    """A folder with `events.ndjson`, 60,000 simulated events with every attack, and their results in `out`.

    All workers read the same; nobody writes there.
    """

    def make(folder: Path) -> None:
        events = simulate(folder / "events.ndjson", 60_000, 3)
        done = lapwing("detect", "--input", events, "--output", folder / "out")
        assert done.returncode == 0, done.stderr
        said(done.stderr)

    return _made_once(tmp_path_factory, "detected", make)


def _made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that whichever worker comes first makes for all of them."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, made = root / name, root / f"{name}.made"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core, eight at most: tests of brokers and of processes wait more than they work."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(8, 2 * cores)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Compile the kernels before several workers begin, which would each compile the same."""
    subprocess.run([sys.executable, "-c", "from tests.prepared import prepare; prepare()"], cwd=ROOT, check=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: whatever begins last decides when all is over."""
    rank = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


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
