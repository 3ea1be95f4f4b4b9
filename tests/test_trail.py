"""The trail: everything that came is there once, and is found by whom it is about, by where it came from, by when."""

import hashlib
import json
import random
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.archive_input import check_places
from flows.connectors.archive_source import Came
from flows.errors import InputError, LapwingError, Refused, UsageError
from flows.formats.canonical import members
from flows.formats.dead_letter import bury
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.trail.bloom import hashed
from flows.trail.compact import compact, in_order_of_users
from flows.trail.files import batches
from flows.trail.keys import KeyStore
from flows.trail.ordered import ORDER, in_order
from flows.trail.reader import Trail
from flows.trail.row_groups import holding
from flows.trail.schema import EVENTS, PLAIN, RECORDS, SHARED, leaf_hash, schema_of
from flows.trail.store import Store
from flows.trail.tables import Tables
from tests import command
from tests.odd_lines import lines as odd_lines
from tests.trails import archived, events, keys, leaves, lines, opened, valid, whole

LINES = [b'{"time":' if at % 500 == 7 else line for at, line in enumerate(lines(9_000))]


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of events as a source sent them, sorted."""
    folder = tmp_path_factory.mktemp("trail")
    (folder / "events.ndjson").write_bytes(b"\n".join(LINES) + b"\n")
    done = archived(folder / "events.ndjson", folder, raw=True)
    assert (done.events + done.dead_letters, done.dead_letters > 0) == (len(LINES), True)
    return folder


def test_every_message_is_there_once_in_order_and_whole(trail: Path) -> None:
    found = events(trail, raw=True)
    dead = list(opened(trail).records("dead_letters"))
    kept = {event.offset: event.raw for event in found}
    assert len(found) + len(dead) == len(LINES)
    assert all(kept[offset] == LINES[offset] for offset in kept)
    assert {record.offset for record in dead} == set(range(len(LINES))) - kept.keys()
    assert [(one.time, one.log, one.offset) for one in found] == sorted(
        (one.time, one.log, one.offset) for one in found
    )
    assert whole(trail)


def test_an_event_has_the_members_that_its_message_has(trail: Path) -> None:
    for event in events(trail):
        told = members(LINES[event.offset])
        assert {**event.event, "time": ""} == {"tenant": "default", **told, "time": "", **templated(event.event)}


def templated(event: dict[str, Any]) -> dict[str, Any]:
    """What the trail says of members that its columns have in a closed vocabulary."""
    return {name: event[name] for name in ("action", "outcome", "reason", "method", "status", "ip") if name in event}


@pytest.mark.parametrize("by", ["user", "ip", "session", "request"])
def test_what_is_found_by_a_name_is_what_carries_it(trail: Path, by: str) -> None:
    names = {
        "user": ("user", "username", "actor", "target"), "ip": ("ip",), "session": ("session",),
        "request": ("request_id",),
    }[by]  # fmt: skip
    every = events(trail)
    for one in random.Random(by).sample([event for event in every if names[0] in event.event], 5):
        value = one.event[names[0]]
        found = events(trail, tenant=one.tenant, **{by: value})
        wanted = [other for other in every if other.tenant == one.tenant and value in map(other.event.get, names)]
        ours = {(event.log, event.offset) for event in wanted}
        got = [(event.log, event.offset) for event in found]
        assert ours <= set(got)
        assert len(set(got)) == len(got)
        if by != "user":  # a person may have been seen under another name too
            assert ours == set(got)
        assert all(event.tenant == one.tenant for event in found)


def test_a_range_of_time_is_half_open(trail: Path) -> None:
    every = events(trail)
    start, end = every[100].time, every[500].time
    found = events(trail, start=start, end=end)
    assert found == [event for event in every if start <= event.time < end]
    assert events(trail, start=end, end=start) == events(trail, tenant="nobody") == []


def test_a_sorted_day_is_opened_where_a_person_is(trail: Path) -> None:
    found = opened(trail)
    users = [event for event in events(trail) if "user" in event.event]
    shares = []
    for one in users[:: len(users) // 20]:
        list(found.events(tenant=one.tenant, user=one.event["user"]))
        shares.append(found.opened[0])
    # A person may stand on both sides of a row group's end, have another name, and be in one by a filter's error.
    assert sorted(shares)[len(shares) // 2] < found.opened[1]
    store = Store.open(str(trail / "trail"), "events")
    for file in store.files():
        with store.folder.open(file.path) as (parquet, _):
            assert in_order_of_users(parquet)


def test_filters_say_what_duckdb_says(trail: Path) -> None:
    store = Store.open(str(trail / "trail"), "events")
    file = max(store.files(), key=lambda one: one.rows)
    path = str(trail / "trail" / "events" / file.path)
    draw = random.Random(1)
    with store.folder.open(file.path) as (parquet, source):
        tokens = [row for batch in batches(parquet, [0], ["ip_token"]) for row in batch.column(0).to_pylist() if row]
        for value in [*draw.sample(tokens, 20), *(draw.randbytes(16) for _ in range(50))]:
            query = "SELECT row_group_id FROM parquet_bloom_probe(?, 'ip_token', ?) WHERE NOT bloom_filter_excludes"
            expected = sorted(row[0] for row in duckdb.execute(query, [path, value]).fetchall())
            got = holding(parquet, source, {"ip_token": [value]}, None, None)
            assert set(got) <= set(expected)  # statistics may say more
            assert (value in tokens) <= (0 in got)
    assert len({hashed(draw.randbytes(16)) for _ in range(1000)}) == 1000


def test_a_leaf_is_the_hash_of_its_row_before_and_after_the_day_is_sorted(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(LINES[:600]))
    archived(tmp_path / "a.ndjson", tmp_path, compact=False)
    before = hashes(tmp_path)
    for kind in ("events", "dead_letters"):
        compact(Store.open(str(tmp_path / "trail"), kind))
    assert hashes(tmp_path) == before
    assert len(before) >= 600


def hashes(folder: Path, kinds: tuple[str, ...] = ("events", "dead_letters")) -> dict[tuple[str, ...], bytes]:
    """The leaves' hashes as they are stored, each of them what its row has."""
    found = {}
    for kind in kinds:
        names = schema_of(kind).names
        for batch in opened(folder).table(kind, names):
            for row in batch.to_pylist():
                values = [row[name] for name in names[:-1]]
                if kind == "events":
                    at = names.index("raw")
                    values[at + 1] = values[at + 1] or hashlib.sha256(values[at]).digest()
                    values[at] = None
                assert leaf_hash(values) == row["leaf_hash"]
                found[kind, row["tree"], row["log"], row["leaf"]] = row["leaf_hash"]
    return found


def test_any_bytes_are_an_event_or_a_dead_letter(tmp_path: Path) -> None:
    messages = odd_lines(5, 1_500)
    with KeyStore.open(tmp_path / "keys", create=True) as store:
        tables = Tables(str(tmp_path / "trail"), store, partial(decode, limits=Limits()), "raw")
        for at in range(0, len(messages), 400):
            raw = raw_batch("odd", messages[at : at + 400])
            tables.take(Came("raw", "odd", "odd", replace(raw, offset=raw.offset + at)))
        tables.commit()
    found = events(tmp_path, raw=True)
    assert all(one.raw == messages[one.offset] for one in found)
    assert len(found) + len(list(opened(tmp_path).records("dead_letters"))) == len(messages)
    assert len(found) > 300
    assert whole(tmp_path)
    assert hashes(tmp_path)


def test_what_does_not_fit_into_memory_is_sorted_on_disk() -> None:
    draw = np.random.default_rng(1)
    columns = {
        "time": draw.integers(0, 50, 3_000), "log": draw.choice(["a", "b"], 3_000),
        "offset": draw.permutation(3_000), "index": np.zeros(3_000, int), "tree": ["t"] * 3_000,
        "sealed": [draw.bytes(8) for _ in range(3_000)],
    }  # fmt: skip
    pieces = pa.table(columns).to_batches(max_chunksize=100)
    in_memory, on_disk = (pa.Table.from_batches(in_order(pieces, at)).to_pylist() for at in (10_000, 500))
    assert in_memory == on_disk == sorted(in_memory, key=lambda row: [row[name] for name in ORDER])


def test_what_waits_on_disk_waits_among_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder in which a command is run is nobody's place to write to, and in a container it cannot be."""
    here, folder = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    draw = np.random.default_rng(1)
    pieces = (
        pa.record_batch({"time": draw.integers(0, 1 << 60, 1_000), "sealed": [draw.bytes(400)] * 1_000})
        for _ in range(700)
    )
    found = in_order(pieces, 1_000, ["time"])
    times = [next(found)["time"]]
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > 10_000_000
    assert not list(here.iterdir())
    times += [batch["time"] for batch in found]
    assert np.all(np.diff(pa.concat_arrays(times).to_numpy()) >= 0)
    assert not list(folder.iterdir())


def test_tenants_that_anyone_can_make_up_share_a_tree(tmp_path: Path) -> None:
    names = ["acme", "globex", "../../etc", "a b", "x" * 60, "ünder", "initech", "_shared", ".hidden"]
    messages = [
        json.dumps({"time": 1_793_577_600 + n, "tenant": name, "user": f"u-{n}", "ip": "192.0.2.1"}).encode()
        for n, name in enumerate(names * 2)
    ]
    with KeyStore.open(tmp_path / "keys", create=True) as store:
        for some in (messages[: len(names)], messages[len(names) :]):  # the second writer knows what the first placed
            tables = Tables(str(tmp_path / "trail"), store, partial(decode, limits=Limits()), "raw", most_trees=3)
            raw = raw_batch("t", some)
            tables.take(Came("raw", "t", "t", replace(raw, offset=raw.offset + (0 if some[0] == messages[0] else 9))))
            tables.commit()
    trees = {one.tenant: one.tree for one in events(tmp_path)}
    assert trees == dict.fromkeys(names, SHARED) | {"acme": "acme", "globex": "globex"}
    assert {path.name for path in (tmp_path / "trail" / "events").glob("tree=*")} == {
        "tree=acme", "tree=globex", f"tree={SHARED}",
    }  # fmt: skip
    for n, name in enumerate(names):
        assert [one.offset for one in events(tmp_path, tenant=name)] == [n, n + 9]
        assert [one.offset for one in events(tmp_path, user=f"u-{n}")] == [n]
    assert whole(tmp_path)


def test_dead_letters_of_an_interrupted_commit_are_kept_once(tmp_path: Path) -> None:
    """The reader's own come first, whatever their offsets; a crash comes behind their table's commit."""
    large = bury("too_large", "alerts.ndjson", 5, 0, b"{}")
    raw = replace(raw_batch("alerts.ndjson", [b"{"]), offset=np.array([3]), oversize=(large,))
    with KeyStore.open(tmp_path / "keys", create=True) as store:
        for is_whole in (False, True):
            tables = Tables(str(tmp_path / "trail"), store, partial(decode, limits=Limits()), "raw")
            tables.take(Came("alerts", "alerts.ndjson", "alerts.ndjson", raw))
            (tables if is_whole else tables.writer("dead_letters")).commit()
    assert Store.open(str(tmp_path / "trail"), "dead_letters").size("default", "alerts.ndjson") == 2


def test_results_are_archived_with_what_lapwing_added(detected: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("alerts.ndjson", "actions.ndjson", "suppressed.ndjson", "dead-letters.ndjson", "windows.parquet"):
        shutil.copy(detected / "out" / name, out / name)
    table = pq.read_table(out / "windows.parquet").slice(0, 300)
    pq.write_table(table, out / "windows.parquet")
    scored = (detected / "out" / "scored.ndjson").read_bytes().splitlines(keepends=True)[-2_000:]
    (out / "scored.ndjson").write_bytes(b"".join(scored))
    done = archived(out, tmp_path)
    kept = {name: (detected / "out" / name).read_bytes().splitlines() for name in ("alerts.ndjson", "actions.ndjson")}
    assert done.events == 2_000
    assert done.records["windows"] == 300
    assert done.records["actions"] == len(kept["actions.ndjson"])
    for event in events(tmp_path, raw=True):
        line = scored[event.offset]
        assert event.raw == line[: line.rfind(b',"lapwing":{')] + b"}"
        assert event.lapwing == json.loads(line)["lapwing"]
    found = opened(tmp_path)
    told = {record.offset: record.record for record in found.records("alerts") if record.log == "alerts.ndjson"}
    assert told == dict(enumerate(map(json.loads, kept["alerts.ndjson"])))
    of_users = [alert for alert in told.values() if alert and alert["unmapped"]["dimension"] == "user"]
    for alert in of_users[:5]:
        whom = {"user": alert["unmapped"]["entity"], "tenant": alert["metadata"]["tenant_uid"]}
        assert alert in [record.record for record in found.records("alerts", **whom)]
    uid = told[0]["finding_info"]["uid"]  # type: ignore[index]
    of_uid = [record.record["finding_info"]["uid"] for record in found.records("alerts", uid=uid) if record.record]
    assert set(of_uid) == {uid}
    windows = [record.record for record in found.records("windows")]
    assert sorted(one["end"] for one in windows if one) == sorted(table["end"].cast(pa.int64()).to_pylist())
    assert whole(tmp_path)
    assert archived(out, tmp_path).events == 0


def test_a_file_that_grows_goes_on_and_another_of_its_name_is_another(tmp_path: Path) -> None:
    source = tmp_path / "in" / "events.ndjson"
    source.parent.mkdir()
    half = len(LINES[50]) // 2
    source.write_bytes(b"\n".join(LINES[:50]) + b"\n" + LINES[50][:half])  # the last is being written
    assert archived(source.parent, tmp_path).events + 1 > 49
    source.write_bytes(b"\n".join(LINES[:100]))
    archived(source.parent, tmp_path)
    assert archived(source.parent, tmp_path).events == 0
    assert [one.raw for one in events(tmp_path, raw=True) if one.offset == 50] == [LINES[50]] * bool(valid([LINES[50]]))
    (source.parent / "more").mkdir()
    (source.parent / "more" / "late.ndjson").write_bytes(b"\n".join(LINES[100:200]))
    archived(source.parent, tmp_path)
    source.write_bytes(b"\n".join(LINES[200:220]))
    archived(source.parent, tmp_path)
    logs = {log: len(numbers) for (tree, log), numbers in leaves(tmp_path).items() if tree == "acme"}
    assert set(logs) == {"events.ndjson", "more/late.ndjson"}
    assert whole(tmp_path)
    total = len(events(tmp_path)) + len(list(opened(tmp_path).records("dead_letters")))
    assert total == 220
    source.write_bytes(b"\n".join(LINES[200:210]))
    with pytest.raises(InputError, match=r"has 10 lines, but 20 were archived"):
        archived(source.parent, tmp_path)


def test_a_persons_names_are_one_person(tmp_path: Path) -> None:
    told = [
        {"user": "u-1", "username": "Sam@Example.com"}, {"user": "u-1"}, {"username": "sam@example.com"},
        {"user": "u-2", "actor": "u-1"}, {"user": "u-3", "target": "u-1"}, {"user": "u-4"},
    ]  # fmt: skip
    source = tmp_path / "people.ndjson"
    source.write_text("".join(json.dumps({"time": 1_793_577_600 + n, **one}) + "\n" for n, one in enumerate(told)))
    archived(source, tmp_path)
    for name in ("u-1", "SAM@example.com"):
        assert [one.offset for one in events(tmp_path, user=name)] == [0, 1, 2, 3, 4]
    with keys(tmp_path) as store:
        assert len(store.destroy("default", "u-1")) == 1
    found = events(tmp_path, raw=True)
    assert [one.erased for one in found] == [("user",), ("user",), ("user",), ("actor",), ("target",), ()]
    assert [one.raw is None for one in found] == [True] * 5 + [False]
    assert "u-1" not in json.dumps([one.event for one in found])
    assert found[3].event["user"] == "u-2"
    assert events(tmp_path, user="u-1") == []


def broken(folder: Path, how: str) -> None:
    """Spoil a copy of a trail."""
    table = folder / "trail" / "events"
    files = sorted(table.rglob("*.parquet"))
    commits = sorted((table / "_delta_log").glob("*.json"))
    if how == "absent":
        shutil.rmtree(table)
    elif how == "corrupt":
        for file in files:
            middle = file.stat().st_size // 2
            data = bytearray(file.read_bytes())
            data[64:middle] = bytes(middle - 64)
            file.write_bytes(data)
    elif how == "cut":
        for file in files:
            file.write_bytes(file.read_bytes()[:100])
    elif how == "gone":
        for file in files:
            file.unlink()
    elif how == "half a commit":
        commits[-1].write_bytes(commits[-1].read_bytes()[:40])
    elif how == "no log":
        shutil.rmtree(table / "_delta_log")
    elif how == "other keys":
        shutil.rmtree(folder / "keys")
        KeyStore.open(folder / "keys", create=True).close()
    elif how == "no keys":
        shutil.rmtree(folder / "keys")
    elif how == "keys for all":
        (folder / "keys").chmod(0o755)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("absent", "no such table"), ("corrupt", "cannot be read|cannot be opened"), ("cut", "cannot be read"),
        ("gone", "cannot be read"), ("half a commit", "trail/events: "), ("no log", "no such table"),
        ("other keys", "was sealed with other keys"), ("no keys", "no key store"), ("keys for all", "chmod go="),
    ],
)  # fmt: skip
def test_what_is_broken_is_one_line(tmp_path: Path, how: str, said: str) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(LINES[:40]))
    archived(tmp_path / "a.ndjson", tmp_path, compact=False)
    broken(tmp_path, how)
    with pytest.raises(LapwingError, match=said) as found:
        events(tmp_path)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 500
    assert isinstance(found.value, Refused if how == "keys for all" else InputError)


def test_names_are_not_found_without_keys_and_plain_columns_are(trail: Path) -> None:
    bare = Trail.open(str(trail / "trail"), None)
    with pytest.raises(InputError, match="--keys"):
        next(bare.events(user="u-1"))
    told = next(bare.events()).event
    assert told.keys() <= {"time", "tenant", *PLAIN}


def test_places_that_lie_in_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ndjson").write_bytes(LINES[0])
    for trail, keys_, said in (
        ("trail", "trail/keys", "must lie apart"), ("in/trail", "keys", "would read it"),
        ("trail", "in/keys", "would read it"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            check_places(str(tmp_path / "in"), str(tmp_path / trail), tmp_path / keys_)
    words = ["archive", "--input", tmp_path / "in", "--trail", tmp_path / "in" / "t", "--keys", tmp_path / "keys"]
    done = command.lapwing(*words)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert not (tmp_path / "keys").exists()


def test_the_tables_are_as_they_were(golden: Any) -> None:
    text = "".join(f"{name}\n{schema.to_string()}\n\n" for name, schema in (("events", EVENTS), ("others", RECORDS)))
    golden("trail-schema.txt", text.encode())
