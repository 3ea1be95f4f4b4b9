"""The timeline: exact order, incidents and changes in it, nothing of others, and every format harmless."""

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flows.trail import signing
from flows.trail.checkpoints import CHECKPOINT, Checkpoint
from flows.trail.keys import KeyStore
from flows.trail.ledger import Ledger
from flows.trail.note_table import Note, NoteTable
from flows.trail.notes import sign
from flows.trail.store import Store
from flows.trail.timeline import Row
from flows.trail.written_timeline import FORMATS
from tests.command import command
from tests.small_trails import NOW, made, opened, places, told

EVIL = '=HYPERLINK("http://x","y")<script>alert(1)</script>\x1b[2J\u202e'
_SAM = {"user": "u-1", "username": "sam@example.com", "ip": "203.0.113.7", "device": "d-sam", "session": "s-1"}
_EVE = {"user": "u-9", "username": "eve@example.com", "ip": "198.51.100.9", "device": "d-eve", "session": "s-9"}
EVENTS: list[dict[str, Any]] = [
    told(0, **_SAM, request_id="r-1", error_code="966", outcome="failure", reason="bad_credentials", error=EVIL),
    told(3, **_SAM, id="late"),
    told(1, **_EVE),
    told(2, "profile_update", **_SAM, changes=[{"path": "email", "old": "old@x", "new": "sam@example.com"}]),
    told(2, "role_change", user="u-1", username="sam@example.com", actor="admin-7", ip="192.0.2.70", session="s-adm",
         endpoint="/v1/users/u-1/role", error="done by admin-7", changes=[{"path": "role", "old": "a", "new": "b"}]),
    told(4, "account_delete", user="u-5", actor="u-1", ip="203.0.113.7", endpoint="/v1/users/u-5",
         changes=[{"path": "email", "old": "five@example.com", "new": None}], error="u-5 is gone"),
    told(5, "data_read", user="u-9", username="eve@example.com", target="u-1", ip="198.51.100.9", device="d-eve"),
]  # fmt: skip


def _alert(uid: str, dimension: str, entity: str, **more: Any) -> dict[str, Any]:
    return {
        "time": NOW // 1000 + 240_000, "activity_name": "Create", "activity_id": 1, "severity": "High", "count": 8,
        "message": f"Spray on eve@example.com and {entity}", "metadata": {"tenant_uid": "acme"},
        "finding_info": {"uid": uid, "title": "Password spray"},
        "unmapped": {"detection": "password_spray_ip", "dimension": dimension, "entity": entity},
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of events and incidents."""
    where = tmp_path_factory.mktemp("timeline")
    alerts = [_alert("of-sam", "user", "sam@example.com"), _alert("of-eve", "user", "eve@example.com"),
              _alert("of-ip", "ip", "198.51.100.9")]  # fmt: skip
    lapwing = {"v": 1, "time": 0, "risk": 61, "late": False, "alerts": ["of-ip"], "scores": {"ip": {"score": 2.5}}}
    scored = [one | {"lapwing": lapwing if one.get("id") == "late" else lapwing | {"alerts": []}} for one in EVENTS]
    made(where, scored, alerts, scored=True)
    return where


def _rows(folder: Path, *words: str) -> list[dict[str, Any]]:
    code, out, err = command("timeline", *places(folder), *words, "--json")
    assert (code, err) == (0, [])
    found: list[dict[str, Any]] = json.loads(out)["rows"]
    return found


def test_the_sequence_is_by_time_then_source_then_offset(folder: Path) -> None:
    rows = _rows(folder, "--user", "sam@example.com")
    assert [(row["kind"], row["offset"]) for row in rows] == [
        ("event", 0), ("event", 3), ("change", 3), ("event", 4), ("change", 4), ("event", 1), ("event", 5),
        ("change", 5), ("incident", 0), ("incident", 2), ("event", 6),
    ]  # fmt: skip
    assert [row["id"] for row in rows if row["kind"] == "incident"] == ["of-sam", "of-ip"]
    late = next(row for row in rows if row.get("id") == "late")
    assert (late["risk"], late["alerts"], late["scores"]["ip"]["score"]) == (61, ["of-ip"], 2.5)


@pytest.mark.parametrize("form", ["table", "json", "csv", "html"])
def test_a_persons_timeline_has_nothing_of_others(folder: Path, form: str) -> None:
    for name in ("sam@example.com", "u-1"):
        code, out, _ = command("timeline", *places(folder), "--user", name, "--format", form)
        assert code == 0
        others = ("u-9", "eve@", "d-eve", "198.51.100.9", "admin-7", "192.0.2.70", "s-adm", "u-5", "five@example")
        assert [word for word in others if word in out] == []
        assert all(word in out for word in ("person-", "sam@example.com", "203.0.113.7"))


def test_an_object_of_somebody_elses_act_sees_only_that_it_happened(folder: Path) -> None:
    last = _rows(folder, "--user", "u-1")[-1]
    assert last["members"]["target"] == "u-1"
    assert last["members"].keys() == {"action", "outcome", "user", "target"}
    assert "scores" not in last


def test_an_investigator_sees_all_of_an_address(folder: Path) -> None:
    rows = _rows(folder, "--ip", "198.51.100.9")
    assert [(row["kind"], row["offset"]) for row in rows] == [("event", 2), ("incident", 2), ("event", 6)]
    assert rows[1]["members"]["message"].startswith("Spray on eve@example.com")


def test_of_anothers_incident_all_is_told_from_its_beginning(tmp_path: Path) -> None:
    lapwing = {"v": 1, "time": 0, "risk": 61, "late": False, "alerts": ["of-ip"], "scores": {}}
    begun = _alert("of-ip", "ip", "198.51.100.9", time=NOW // 1000 + 60_000)
    grown = begun | {"time": NOW // 1000 + 180_000, "activity_name": "Update", "activity_id": 2}
    other = _alert("of-eve", "user", "eve@example.com", time=NOW // 1000 + 60_000)
    made(tmp_path, [told(2, **_SAM) | {"lapwing": lapwing}, told(0, **_EVE)], [begun, other, grown], scored=True)
    rows = _rows(tmp_path, "--user", "u-1")
    assert [(row["kind"], row["members"].get("activity")) for row in rows] == [
        ("incident", "Create"), ("event", None), ("incident", "Update"),
    ]  # fmt: skip
    assert "eve@" not in json.dumps(rows)


def test_by_session_and_request(folder: Path) -> None:
    assert [row["offset"] for row in _rows(folder, "--session", "s-1") if row["kind"] == "event"] == [0, 3, 1]
    assert [row["offset"] for row in _rows(folder, "--request", "r-1")] == [0]


def test_a_range_is_from_inclusive_to_exclusive(folder: Path) -> None:
    span = ("--from", "2026-11-02T08:02:00Z", "--to", "2026-11-02T08:03:00Z")
    assert {row["offset"] for row in _rows(folder, "--user", "u-1", *span)} == {3, 4}


def test_an_erased_neighbour_is_gone_and_the_incident_that_named_it_is_sealed(tmp_path: Path) -> None:
    evidences = [{"user": {"uid": "u-9"}, "actor": {}}]
    alerts = [_alert("both", "user", "sam@example.com", evidences=evidences)]
    made(tmp_path, [told(0, **_SAM), told(1, "api_call", user="u-1", actor="u-9", ip="198.51.100.9")], alerts)
    with KeyStore.open(tmp_path / "keys") as keys:
        keys.destroy("acme", "u-9")
    rows = _rows(tmp_path, "--user", "sam@example.com")
    assert [(row["kind"], row.get("sealed", False), row.get("erased", [])) for row in rows] == [
        ("event", False, []), ("event", False, ["actor"]), ("incident", True, []),
    ]  # fmt: skip
    code, _, err = command("timeline", *places(tmp_path), "--user", "u-9")
    assert (code, err[0].endswith("nobody is known as u-9: never seen, or erased")) == (1, True)


def test_no_format_runs_or_moves_anything(folder: Path) -> None:
    outputs = {form: command("timeline", *places(folder), "--ip", "203.0.113.7", "--format", form)[1]
               for form in ("table", "csv", "html")}  # fmt: skip
    assert all("\x1b" not in out and "\u202e" not in out for out in outputs.values())
    cells = [cell for line in csv.reader(io.StringIO(outputs["csv"])) for cell in line]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "@", "-")]
    seen = _Seen()
    seen.feed(outputs["html"])
    assert seen.tags & {"script", "link", "img", "iframe", "object", "form", "a"} == set()
    assert seen.outside == []


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.outside: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.outside += [one for one in attrs if one[0] in ("src", "href") or one[0].startswith("on")]


def test_every_format_tells_every_row(folder: Path) -> None:
    found = {form: command("timeline", *places(folder), "--user", "u-1", "--format", form)[1] for form in FORMATS}
    assert found["table"].splitlines()[-1] == "11 rows"
    assert found["html"].count("<tr class=") == json.loads(found["json"])["count"] == 11
    assert len(found["csv"].splitlines()) == 12


def test_the_proof_status_is_that_of_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, [told(minute, **_SAM) for minute in range(4)])
    assert {row["proof"] for row in _rows(tmp_path, "--user", "u-1")} == {"none"}
    with KeyStore.open(tmp_path / "keys") as keys:
        ledger = Ledger(str(tmp_path / "trail"), tmp_path / "keys", keys.identity)
    ledger.resume(Store.open(str(tmp_path / "trail"), "events"))
    ledger.finish()
    made(tmp_path, [told(4, **_SAM)])
    ledger.resume(Store.open(str(tmp_path / "trail"), "events"))
    ledger.finish()
    made(tmp_path, [told(5, **_SAM)])
    checked: list[int] = []
    good = signing.signers
    monkeypatch.setattr(signing, "signers", lambda *some: (checked.append(1), good(*some))[1])
    assert [row["proof"] for row in _rows(tmp_path, "--user", "u-1")] == ["covered"] * 5 + ["pending"]
    assert len(checked) == 3, "of the key, and of the greatest checkpoints of events and of access"
    table = NoteTable.open(str(tmp_path / "trail"))
    assert table is not None
    last = next(said for note in table.notes() if isinstance(said := note.read(), Checkpoint) and said.size == 5)
    forged = last._replace(size=99, since=5)
    table.append([Note(CHECKPOINT, sign(forged.text(), forged.trail, [Ed25519PrivateKey.generate()])),
                  Note(CHECKPOINT, "damaged")])  # fmt: skip
    assert {row["proof"] for row in _rows(tmp_path, "--user", "u-1")} == {"none"}


def test_a_result_is_in_its_file_or_nowhere(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.html"
    words = ("timeline", *places(folder), "--format", "html", "--output", file)
    assert command(*words, "--user", "nobody")[0] == 1
    assert not file.exists()
    assert command(*words, "--user", "u-1") == (0, "", [])
    assert file.read_text().endswith("</body></html>\n")
    assert command(*words[:-1], tmp_path / "no" / "dir", "--user", "u-1")[0] == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--user", "zoe"], 1, "nobody is known as zoe: never seen, or erased"),
        (["--user", "u-1", "--tenant", "globex"], 1, "nobody is known as u-1 in tenant globex"),
        (["--ip", "192.0.2.99"], 1, "nothing of ip 192.0.2.99"),
        (["--user", "u-1", "--from", "2027-01-01"], 1, "nothing of user u-1 in tenant acme from 2027-01-01"),
        (["--user", "u-1", "--from", "2026-11-03", "--to", "2026-11-02"], 2, "--to: is not later than --from"),
        (["--user", "u-1", "--from", "yesterday"], 2, "--from: Expected a date"),
        (["--user", "u-1", "--ip", "192.0.2.1"], 2, "one of --user, --ip, --session and --request"),
        ([], 2, "one of --user, --ip, --session and --request"),
    ],
)
def test_mistakes_are_one_line(folder: Path, words: list[str], code: int, says: str) -> None:
    found, out, err = command("timeline", *places(folder), *words)
    assert (found, out, len(err)) == (code, "", 1)
    assert says in err[0]


def test_a_name_of_two_tenants_must_be_told_apart(tmp_path: Path) -> None:
    made(tmp_path, [told(0, **_SAM), told(1, **_SAM) | {"tenant": "globex"}])
    code, _, err = command("timeline", *places(tmp_path), "--user", "u-1")
    assert (code, "tenants acme, globex: choose one by --tenant" in err[0]) == (2, True)
    assert [row["tenant"] for row in _rows(tmp_path, "--user", "u-1", "--tenant", "globex")] == ["globex"]


def test_an_absent_trail_and_strange_keys_are_one_line(folder: Path, tmp_path: Path) -> None:
    assert command("timeline", *places(tmp_path), "--user", "u-1")[::2][0] == 1
    KeyStore.open(tmp_path / "other", create=True).close()
    code, out, err = command("timeline", "--trail", folder / "trail", "--keys", tmp_path / "other", "--user", "u-1")
    assert (code, out, len(err)) == (1, "", 1)


def test_profile_shows_versions_fields_and_gaps(tmp_path: Path) -> None:
    of = {"user": "u-1", "username": "sam@example.com"}
    made(tmp_path, [
        told(0, "profile_update", **of, ip="203.0.113.7", changes=[{"path": "email", "old": "a@x", "new": "b@x"}]),
        told(9, "email_change", **of, actor="admin-7", changes=[{"path": "email", "old": "evil\x1b", "new": "c@x"}]),
        told(5, "role_change", user="u-2", actor="u-1", changes=[{"path": "role", "old": "a", "new": "b"}]),
    ])  # fmt: skip
    code, out, _ = command("profile", "sam@example.com", *places(tmp_path))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["1", "email:", "2", "email:"]
    assert "GAP: it was last known as b@x" in out.splitlines()[3]
    assert "by admin-7" in out.splitlines()[2]
    assert "\x1b" not in out
    as_of = ("--as-of", "2026-11-02T08:00:00Z")
    assert json.loads(command("profile", "u-1", *places(tmp_path), *as_of, "--json")[1])["fields"] == {"email": "b@x"}
    code, out, _ = command("profile", "u-1", *places(tmp_path), "--diff", "0", "2")
    assert out == "email: a@x -> c@x\n"
    assert command("profile", "u-1", *places(tmp_path), "--diff", "0", "3")[0] == 2
    assert command("profile", "u-1", *places(tmp_path), "--field", "phone")[0] == 1
    assert command("profile", "u-2", *places(tmp_path), "--json")[0] == 0


def test_a_rows_json_is_what_the_struct_says(folder: Path) -> None:
    import msgspec

    for row in _rows(folder, "--user", "u-1"):
        assert msgspec.to_builtins(msgspec.convert(row, Row), str_keys=True) == row


def test_reading_a_timeline_is_itself_a_record_of_the_trail(tmp_path: Path) -> None:
    made(tmp_path, [told(0, **_SAM)])
    assert command("timeline", *places(tmp_path), "--user", "u-1", "--by", "auditor")[0] == 0
    assert command("profile", "u-1", *places(tmp_path), "--by", "support")[0] == 1
    assert command("troubleshoot", "user", "u-1", *places(tmp_path), "--by", "support")[0] == 0
    noted = [record.record for record in opened(tmp_path).records("access")]
    found = {(one["command"], one["by"], one["table"]) for one in noted if one}
    assert {("timeline", "auditor", "events"), ("profile", "support", "events")} < found
    assert ("troubleshoot", "support", "events") in found
    assert not any("u-1" in json.dumps(one) for one in noted)
