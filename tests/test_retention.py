"""What goes when its time is over: whole days and raw messages, nothing that is held, and the rest is proven."""

import json
from datetime import date
from pathlib import Path

import pytest

from flows.config import load
from flows.errors import ConfigError, OutputError
from flows.trail import retention
from flows.trail.store import Store
from flows.trail_block import CLASSES, Retention
from tests.command import command
from tests.subjects import event, files, found_in, write
from tests.trails import archived, events, opened

DAY = 86_400
BEGIN = date(2026, 11, 2)
"""The day of second 0."""
SHORT = {
    "security": Retention(keep="20 days", kinds=CLASSES["security"].kinds),
    "health": Retention(keep="6 years", kinds=CLASSES["security"].kinds, tenants=("clinic",)),
    "raw": Retention(keep="10 days", kinds=("raw", "dead_letters")),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight days before, in two tenants, a tenth of the events late; two of them without any checkpoint's gap."""
    told = []
    for n in range(400):
        day = n // 50 if n % 10 else max(0, n // 50 - 3)
        one = event(-DAY * (30 - day) + n, "login", user=f"u-{n % 5}", ip=f"192.0.2.{n % 5}", session=f"only-{n}")
        told.append(one | {"tenant": "clinic" if n % 7 == 0 else "acme"})
    archived(write(tmp_path / "events.ndjson", told), tmp_path, raw=True)
    return tmp_path


def gone(folder: Path, today: date) -> list[retention.Manifest]:
    with opened(folder) as trail:
        assert trail.keys
        return retention.run(trail, trail.keys, retention.plan(trail, SHORT, today), "cron")


def on(day: int) -> date:
    return date.fromordinal(BEGIN.toordinal() + day)


def test_whole_days_go_by_their_class_and_the_rest_is_proven(folder: Path) -> None:
    before = events(folder)
    done = gone(folder, on(-8))
    left = events(folder)
    last = on(-28).isoformat()  # kept for twenty days, until today
    assert sorted(one.id or "" for one in left) == sorted(
        one.id or "" for one in before if one.tenant == "clinic" or one.event["time"][:10] > last
    )
    assert {(one.kind, one.tree) for one in done} == {
        ("events", "acme"), ("insights", "acme"), ("raw", "acme"), ("raw", "clinic"),
    }  # fmt: skip
    days = {(file.tree, file.day) for file in Store.open(str(folder / "trail"), "insights").files()}
    assert days == {(one.tree, str(one.event["time"])[:10]) for one in left}
    assert sum(one.rows for one in done if one.kind == "events") == len(before) - len(left)
    code, out, _ = command("verify", "--trail", folder / "trail", "--json")
    assert code == 0, out
    assert "retention has removed" in out
    assert list(retention.manifests(str(folder / "trail"))) == done
    kept = [path for path in files(folder / "trail" / "events") if f"day={last}" in str(path) and "acme" in str(path)]
    assert kept == [], "the files are still there"
    assert gone(folder, on(-8)) == []


def test_a_raw_message_goes_and_its_hash_stays(folder: Path) -> None:
    done = gone(folder, on(-15))
    assert {one.kind for one in done} == {"raw"}
    last = on(-25).isoformat()
    raw = {one.id: one.raw for one in opened(folder).events(raw=True)}
    assert {one.id for one in events(folder) if one.event["time"][:10] <= last} == {
        name for name, message in raw.items() if message is None
    }
    assert command("verify", "--trail", folder / "trail")[0] == 0
    assert gone(folder, on(-15)) == []
    assert sum(one.rows for one in gone(folder, on(-14))) < 100, "what has gone is due again"


def test_what_is_held_stays(folder: Path) -> None:
    at = ("--trail", folder / "trail", "--keys", folder / "keys")
    for more in (("--user", "u-3", "--tenant", "acme", "--to", on(-29).isoformat()), ("--tenant", "clinic")):
        assert command("hold", "add", *more, "--reason", "case", *at)[0] == 0
    before = events(folder)
    done = gone(folder, on(-8))
    assert {one.tree for one in done} == {"acme"}
    held = on(-30).isoformat()
    left = events(folder)
    assert [one for one in before if one.event["time"][:10] == held or one.tenant == "clinic"] == [
        one for one in left if one.event["time"][:10] == held or one.tenant == "clinic"
    ]
    raw = [(one.tenant, one.event["user"], one.raw is None) for one in opened(folder).events(raw=True)
           if one.event["time"][:10] == held]  # fmt: skip
    assert {user for tenant, user, is_gone in raw if tenant == "acme" and not is_gone} == {"u-3"}
    assert ("acme", "u-2", True) in raw
    assert command("verify", "--trail", folder / "trail")[0] == 0


def test_a_run_that_died_before_its_rows_went_is_finished_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = Store.remove, []

    def full(self: Store, tree: str, day: str) -> None:
        if removed:
            raise OutputError("no room")
        removed.append(day)
        real(self, tree, day)

    monkeypatch.setattr(Store, "remove", full)
    with pytest.raises(OutputError):
        gone(folder, on(-8))
    monkeypatch.undo()
    table = folder / "trail" / "events" / "tree=acme"
    assert list(table.glob(f"day={removed[0]}/*.parquet")) == [], "what is gone lies there still"
    assert command("verify", "--trail", folder / "trail")[0] == 0
    assert [one.kind for one in gone(folder, on(-8))].count("events") == 2
    assert command("verify", "--trail", folder / "trail")[0] == 0


def test_what_went_is_in_no_file_and_rows_taken_by_another_hand_are_found(folder: Path) -> None:
    before = {one.id for one in events(folder) if one.id}
    assert gone(folder, on(-8))
    left = events(folder)
    ids = sorted(before - {one.id for one in left})
    there = [*files(folder / "trail")]
    assert ids
    assert [path for path in there if found_in(path, [str(left[-1].id)])], "the search finds nothing"
    assert [path for path in there if found_in(path, ids)] == []
    some = next(one for one in left if one.tenant == "acme")
    Store.open(str(folder / "trail"), "events").remove("acme", str(some.event["time"])[:10])
    assert command("verify", "--trail", folder / "trail")[0] == 3


def test_the_command_shows_first_and_removes_with_yes(folder: Path) -> None:
    config = folder / "short.toml"
    config.write_text('[trail.retention.security]\nkeep = "20 days"\n[trail.retention.raw]\nkeep = "10 days"\n')
    at = ("--config", config, "--trail", folder / "trail", "--keys", folder / "keys")
    code, out, _ = command("retention", "plan", "--json", "--on", on(-8).isoformat(), *at)
    assert code == 0
    assert {(one["kind"], one["retention"]) for one in json.loads(out)} == {
        ("events", "security"), ("insights", "security"), ("raw", "raw"),
    }  # fmt: skip
    assert command("retention", "plan", "--on", "2027", *at)[0] == 2
    count = len(events(folder))
    assert command("retention", "run", *at)[0] == 3
    assert len(events(folder)) == count
    assert command("retention", "run", "--yes", "--by", "cron", *at)[0] == 0
    assert events(folder) == []
    code, out, _ = command("retention", "history", "--json", "--trail", folder / "trail")
    assert (code, {one["by"] for one in json.loads(out)}) == (0, {"cron"})


def test_classes_come_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[trail.retention.health]\ntenants = ["clinic"]\n[trail.retention.court]\nkeep = "forever"\n')
    found = load(str(config)).trail.retention
    assert found["health"] == Retention(keep="6 years", tenants=("clinic",))
    assert found["security"] == CLASSES["security"]
    shown = command("config", "--all", "--config", config)[1]
    config.write_text(shown)
    assert load(str(config)).trail.retention == found
    config.write_text('[trail.retention.x]\nkeep = "30d"\nkinds = ["holds"]\n[trail.retention.raw]\ntenants = 3\n')
    with pytest.raises(ConfigError) as error:
        load(str(config))
    assert [fault.rpartition(" - at ")[2] for fault in error.value.faults] == [
        "$.trail.retention.x.keep", "$.trail.retention.x.kinds", "$.trail.retention.raw.tenants",
    ]  # fmt: skip
