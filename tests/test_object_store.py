"""A trail in an object store, over S3: written through kills, proven, asked, sorted and erased as on a disk."""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.trail.reader import Trail
from tests.command import command, lapwing, said
from tests.kafka.jars import listed
from tests.object_store.server import LIST, SECRET, ObjectStore
from tests.prepared import started
from tests.trails import lines, valid

_GIVE_UP_S = 300.0
_number = itertools.count()


class Bucket:
    """A bucket of a test: the folder with its objects, and the options of a command over the trail in it."""

    def __init__(self, store: ObjectStore, keys: Path) -> None:
        name = f"bucket-{next(_number)}"
        self.folder, self.trail, self.keys = store.bucket(name), f"s3://{name}/some/trail", keys

    def commits(self) -> int:
        return len([*self.folder.glob("some/trail/events/_delta_log/*.json")])

    def verified(self) -> dict:
        code, out, errors = command("verify", "--trail", self.trail, "--json")
        assert (code, errors) == (0, [])
        return json.loads(out)


@pytest.fixture
def bucket(object_store, tmp_path, monkeypatch):
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    return Bucket(object_store, tmp_path / "keys")


def test_the_list_names_each_jar_once_with_a_whole_checksum():
    jars = listed(LIST.read_text())
    assert len({(jar.group, jar.name) for jar in jars}) == len(jars)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in jars)


def begin(source: Path, bucket: Bucket) -> "subprocess.Popen[str]":
    """The archive in batches so small that a commit follows the other."""
    return started(
        [
            sys.executable, "-m", "tests.archive_under_test", "20", "300", "--input", str(source), "--trail",
            bucket.trail, "--keys", str(bucket.keys), "--raw", "--quiet",
            "--config", str(source.with_name("config.toml")),
        ],
        env={**os.environ}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_and_begun_twice_at_once_it_keeps_every_message_once(bucket, tmp_path):
    source, draw = tmp_path / "events.ndjson", random.Random(5)
    (tmp_path / "config.toml").write_text("[input]\nbatch_rows = 40\n")
    messages = [b"{}" if at % 50 == 3 else line for at, line in enumerate(lines(3_000, 5))]
    source.write_bytes(b"\n".join(messages) + b"\n")
    killed = 0
    for _ in range(3):
        child, wanted = begin(source, bucket), bucket.commits() + draw.randint(1, 2)
        give_up = time.monotonic() + _GIVE_UP_S
        while child.poll() is None and bucket.commits() < wanted and time.monotonic() < give_up:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        killed += child.poll() is None
        child.kill()
        child.communicate()
    assert killed == 3
    # The store refuses a commit that another has made: one of them may give up, none may number a leaf twice.
    both = [begin(source, bucket) for _ in range(2)]
    said_by = [child.communicate(timeout=_GIVE_UP_S)[1] for child in both]
    assert all(text.count("\n") <= 1 and "Traceback" not in text for text in said_by)
    last = begin(source, bucket)
    assert last.communicate(timeout=_GIVE_UP_S)[1] == ""
    assert last.returncode == 0
    report = bucket.verified()
    assert report["findings"] == []
    kept = [event.raw for event in Trail.open(bucket.trail, bucket.keys).events(raw=True)]
    assert sorted(kept) == sorted(line for line in messages if line != b"{}" and valid([line]))
    assert sum(one["leaves"] for one in report["proven"]) == len(messages)


def test_sorted_asked_and_erased_it_still_verifies(bucket, tmp_path):
    source = tmp_path / "events.ndjson"
    messages = lines(800, 6)
    source.write_bytes(b"\n".join(messages) + b"\n")
    trail = ("--trail", bucket.trail)
    opened = (*trail, "--keys", bucket.keys)
    assert command("archive", "--input", source, "--raw", "--quiet", *opened)[0] == 0
    assert "sorted" in command("trail", "compact", *trail)[2][0]
    first = next(one for one in valid(messages) if one.get("user") and one.get("username"))
    assert command("insights", "--output", tmp_path / "report.html", *opened)[0] == 0
    code, out, _ = command("prove", first["id"], *trail)
    assert code == 0, out
    assert (
        command("subject", "erase", first["user"], "--tenant", first["tenant"], "--reason", "asked", "--yes", *opened)[
            0
        ]
        == 0
    )
    code, out, _ = command("timeline", "--user", first["user"], *opened)
    assert first["username"] not in out
    assert bucket.verified()["findings"] == []
    assert not [
        file for file in bucket.folder.rglob("*") if file.is_file() and first["username"].encode() in file.read_bytes()
    ]


def test_what_the_store_refuses_is_told_in_one_line(bucket, object_store, tmp_path):
    code, out, told = command("verify", "--trail", "s3://no-such-bucket/trail")
    assert (code, out) == (1, "")
    assert "404 Not Found" in told[0]
    assert "bucket does not exist" in told[0]
    source = tmp_path / "events.ndjson"
    source.write_bytes(b"\n".join(lines(10, 1)) + b"\n")
    words = ("archive", "--input", source, "--raw", "--trail", bucket.trail, "--keys", bucket.keys)
    wrong = "another-secret-of-the-tests"
    done = lapwing(*words, env={**os.environ, **object_store.environment(wrong)})
    assert done.returncode == 1
    told = said(done.stderr)
    assert "403 Forbidden" in told[-1]
    assert wrong not in str(told)
    assert SECRET not in str(told)
    assert "StringToSign" not in str(told)
    assert not [*bucket.folder.rglob("*.parquet")]
