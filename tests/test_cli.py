"""The command: what it prints where, and how it ends."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import flows
import flows.commands.config
from flows import cli, kernels_cache
from flows.commands import progress
from flows.commands.console import columns
from flows.commands.stopping import stoppable
from flows.config import Config, config_hash, load
from flows.errors import InputError
from flows.state_dir import open_state
from flows.state_shape import state_identity

LAPWING = str(Path(sys.executable).with_name("lapwing"))
ROOT = Path(__file__).parent.parent


@dataclass
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command as the console script does, in this process."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["lapwing", *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return call


@dataclass
class Progress:
    events: int = 1500
    alerts: int = 1
    dead_letters: int = 2
    event_time: int = 1_793_577_600_000_000
    bytes_read: int = 50
    bytes_total: int | None = 200


@dataclass
class Result:
    events: int = 3
    scored: int = 2
    dead_letters: int = 1
    alerts: int = 4
    incidents: int = 2
    merged: int = 1
    digested: int = 0
    suppressed: dict[str, int] = field(default_factory=lambda: {"pentest": 3})
    shadow: dict[str, int] = field(default_factory=lambda: {"trial": 5})
    muted: int = 7
    windows: int = 9
    late: int = 0
    overtaken: int = 0
    evictions: int = 0
    seconds: float = 0.5
    files: list[str] = field(default_factory=lambda: ["out/scored.ndjson"])
    interrupted: bool = False
    restarts: int = 0


@dataclass
class Flow:
    """A flow in place of the real one: it notes what it was told, and ends as the test wants."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    allowed: list[tuple[bool, bool]] = field(default_factory=list)
    fails: BaseException | None = None

    def run(
        self, config: Config, source: str, output: str, state: str | None, close: bool, form: str,
        stop: threading.Event, on_progress: Callable[[Progress], None] | None = None, observed: object = None, *,
        fresh: bool = False, accept_rewarm: bool = False, tell: Callable[[str], None] = print,
    ) -> Result:  # fmt: skip
        self.told.append((source, output, state, close, form, on_progress is not None))
        self.allowed.append((fresh, accept_rewarm))
        if self.fails is not None:
            raise self.fails
        if on_progress is not None:
            on_progress(Progress())
        return Result(interrupted=stop.is_set())


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Flow:
    stand_in = Flow()
    module = ModuleType("flows.detect")
    module.run = stand_in.run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flows.detect", module)
    monkeypatch.setattr(flows, "detect", module, raising=False)
    monkeypatch.setattr(kernels_cache, "announce", lambda say: lambda: None)
    return stand_in


def test_detect_tells_the_flow_what_was_asked(run: Run, flow: Flow, tmp_path: Path) -> None:
    ended = run("detect", "--input", "in.ndjson", "--output", str(tmp_path))
    assert ended.code == 0
    assert ended.out == ""
    assert (
        "3 messages in 0.5 s (6/s): 2 scored, 1 dead letters, 2 incidents (1 merged into others), 4 alerts, 9 windows; "
        "besides 3 suppressed by exception pentest, 7 muted, 5 of trial in shadow"
    ) in ended.err
    run("detect", "--input", "-", "--output", "-", "--state", "s", "--close", "--format", "lapwing", "--quiet")
    assert flow.told == [
        ("in.ndjson", str(tmp_path), None, False, "lapwing", False),
        ("-", "-", "s", True, "lapwing", False),
    ]
    run("detect", "--input", "-", "--output", "-", "--state", "s", "--accept-rewarm")
    run("detect", "--input", "-", "--output", "-", "--state", "s", "--fresh")
    assert flow.allowed == [(False, False), (False, False), (False, True), (True, False)]


def test_the_file_names_the_ends_where_no_flag_does(run: Run, flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[input]\npath = "a.ndjson"\n[output]\npath = "b"\n[state]\npath = "s"\n')
    run("detect", "--config", str(file), "--output", "other")
    assert flow.told == [("a.ndjson", "other", "s", False, "lapwing", False)]


def test_detect_json_is_the_whole_result(run: Run, flow: Flow) -> None:
    ended = run("detect", "--input", "a", "--output", "b", "--json", "--quiet")
    assert json.loads(ended.out) == Result().__dict__
    assert ended.err == ""


def test_a_broken_configuration_lists_every_fault(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[[detector]]\ntype = "ewma"\nalpha = 2.0\n[time]\nlateness = 5\n')
    for arguments in (["check", str(file)], ["detect", "--config", str(file)], ["config", "--config", str(file)]):
        ended = run(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert len(ended.err.splitlines()) == 2
        assert f"{file}: Expected float < 1.0 - at $.detector[0].alpha" in ended.err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["detect", "--output", "b"], "no input: give --input"),
        (["detect", "--input", "a"], "no output: give --output"),
        (["detect", "--input", "a", "--output", "-", "--json"], "both want stdout"),
        (["detect", "--input", "IN", "--output", "IN"], "lies inside the input"),
        (["detect", "--input", "IN", "--output", "IN/below"], "lies inside the input"),
        (["detect", "--input", "IN/scored.ndjson", "--output", "IN"], "would be overwritten"),
        (["simulate", "--events", "1", "--seed", "1", "--output", "-", "--json"], "both want stdout"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, flow: Flow, tmp_path: Path, arguments: list[str], text: str) -> None:
    (tmp_path / "scored.ndjson").touch()
    ended = run(*(argument.replace("IN", str(tmp_path)) for argument in arguments))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("lapwing: ")
    assert text in line
    assert flow.told == []


@pytest.mark.parametrize("arguments", [["detec"], ["detect", "--inptu", "a"], ["simulate"], ["check", "a", "b"]])
def test_unknown_words_are_usage_errors(run: Run, arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_a_failure_is_one_line_and_a_bug_keeps_its_traceback(run: Run, flow: Flow) -> None:
    flow.fails = InputError("a: has\nvanished")
    ended = run("detect", "--input", "a", "--output", "b")
    assert (ended.code, ended.err) == (1, "lapwing: a: has vanished\n")
    flow.fails = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run("detect", "--input", "a", "--output", "b")


def test_replaced_results_are_named(run: Run, flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "alerts.ndjson").touch()
    state = tmp_path / "state"
    said = f"lapwing: replacing alerts.ndjson in {tmp_path}"
    words = ["detect", "--input", "a", "--output", str(tmp_path)]
    assert f"{said} (with --state results are continued)" in run(*words).err.splitlines()
    words += ["--state", str(state)]
    nothing = f"{said} (the state starts from nothing)"
    assert nothing in run(*words).err.splitlines()
    open_state(str(state), {}).close()
    assert "replacing" not in run(*words).err
    assert nothing in run(*words, "--fresh").err.splitlines()


_FAILING = """
import sys
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main
from flows.commands.engine import mistake, noise_held_back
from flows.errors import OutputError

def fail(item):
    print("said meanwhile", file=sys.stderr)
    raise OutputError("disk full") if sys.argv[1] == "mistake" else ZeroDivisionError("a bug")

flow = Dataflow("failing")
op.output("out", op.map("step", op.input("in", flow, TestingSource([1])), fail), TestingSink([]))
try:
    with noise_held_back():
        run_main(flow)
except Exception as error:
    found = mistake(error)
    if found is None:
        raise
    print(found, file=sys.stderr)
    sys.exit(found.exit_code)
"""


def test_a_mistake_inside_the_engine_is_one_line_and_a_bug_is_not() -> None:
    def run_failing(kind: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-c", _FAILING, kind], capture_output=True, text=True, check=False, cwd=ROOT
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    assert run_failing("mistake") == Ended(1, "", "said meanwhile\ndisk full\n")
    bug = run_failing("bug")
    assert bug.code == 1
    assert "panicked at" in bug.err
    assert "ZeroDivisionError: a bug" in bug.err
    assert bug.err.count("said meanwhile") == 1


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def inside() -> None:
        with stoppable() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.event.is_set()))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


def test_progress_line() -> None:
    assert progress.line(Progress(), 2.0) == (
        " 25.0 %  1,500 events  750/s  at 2026-11-02 00:00:00Z  1 alert  2 dead letters"
    )
    early = Progress(events=0, alerts=0, event_time=-(2**62), bytes_total=None)
    assert progress.line(early, 0.0) == "0 events  0/s  0 alerts  2 dead letters"


def test_progress_is_quiet_in_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.live(quiet=False) as show:
        assert show is None
    assert capfd.readouterr() == ("", "")


def test_progress_shows_on_a_terminal() -> None:
    code = (
        "from flows.commands import progress; from tests.test_cli import Progress\n"
        "with progress.live(quiet=False) as show:\n"
        "    show(Progress())\n"
        "    print('an alert')\n"
    )
    control, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=terminal,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    ) as child:
        os.close(terminal)
        seen = b""
        while select.select([control], [], [], 20)[0]:
            try:
                seen += os.read(control, 4096)
            except OSError:  # Linux says so when the other end has closed
                break
        assert child.stdout is not None
        assert child.stdout.read() == b"an alert\n"
    os.close(control)
    assert child.returncode == 0
    assert b"1,500 events" in seen


def test_check_says_what_would_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "logs" / "eu").mkdir(parents=True)
    (tmp_path / "logs" / "a.ndjson").write_text("{}\n")
    (tmp_path / "logs" / "eu" / "b.ndjson.gz").write_text("")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "alerts.ndjson").touch()
    file = tmp_path / "config.toml"
    file.write_text(
        f'[input]\npath = "{tmp_path}/logs"\n[output]\npath = "{tmp_path}/out"\n'
        '[[detection]]\ntype = "deletion_surge"\nat_least = 7\n'
    )
    ended = run("check", str(file))
    assert (ended.code, ended.err) == (0, "")
    assert "partitions     2: ., eu" in ended.out
    assert re.search(r"deletion_surge_user +user +10m +high +live +at least 7 accounts deleted", ended.out)
    assert "1 of them exist and will be replaced" in ended.out
    found = json.loads(run("check", str(file), "--json").out)
    assert found["input"]["partitions"] == [".", "eu"]
    assert found["output"]["existing"] == ["alerts.ndjson"]
    assert [row["id"] for row in found["detections"]] == ["deletion_surge_user"]
    assert found["config_hash"] == config_hash(load(str(file)))
    assert found["memory_bytes"] < 1 << 30
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a.ndjson", "alerts.ndjson", "b.ndjson.gz", "config.toml", "eu", "logs", "out",
    ]  # fmt: skip


def test_check_names_an_input_that_is_not_there(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[input]\npath = "{tmp_path}/absent.ndjson"\n')
    ended = run("check", str(file))
    assert ended.code == 0
    assert "absent.ndjson: no such file" in ended.out


def test_check_knows_a_state(run: Run, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    assert f"{state}: new" in run("check", "--state", state).out
    assert not os.path.exists(state)
    open_state(state, state_identity(load())).close()
    assert "everything is kept, the run goes on" in run("check", "--state", state).out
    file = tmp_path / "config.toml"
    file.write_text("[state]\nshards = 8\n")
    ended = run("check", str(file), "--state", state)
    assert ended.code == 3
    assert "state.shards was 4, now 8" in ended.err
    assert json.loads(run("check", str(file), "--state", state, "--json").out)["state"]["refused"]
    file.write_text((ROOT / "config.toml").read_text().replace("alpha = 0.01", "alpha = 0.02"))
    ended = run("check", str(file), "--state", state)
    assert ended.code == 0
    assert "--accept-rewarm" in ended.out
    assert "detector rates was ewma alpha=0.01 half_life=7d, now " in ended.out
    found = json.loads(run("check", str(file), "--state", state, "--json").out)["state"]
    assert (found["refused"], len(found["anew"])) == ([], 1)
    assert "state.shards 4" in found["kept"]


def test_config_shows_origins(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[time]\nlateness = "10s"\n')
    short = run("config", "--config", str(file)).out
    assert 'lateness = "10s"  # file' in short
    assert "max_skew" not in short
    assert 'max_skew = "30s"' in run("config", "--config", str(file), "--all").out
    found = json.loads(run("config", "--config", str(file), "--json").out)
    assert found["keys"] == [{"key": "time.lateness", "value": "10s", "origin": "file"}]


def test_simulate_writes_events_and_truth(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    ended = run("simulate", "--events", "2000", "--seed", "3", "--output", str(path), "--json", "--no-attacks")
    assert ended.code == 0
    assert json.loads(ended.out)["events"] == 2000 == len(path.read_bytes().splitlines())
    assert (tmp_path / "e.ndjson.truth.ndjson").read_bytes() == b""
    assert "2,000 events" in ended.err
    ended = run("simulate", "--events", "10", "--seed", "3", "--output", str(tmp_path / "absent" / "e.ndjson"))
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)


def test_compare_prints_the_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "alerts.ndjson").touch()
    truth = {
        "attack": "a1", "kind": "brute_force",
        "entities": {"ip": ["192.0.2.1"], "user": [], "endpoint": [], "tenant": []},
        "start": "2026-11-02T00:00:00Z", "end": "2026-11-02T00:01:00Z", "events": ["e1"],
    }  # fmt: skip
    (tmp_path / "truth.ndjson").write_text(json.dumps(truth) + "\n")
    files = [str(tmp_path / "alerts.ndjson"), str(tmp_path / "truth.ndjson")]
    assert "0 of 1 attack detected" in run("compare", *files).out
    assert json.loads(run("compare", *files, "--json").out)["totals"]["missed"] == 1
    ended = run("compare", str(tmp_path / "absent"), files[1])
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)


@pytest.mark.parametrize("command", ["", "detect", "simulate", "check", "config", "compare", "verdict", "verdicts"])
def test_help_has_an_example(run: Run, command: str) -> None:
    ended = run(*([command] if command else []), "--help")
    assert ended.code == 0
    assert f"\n    lapwing {command}" in ended.out


def test_the_console_script_and_a_reader_that_goes_away(tmp_path: Path) -> None:
    done = subprocess.run([LAPWING, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert re.fullmatch(r"lapwing \d+\.\d+\.\d+\n", done.stdout)
    with subprocess.Popen([LAPWING, "config", "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b"lapwing: the reader of the output has gone (broken pipe)\n"
    assert child.returncode == 1


def test_columns_cannot_move_the_cursor() -> None:
    assert columns([("a", "b"), ("long\x1b[2J", "c")], "") == "a         b\nlong?[2J  c"
    assert columns([]) == ""


def test_compiled_kernels_are_announced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels_cache, "_fingerprint", lambda: "0")  # none that the package has compiled
    said: list[str] = []
    kernels_cache.announce(said.append)
    settle = kernels_cache.announce(said.append)
    assert len(said) == 2  # a run that did not end well has settled nothing
    settle()
    kernels_cache.announce(said.append)
    assert len(said) == 2
    for other in "abcde":
        monkeypatch.setattr(kernels_cache, "_fingerprint", lambda other=other: other)
        kernels_cache.announce(said.append)()
    assert len(said) == 7
    left = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert len(left) == 3
    assert left[-1] == "lapwing-kernels-e"


def test_a_folder_for_kernels_is_always_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    package = Path(kernels_cache.models.__file__).parent / "kernels" / "__pycache__"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked / "below"))
    assert kernels_cache.prepare().parent == package
    assert kernels_cache.prepare().parent == package  # as a child process finds it
    writable = kernels_cache._writable
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(kernels_cache, "_writable", lambda folder: folder != package and writable(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert kernels_cache.prepare().parent == tmp_path / "home" / "lapwing"
    assert os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path / "home" / "lapwing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert kernels_cache.prepare().is_dir()


def test_a_test_that_did_not_run_fails_a_strict_suite(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_one.py").write_text("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no broker')\n")
    for strict, code in (("", 0), ("1", 1)):
        alone = {**os.environ, "LAPWING_STRICT": strict, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
            capture_output=True, text=True, check=False, cwd=tmp_path, env=alone,
        )  # fmt: skip
        assert done.returncode == code
        assert "NOT RUN test_one.py::test_b: skipped" in done.stdout
