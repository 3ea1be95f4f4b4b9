"""The rights of a person: what is kept can be had, can be made unreadable, and what must stay stays."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.archive import run
from flows.config import load
from flows.trail import erasure, holds, housekeeping
from flows.trail.keys import KeyStore
from flows.trail.schema import KINDS
from flows.trail.store import Store
from tests.command import command
from tests.subjects import ATTACKER, NINA, SECRETS, event, files, found_in, watched, write
from tests.trails import archived, leaves, opened

NAME = NINA["username"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail that nobody changes."""
    return watched(tmp_path_factory.mktemp("trail"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A trail of one's own."""
    for name in ("trail", "keys", "out"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def at(folder: Path) -> tuple[str | Path, ...]:
    return "--trail", folder / "trail", "--keys", folder / "keys"


def erased(folder: Path, name: str = NAME) -> tuple[int, str, list[str]]:
    return command("subject", "erase", name, "--reason", "request 1", "--by", "officer", "--yes", *at(folder))


def uid_of(folder: Path, entity: str) -> str:
    alerts = [record.record for record in opened(folder).records("alerts") if record.record]
    return next(one["finding_info"]["uid"] for one in alerts if one["unmapped"]["entity"] == entity)


def everything(folder: Path) -> str:
    """All that the keys still open."""
    with opened(folder) as trail:
        told: list[Any] = [(one.event, one.raw, one.lapwing) for one in trail.events(raw=True)]
        told += [
            one.record for kind in KINDS[1:] if trail.has(kind) and kind != "retention" for one in trail.records(kind)
        ]
    return repr(told)


def test_nothing_of_an_erased_person_is_left_in_any_file(folder: Path) -> None:
    for part in range(2):  # so that there is more than one version, and one that is sorted
        archived(write(folder / f"more{part}.ndjson", [event(100 + part, "login", **NINA)]), folder, raw=True)
    assert all(secret in everything(folder) for secret in SECRETS if secret != "nina.nyström@acme.example")
    assert set(found_in(folder / "out" / "scored.ndjson", SECRETS)) >= set(NINA.values()), "the search finds nothing"
    with KeyStore.open(folder / "keys") as keys:
        subjects = keys.find("acme", NAME)
    code, _, said = erased(folder)
    assert code == 0, said
    secrets = [*SECRETS]
    assert {
        str(path): found for path in files(folder / "trail", folder / "keys") if (found := found_in(path, secrets))
    } == {}
    stored = [path.read_bytes() for path in files(folder / "keys")]
    assert subjects
    assert not [each for each in subjects for bytes_ in stored if each.key in bytes_], "a key is still there"
    left = everything(folder)
    assert [secret for secret in SECRETS if secret in left] == []
    assert "vera@acme.example" in left


def test_an_erasure_is_recorded_without_a_name_and_the_trail_verifies(folder: Path) -> None:
    code, out, _ = command(
        "subject", "erase", NAME, "--reason", "request 1", "--by", "officer", "--yes", "--json", *at(folder)
    )
    assert code == 0
    done = json.loads(out)
    assert done["by"] == "officer"
    assert done["rows"]["events"] >= 45
    assert command("subject", "erasures", "--json", *at(folder))[1].count(done["id"]) == 1
    assert command("verify", "--trail", folder / "trail")[0] == 0
    for words in (("subject", "export", NAME, "--output", folder / "x"), ("timeline", "--user", NAME)):
        code, out, said = command(*words, *at(folder))
        assert (code, out, len(said)) == (1, "", 1)
        assert "never" in said[0]
        assert command(*(word if word != NAME else "nobody@acme.example" for word in words), *at(folder))[2] == [
            said[0].replace(NAME, "nobody@acme.example")
        ], "an erased person is told from one who never was"


def test_an_erased_name_may_come_again_as_somebody_else(folder: Path) -> None:
    erased(folder)
    archived(write(folder / "again.ndjson", [event(9000, "login", **NINA)]), folder, raw=True)
    with opened(folder) as trail:
        assert [one.id for one in trail.events(user=NAME)] == ["e-9000-login"]


def test_without_yes_nothing_is_erased(folder: Path) -> None:
    code, _, said = command("subject", "erase", NAME, "--reason", "request 1", *at(folder))
    assert (code, len(said)) == (3, 1)
    assert "events" in said[0]
    assert NINA["session"] in everything(folder)
    assert command("subject", "erase", NAME, "--reason", " ", "--yes", *at(folder))[0] == 2
    assert command("subject", "erase", "never@acme.example", "--reason", "x", "--yes", *at(folder))[0] == 1


@pytest.mark.parametrize("by", ["erase", "archive"])
def test_an_erasure_that_was_cut_off_before_the_keys_went_is_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    def crash(self: KeyStore, *whom: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(KeyStore, "destroy_all", crash)
    with opened(folder) as trail, KeyStore.open(folder / "keys") as keys, pytest.raises(KeyboardInterrupt):
        erasure.erase(trail, keys, "acme", NAME, "request 1", "officer")
    monkeypatch.undo()
    assert NINA["session"] in everything(folder)
    code, out, _ = command("hold", "add", "--user", NAME, "--reason", "case 7", "--json", *at(folder))
    assert code == 0
    assert erased(folder)[0] == 3, "a hold came between"
    assert command("hold", "release", json.loads(out)["id"], "--reason", "closed", *at(folder))[0] == 0
    said: list[str] = []
    if by == "erase":
        code, _, said = erased(folder)
        assert code == 0
    else:
        archived(write(folder / "more.ndjson", [event(9000, "login", user="u-1")]), folder, raw=True, tell=said.append)
    with opened(folder) as trail:
        (one,) = erasure.history(trail)
    assert one.destroyed
    assert [line for line in said if f"finished: erasure {one.id}" in line]
    assert [secret for secret in SECRETS if secret in everything(folder)] == []


def test_an_erasure_that_was_cut_off_is_finished_by_the_next_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = housekeeping.append

    def crash(trail: str, kind: str, keys: KeyStore, entries: Any, **more: Any) -> None:
        if kind == erasure.ERASURES and "destroyed" in entries[0].record:
            raise KeyboardInterrupt
        real(trail, kind, keys, entries, **more)

    monkeypatch.setattr(housekeeping, "append", crash)
    with opened(folder) as trail, KeyStore.open(folder / "keys") as keys:
        with pytest.raises(KeyboardInterrupt):
            erasure.erase(trail, keys, "acme", NAME, "request 1", "officer")
    monkeypatch.undo()
    with opened(folder) as trail:
        assert trail.keys
        assert [one.destroyed for one in erasure.history(trail)] == [None]
        assert len(erasure.settle(trail, trail.keys)) == 1
        assert erasure.history(trail)[0].destroyed


@pytest.mark.parametrize("what", ["user", "tenant", "incident"])
def test_a_hold_refuses_erasure_until_it_is_released(folder: Path, what: str) -> None:
    name = "vera@acme.example" if what == "incident" else NAME
    value = {"user": NAME, "tenant": "acme", "incident": uid_of(folder, "vera@acme.example")}[what]
    code, out, said = command(
        "hold", "add", f"--{what}", value, "--reason", "case 7", "--by", "legal", "--json", *at(folder)
    )
    assert code == 0, said
    hold = json.loads(out)["id"]
    code, _, said = erased(folder, name)
    assert (code, len(said)) == (3, 1)
    assert hold in said[0]
    if what == "incident":
        assert erased(folder, "user3@acme.example")[0] == 0, "somebody else is held"
    for path in files(folder / "trail" / "holds"):
        assert found_in(path, [NAME, "vera@acme.example", ATTACKER]) == []
    assert command("hold", "release", hold, "--reason", "closed", *at(folder))[0] == 0
    assert command("hold", "release", hold, "--reason", "closed", *at(folder))[0] == 3
    assert command("hold", "release", "0" * 12, "--reason", "closed", *at(folder))[0] == 1
    assert erased(folder, name)[0] == 0
    with opened(folder) as trail:
        assert [(one.id, one.by, one.released is not None) for one in holds.history(trail)] == [(hold, "legal", True)]


def test_a_hold_on_a_tenant_in_another_time_holds_nobody(folder: Path) -> None:
    command("hold", "add", "--tenant", "acme", "--to", "2026-11-01", "--reason", "audit", *at(folder))
    assert erased(folder)[0] == 0


def test_who_reads_is_noted_before_anything_is_shown(folder: Path) -> None:
    code, _, _ = command("timeline", "--user", NAME, "--by", "ann", *at(folder))
    assert code == 0
    with opened(folder) as trail:
        assert trail.keys
        ids = {subject.id.hex() for subject in trail.keys.find("acme", NAME)}
        noted = list(housekeeping.read(trail.place, "access", trail.keys, dict[str, Any]))
        assert {(one["by"], one["command"]) for one in noted} == {("ann", "timeline")}
        assert any(set(one.get("subjects", ())) == ids and one["table"] == "events" for one in noted)
        assert [one.record for one in trail.records("access", user=NAME)]
    for path in files(folder / "trail" / "access"):
        assert found_in(path, [NAME, NINA["user"], "ann"]) == []
    shutil.rmtree(folder / "trail" / "access")
    (folder / "trail" / "access").write_text("not a folder")
    code, out, said = command("timeline", "--user", NAME, *at(folder))
    assert (code, out, len(said)) == (1, "", 1), "shown without being noted"


def test_every_command_that_opens_the_keys_says_who_it_is() -> None:
    folder = Path(__file__).parent.parent / "flows" / "commands"
    for path in sorted(folder.glob("*.py")):
        text = path.read_text()
        opening = [end for end in ("Trail", "Replay") if f"{end}.open(trail, Path(keys))" in text]
        opening += ["KeyStore"] * ("KeyStore.open(" in text and "Access(" not in text)
        # A new signing key is no look at anything.
        assert not opening or (path.name, opening) == ("trail.py", ["KeyStore"]), f"{path.name} does not say who reads"


def test_what_is_held_erased_due_and_counted_is_not_read_unnoted(folder: Path) -> None:
    code, out, _ = command("hold", "add", "--user", NAME, "--reason", "case 7", "--by", "ann", "--json", *at(folder))
    assert code == 0
    asked: list[tuple[tuple[str, ...], str]] = [
        (("hold", "list"), "holds"), (("hold", "release", json.loads(out)["id"], "--reason", "closed"), "holds"),
        (("retention", "plan"), "holds"), (("retention", "run"), "holds"), (("subject", "erasures"), "erasures"),
        (("insights", "--json"), "insights"),
    ]  # fmt: skip
    for number, (words, _) in enumerate(asked):
        assert command(*words, "--by", f"reader {number}", *at(folder))[0] == 0, words
    with KeyStore.open(folder / "keys") as keys:
        noted = list(housekeeping.read(str(folder / "trail"), "access", keys, dict[str, Any]))
    wanted = {(f"reader {at}", " ".join(words[:2]).replace(" --json", ""), kind)
              for at, (words, kind) in enumerate(asked)}  # fmt: skip
    assert {(one["by"], one["command"], one["table"]) for one in noted if one["by"] != "ann"} == wanted


def test_a_record_of_the_trails_own_that_was_changed_is_one_line(folder: Path) -> None:
    assert command("hold", "add", "--user", NAME, "--reason", "case 7", *at(folder))[0] == 0
    (path,) = (folder / "trail" / "holds").rglob("*.parquet")
    rows = pq.ParquetFile(path).read()
    for sealed in (b"too short", bytes(60)):
        column = pa.array([sealed] * rows.num_rows, rows["sealed"].type)
        pq.write_table(rows.set_column(rows.schema.get_field_index("sealed"), "sealed", column), path)
        for words in (("hold", "list"), ("subject", "erase", NAME, "--reason", "x"), ("retention", "plan")):
            code, out, said = command(*words, *at(folder))
            assert (code, out, len(said)) == (1, "", 1)
            assert "lapwing verify" in said[0]


def test_an_export_has_all_of_the_person_and_nothing_of_others(folder: Path) -> None:
    code, out, said = command("subject", "export", NAME, "--output", folder / "nina", "--json", *at(folder))
    assert code == 0, said
    told = json.loads(out)
    assert told["rows"]["event"] == 45
    assert {path.name for path in files(folder / "nina")} == set(told["files"])
    assert [oct(path.stat().st_mode & 0o777) for path in files(folder / "nina")] == ["0o600"] * len(told["files"])
    rows = json.loads((folder / "nina" / "timeline.json").read_text())["rows"]
    assert {row["id"] for row in rows if row["kind"] == "event"} >= {
        "e-62-email_change",
        "e-63-role_change",
        "e-65-data_read",
    }
    whole = "".join(path.read_text() for path in files(folder / "nina"))
    assert all(secret in whole for secret in NINA.values())
    others = ("adm-1", "192.0.2.9", "s-admin", 'u-3"', "vera", ATTACKER, "user3@acme.example")
    assert [other for other in others if other in whole] == []
    assert command("subject", "export", NAME, "--output", folder / "nina", *at(folder))[0] == 3


def test_whom_an_incident_has_hit(folder: Path) -> None:
    uid = uid_of(folder, "vera@acme.example")
    code, out, said = command(
        "subject", "affected", "--incident", uid, "--to", "2026-11-02T09:00:00Z", "--json", *at(folder)
    )
    assert code == 0, said
    told = json.loads(out)
    assert [one["name"] for one in told["people"]] == ["vera@acme.example"]
    vera = told["people"][0]
    assert (vera["read"], vera["changed"], vera["fields"]) == ({"data_export": 1}, {"email_change": 1}, ["email"])
    assert (vera["reached"], vera["attempts"]) == (1, 16)
    assert (vera["first"][:19], vera["last"][:19]) == ("2026-11-02T08:16:40", "2026-11-02T08:19:10")
    shown = command("subject", "affected", "--incident", uid[:8], *at(folder))
    assert (shown[0], "vera@acme.example" in shown[1]) == (0, True)
    assert command("subject", "affected", "--incident", uid[:7], *at(folder))[0] == 2
    assert command("subject", "affected", "--incident", "0" * 32, *at(folder))[0] == 1


def test_a_running_archive_does_not_seal_with_a_destroyed_key(folder: Path) -> None:
    with KeyStore.open(folder / "keys") as running, KeyStore.open(folder / "keys") as other:
        names, mark = ("acme", NINA["user"], NINA["username"]), b"nina"
        before = running.subjects([names])[names]
        running.keep()
        running.know([mark], [b"".join(before)])
        assert running.known([mark, b"sam"]) == [b"".join(before), b""]
        other.destroy("acme", NAME)
        assert running.known([mark]) == [b""]
        assert running.subjects([names])[names].id != before.id


def test_what_is_stored_was_sealed_with_keys_that_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the keys anew as rows are about to be stored finds those of everyone in them; before, of nobody."""
    messages = [b'{"time":1793577600,"user":"u-%d","ip":"192.0.2.1","tenant":"acme"}' % at for at in range(50)]
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(messages) + b"\n")
    found: list[int] = []
    append = Store.append

    def opened_anew(store: Store, rows: pa.Table | None, *how: Any) -> None:
        if rows is not None and store.kind == "events":
            with KeyStore.open(tmp_path / "keys") as keys:
                found.extend(len(keys.find("acme", f"u-{at}")) for at in range(50))
        append(store, rows, *how)

    monkeypatch.setattr(Store, "append", opened_anew)
    run(load(None), str(tmp_path / "events.ndjson"), str(tmp_path / "trail"), tmp_path / "keys", Event(), raw=True)
    assert found == [1] * 50


def test_keys_that_were_not_kept_are_not_there(tmp_path: Path) -> None:
    names = ("acme", "u-1", "sam@example.com")
    with KeyStore.open(tmp_path / "keys", create=True) as keys:
        lost = keys.subjects([names])[names]
        assert keys.find("acme", "u-1") == [lost]
    with KeyStore.open(tmp_path / "keys") as keys:
        assert keys.find("acme", "u-1") == []
        kept = keys.subjects([names])[names]
        keys.keep()
    with KeyStore.open(tmp_path / "keys") as keys:
        assert keys.find("acme", "sam@example.com") == [kept] != [lost]


def test_commands_that_note_at_the_same_time_have_a_leaf_each(folder: Path) -> None:
    with KeyStore.open(folder / "keys") as keys, ThreadPoolExecutor(4) as pool:
        entries = [housekeeping.Entry("acme", str(number), {"number": number}) for number in range(12)]
        list(pool.map(lambda entry: housekeeping.append(str(folder / "trail"), "access", keys, [entry]), entries))
        found = list(housekeeping.read(str(folder / "trail"), "access", keys, dict[str, Any]))
    assert sorted(one["number"] for one in found) == list(range(12))
    assert leaves(folder, "access") == {("acme", "access"): list(range(12))}
