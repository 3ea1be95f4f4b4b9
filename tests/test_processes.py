"""Several processes are as one: the same results, one failure, one stop, and nobody left behind."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.config import load
from tests.command import begun, children, lapwing, said
from tests.flow_under_test import config_file, results, run, same, stream, write
from tests.kafka_runs import Site, eventually, file_results, records_of

LINES = stream(1)
RECORDS = records_of(LINES)
TWO = ("--processes", "2")


def both(process: "subprocess.Popen[bytes]", but: tuple[int, ...] = ()) -> list[int]:
    """The two processes of a run, once they are there; others than those before."""
    return eventually(
        lambda: len(mine := children(process.pid)) == 2 and not {*but} & {*mine} and mine, "two processes are there"
    )


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, list[str]]:
    """How a run ended, and what it said."""
    _, stderr = process.communicate(timeout=300)
    return process.returncode, said(stderr)


@contextmanager
def running(*words: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    with begun("detect", *words) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_one_two_one_processes_are_one_run(tmp_path: Path) -> None:
    path = config_file(tmp_path)
    write(tmp_path / "whole", LINES)
    run(load(str(path)), tmp_path / "whole", tmp_path / "expected")
    source, output, done = tmp_path / "in", tmp_path / "out", []
    mutes = tmp_path / "state" / "mutes.json"
    for third, more in enumerate(((), TWO, ("--close",))):
        if more == TWO:
            mutes.write_bytes(b"[{")
        for name, lines in LINES.items():
            (source / name).mkdir(parents=True, exist_ok=True)
            with (source / name / "events.ndjson").open("ab") as file:
                file.writelines(line + b"\n" for at, line in lines if 640 * third <= at < 640 * (third + 1))
        ran = lapwing(
            "detect", "--config", path, "--input", source, "--output", output, "--state", tmp_path / "state", "--json",
            *more,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert sum("is damaged" in line for line in said(ran.stderr)) == (more == TWO), "others than the first tell too"
        mutes.unlink(missing_ok=True)
        done.append(json.loads(ran.stdout))
    same(results(output), results(tmp_path / "expected"))
    assert sum(one["events"] for one in done) == len(RECORDS)
    assert [one["scored"] + one["dead_letters"] for one in done] == [one["events"] for one in done]
    assert all(one["events"] and one["windows"] for one in done)
    assert not any(one["overtaken"] or one["overflowed"] or one["restarts"] for one in done)


def test_one_of_two_killed_over_kafka_is_exactly_once(kafka: Any, tmp_path: Path) -> None:
    shape = config_file(tmp_path).read_text()
    site = Site(kafka, tmp_path / "site", len(LINES), 2, config=f"[input]\nbatch_rows = 50\n{shape}")
    output = tmp_path / "expected"
    site.run(source=site.files(RECORDS), output=output, close=True, state=tmp_path / "other")
    middle = sorted(record.timestamp for record in RECORDS)[len(RECORDS) // 2]
    site.produce(record for record in RECORDS if record.timestamp < middle)
    with site.running(*TWO, "--start", "earliest") as process:
        first = both(process)
        eventually(lambda: len(site.read("scored")) > 100, "events are scored")
        os.kill(first[1], signal.SIGKILL)
        site.produce(record for record in RECORDS if record.timestamp >= middle)
        eventually(lambda: len(site.read("scored")) + len(site.read("dead_letters")) == len(RECORDS), "all is scored")
        process.terminate()
        code, lines = ended(process)
    assert code == 0, lines
    assert lines[0].startswith("lapwing: process 1 of 2 was ended by signal 9; all start again in 1 s (restart 1 of 5)")
    assert lines[1].startswith("lapwing: stopped; run it again with --state")
    assert lines[2].endswith("counted since the last of 1 restarts")
    assert not children(process.pid)
    site.run(close=True)
    same(site.results(), file_results(output))


def test_all_end_with_the_one_that_started_them_and_ctrl_c_says_so(tmp_path: Path) -> None:
    pipe, output = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(pipe)
    keep = os.open(pipe, os.O_RDWR)
    words = ("--input", pipe, "--output", output, "--state", tmp_path / "state", *TWO)

    def said_and_scored(first: int, last: int) -> None:
        os.write(keep, b"".join(line + b"\n" for _, line in LINES["dense"][first:last]))
        public = output / "scored.ndjson"
        eventually(lambda: public.exists() and public.read_bytes().count(b"\n") == last, "events are scored")

    try:
        with running(*words) as process:
            said_and_scored(0, 5)
            process.send_signal(signal.SIGINT)
            code, lines = ended(process)
        assert code == 130
        assert lines[-1].startswith("lapwing: 5 messages")
        with running(*words) as process:
            left = both(process)
            said_and_scored(5, 9)
            process.kill()
            process.wait(60)
        eventually(lambda: not any(Path("/proc", str(pid)).exists() for pid in left), "nobody is left")
    finally:
        os.close(keep)


def test_given_up_after_too_many_restarts(tmp_path: Path) -> None:
    write(tmp_path / "in", {"a": LINES["dense"], "b": LINES["sparse"]})
    path = tmp_path / "config.toml"
    path.write_text('[run]\nprocesses = 2\nmax_restarts = 1\nbackoff = "100ms"\n')
    words = ("--config", path, "--input", tmp_path / "in", "--output", tmp_path / "out", "--state", tmp_path / "state")
    with running(*words) as process:
        first = both(process)
        os.kill(first[0], signal.SIGKILL)
        os.kill(both(process, but=tuple(first))[0], signal.SIGKILL)
        code, lines = ended(process)
    assert code == 1
    assert [line.partition(" of 2 was ")[2] for line in lines] == [
        "ended by signal 9; all start again in 0.1 s (restart 1 of 1)",
        "ended by signal 9; given up after 1 restarts within 10m",
    ]
    assert lapwing("detect", *words).returncode == 0, "the state is as good as ever"


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--input", "-"), 2, "lapwing: standard input goes to one process only: give --processes 1, or a file"),
        (("--input", "absent"), 1, "lapwing: absent: no such file or directory"),
    ],
)
def test_a_mistake_is_told_once(tmp_path: Path, words: tuple[str, ...], code: int, line: str) -> None:
    ran = lapwing("detect", *words, "--output", tmp_path / "out", *TWO, cwd=tmp_path)
    assert ran.returncode == code
    (only,) = said(ran.stderr)
    assert only.startswith(line)


def test_what_a_process_says_is_told_once_and_not_tried_again(tmp_path: Path) -> None:
    """Without a state there is nothing to go on from."""
    write(tmp_path / "in", {"a": LINES["dense"], "b": LINES["sparse"]})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scored.ndjson").mkdir()
    ran = lapwing("detect", "--input", tmp_path / "in", "--output", tmp_path / "out", *TWO)
    assert ran.returncode == 1
    assert said(ran.stderr) == [f"lapwing: {tmp_path / 'out' / 'scored.ndjson'}: cannot be written (Is a directory)"]
