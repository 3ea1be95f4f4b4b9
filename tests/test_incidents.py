"""The queue and the screen of an incident: what was told, who has it, and nothing that moves a cursor."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.mutes import change_mutes
from flows.verdicts import Operation, encode, read_operations, read_verdicts
from models.alert import CLOSE, Alert
from models.mutes import Mute
from tests.command import command
from tests.findings import Life
from tests.test_verdicts import alert_of, results


def listed(folder: Path, *words: str) -> list[dict[str, Any]]:
    code, out, said = command("incidents", "--input", folder, "--json", *words)
    assert code == 0, said
    found: list[dict[str, Any]] = json.loads(out)["incidents"]
    return found


def uids(folder: Path, *words: str) -> list[str]:
    return [row["incident"]["uid"] for row in listed(folder, *words)]


def act(folder: Path, uid: str, *words: str) -> None:
    code, out, said = command("incident", uid, *words, "--input", folder, "--by", "kim")
    assert (code, out) == (0, ""), said


def shown(folder: Path, uid: str) -> str:
    code, out, said = command("incident", uid, "--input", folder)
    assert code == 0, said
    return out


def evidence(**more: Any) -> dict[str, Any]:
    return {"id": "e1", "time": "2026-11-23T05:00:00Z", "action": "login", "outcome": "failure", **more}


def lives() -> list[Alert]:
    """Three incidents of one address, one of an account; the second is over, the third belongs to the first."""
    one, two, three = (alert_of(number=number) for number in (0, 2, 4))
    over = msgspec.structs.replace(two, activity=CLOSE, seq=1, count=40, time=two.time + 60_000_000)
    three = msgspec.structs.replace(three, incident=one.uid, front=False)
    user = Life("brute_force_user", "sam@example.com", 3600).alerts()[0]
    return [one, two, over, three, msgspec.structs.replace(user, severity=4)]


def test_the_queue_is_the_newest_first_and_one_attack_is_one_line(tmp_path: Path) -> None:
    one, two, _, three, user = alerts = lives()
    folder = results(tmp_path / "out", alerts, [alert_of(number=9, suppressed_by="mute 1: why")])
    assert uids(folder) == [user.uid, two.uid, one.uid]
    rows = {row["incident"]["uid"]: row for row in listed(folder, "--all")}
    assert len(rows) == 5
    assert (rows[one.uid]["linked"], rows[two.uid]["incident"]["closed"], rows[two.uid]["incident"]["count"]) == (
        1,
        True,
        40,
    )
    assert three.uid in rows
    assert uids(folder, "--severity", "high") == [user.uid]
    assert uids(folder, "--detection", "brute_force_ip") == [two.uid, one.uid]
    assert uids(folder, "--tenant", "nobody") == []
    assert uids(folder, "--limit", "1") == [user.uid]
    code, out, _ = command("incidents", "--input", folder)
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 6)
    assert "over" in lines[4]
    assert "goes on +1" in lines[5]
    assert uids(folder, "--since", "2020-01-01T00:00:00Z") == uids(folder)
    assert uids(folder, "--since", "2100-01-01T00:00:00Z") == []
    for never in ("soon", "9999d"):
        assert command("incidents", "--input", folder, "--since", never)[0] == 2
    assert command("incidents", "--input", folder, "--severity", "grave")[0] == 2
    assert command("incidents", "--input", tmp_path)[0] == 1


def test_what_is_done_and_said_is_kept_among_the_verdicts_and_counted_apart(tmp_path: Path) -> None:
    one, two, *_, user = lives()
    folder = results(tmp_path / "out", lives())
    act(folder, one.uid[:8], "ack", "--note", "looking")
    act(folder, two.uid, "resolve")
    act(folder, user.uid, "false", "--note", "office proxy")
    status = {row["incident"]["uid"]: (row["status"], row["by"], row["open"]) for row in listed(folder)}
    assert status == {
        one.uid: ("ack", "kim", True), two.uid: ("resolved", "kim", False), user.uid: ("false", "kim", False),
    }  # fmt: skip
    assert uids(folder, "--open") == [one.uid]
    assert [(row.operation, row.uid, row.note) for row in read_operations(folder)] == [
        ("ack", one.uid, "looking"), ("resolve", two.uid, ""),
    ]  # fmt: skip
    assert {uid: one.verdict for uid, one in read_verdicts(folder).items()} == {user.uid: "false"}
    act(folder, two.uid, "ack")
    assert set(uids(folder, "--open")) == {one.uid, two.uid}, "the last of both counts"
    act(folder, user.uid, "resolve")
    assert user.uid not in uids(folder, "--open"), "a verdict stands"
    assert "false by kim" in shown(folder, user.uid)


def test_a_digest_is_taken_and_done_with_and_is_never_judged(tmp_path: Path) -> None:
    digest = alert_of("brute_force_user", "", number=5, digest=12, dimension="tenant")
    folder = results(tmp_path / "out", [digest])
    assert uids(folder, "--open") == [digest.uid]
    act(folder, digest.uid[:8], "ack")
    assert "ack by kim" in shown(folder, digest.uid)
    code, _, [line] = command("incident", digest.uid, "true", "--input", folder)
    assert (code, "judge the incidents it stands for" in line) == (3, True)
    act(folder, digest.uid, "resolve")
    assert uids(folder, "--open") == []


def test_the_screen_shows_the_mutes_of_its_like_and_no_others(tmp_path: Path) -> None:
    alert = alert_of()
    folder = results(tmp_path / "out", [alert])

    def mute(number: str, **more: str) -> Mute:
        about = {"detection": alert.detection, "reason": "r", "by": "kim", **more}
        return Mute(id=number, since=0, until=10**14, **about)

    mutes = [
        mute("mine"), mute("net", detection="brute_*", entity=f"{alert.entity}/32", tenant=alert.tenant),
        mute("other", entity="198.51.100.9"), mute("stranger", tenant="nobody"), mute("else", detection="mfa_*"),
    ]  # fmt: skip
    change_mutes(tmp_path, lambda _: mutes)
    _, text, _ = command("incident", alert.uid, "--input", folder, "--state", tmp_path)
    assert [line.split()[1] for line in text.splitlines() if line.startswith("muted")] == ["mine", "net"]
    _, text, _ = command("incident", alert.uid, "--input", folder, "--state", tmp_path, "--json")
    assert [one["id"] for one in json.loads(text)["mutes"]] == ["mine", "net"]


def test_one_screen_has_all_there_is_to_know(tmp_path: Path) -> None:
    one, *rest = lives()
    failure = evidence(ip="203.0.113.7", username="kim", reason="bad_credentials", status=401, time=1795409999123)
    success = evidence(id="e2", ip="203.0.113.7", username="sam", outcome="success", time="2026-11-23T05:01:00Z")
    one = msgspec.structs.replace(
        one, evidences=(failure,), failed_users=7, succeeded_users=2, expected=1.25, value=20.0, limit=10.0
    )
    later = msgspec.structs.replace(one, activity=CLOSE, seq=1, evidences=(success,), failed_users=0, succeeded_users=0)
    folder = results(tmp_path / "out", [one, *rest, later])
    text = shown(folder, one.uid[:10])
    for part in ("observed   20, limit 10, expected 1.25", "7 failed there, 2 succeeded; let in: sam", "to do", "1. ",
                 "linked incidents", "bad_credentials", "2026-11-23T04:59:59.123", "Create", "Close", "nobody has it",
                 "tenant"):  # fmt: skip
        assert part in text, part
    assert all(len(line) <= 160 for line in text.splitlines())
    found = json.loads(command("incident", one.uid, "--input", folder, "--json")[1])
    assert (len(found["messages"]), found["let_in"], len(found["events"])) == (2, ["sam"], 2)
    assert rest[2].uid in [row["incident"]["uid"] for row in found["linked"]]
    scored = {"time": one.start // 1000, "ip": one.entity, "username": "eve", "action": "login", "outcome": "success",
              "tenant": one.tenant, "lapwing": {"v": 1, "time": one.start // 1000}}  # fmt: skip
    (folder / "scored.ndjson").write_bytes(msgspec.json.encode(scored) + b"\n")
    assert "let in: sam, eve" in shown(folder, one.uid), "also by the scored events"


def test_nothing_from_outside_moves_the_cursor(tmp_path: Path) -> None:
    evil = "sam\x1b[2J\u202eevil"
    alert = alert_of("brute_force_user", evil, evidences=(evidence(username=evil, ip=evil, reason=evil),))
    folder = results(tmp_path / "out", [alert])
    act(folder, alert.uid, "ack", "--note", "a\x1b[1mb\nc")
    for text in (shown(folder, alert.uid), command("incidents", "--input", folder)[1]):
        assert "\x1b" not in text
        assert "\u202e" not in text


@pytest.mark.parametrize("words", [(), ("ack",), ("true",)])
def test_what_is_not_there_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = results(tmp_path / "out", lives())
    code, _, [line] = command("incident", "f" * 32, *words, "--input", folder)
    assert (code, "no incident in" in line) == (3, True)
    assert command("incident", "ff", *words, "--input", folder)[0] == 3
    assert not (folder / "verdicts.ndjson").exists()


def test_operations_of_others_are_read_whatever_they_leave_out(tmp_path: Path) -> None:
    one, *_ = lives()
    folder = results(tmp_path / "out", lives())
    rows = [b'{"uid":"%s","operation":"ack"}' % one.uid.encode(), encode(Operation(uid="x", operation="mute"))]
    (folder / "verdicts.ndjson").write_bytes(b"".join(row + b"\n" for row in rows))
    assert [row["status"] for row in listed(folder) if row["incident"]["uid"] == one.uid] == ["ack"]
    (folder / "verdicts.ndjson").write_bytes(b'{"operation":"dance"}\n')
    assert command("incidents", "--input", folder)[0] == 1
