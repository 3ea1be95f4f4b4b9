"""Verdicts: what was said of an incident is kept, counted, and becomes a proposal; hostile text stays text."""

import json
import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import verdicts
from flows.commands.verdicts import as_toml
from flows.config import load
from flows.errors import InputError
from flows.formats.ocsf import encode_alert
from flows.intervals import wilson
from flows.precision import precision
from flows.verdict_report import report
from flows.verdicts import Incident, Subject, Verdict, read_records, read_verdicts
from models.alert import Alert
from models.exceptions import Exceptions, expires
from models.rules import about
from tests.command import command, lapwing
from tests.findings import RULES, START, Life

NOW = START / 1e6
JOINT = """
[[detection]]
type = "threshold"
id = "at_one_address"
by = ["ip", "user"]
where = "failure"
count = true
at_least = 5
"""


def alert_of(rule: str = "brute_force_ip", entity: str = "203.0.113.7", number: int = 0, **more: Any) -> Alert:
    alert = Life(rule, entity, 600 * number).alerts()[0]
    return msgspec.structs.replace(alert, **more)


def line_of(alert: Alert) -> bytes:
    rule = RULES[alert.detection]
    return encode_alert(alert, about(rule), rule, 0, "1") + b"\n"


def results(folder: Path, alerts: list[Alert], suppressed: list[Alert] | None = None) -> Path:
    """A directory of results."""
    folder.mkdir(exist_ok=True)
    (folder / "alerts.ndjson").write_bytes(b"".join(map(line_of, alerts)))
    (folder / "suppressed.ndjson").write_bytes(b"".join(map(line_of, suppressed or [])))
    return folder


def judged(folder: Path, alert: Alert, word: str, *more: str) -> None:
    code, out, said = command("verdict", alert.uid, word, "--output", folder, "--by", "kim", *more)
    assert (code, out) == (0, ""), said


def told(folder: Path) -> dict[str, Any]:
    code, out, said = command("verdicts", folder, "--json")
    assert code == 0, said
    found: dict[str, Any] = json.loads(out)
    return found


def uid_of(number: int) -> str:
    return f"{number:032x}"


def test_a_verdict_in_full(tmp_path: Path) -> None:
    alert = alert_of()
    folder = results(tmp_path / "out", [alert])
    before = verdicts.time.time()
    code, out, said = command(
        "verdict", alert.uid, "false", "--note", "office proxy", "--by", "kim@acme.example", "--output", folder
    )
    assert (code, out) == (0, "")
    path = folder / "verdicts.ndjson"
    assert said == [f"lapwing: {path}: {alert.uid}, brute_force_ip of ip 203.0.113.7, is false"]
    [line] = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert before - 1 <= line.pop("time") / 1000 <= verdicts.time.time() + 1
    assert line == {
        "version": 1, "uid": alert.uid, "verdict": "false", "note": "office proxy", "by": "kim@acme.example",
        "detection": "brute_force_ip", "tenant": "acme", "dimension": "ip", "entity": "203.0.113.7", "entities": {},
        "severity": 3,
    }  # fmt: skip
    assert read_verdicts(folder) == read_verdicts(path)
    assert read_verdicts(folder)[alert.uid].note == "office proxy"
    path.unlink()
    assert read_verdicts(folder) == {}


@pytest.mark.parametrize(("digits", "code"), [(7, 3), (8, 3), (9, 0), (32, 0)])
def test_a_prefix_must_be_long_enough_and_the_only_one(tmp_path: Path, digits: int, code: int) -> None:
    one, other = "ab" * 4 + "1" * 24, "ab" * 4 + "2" * 24
    folder = results(tmp_path / "out", [alert_of(uid=one), alert_of(uid=other)])
    ended, _, said = command("verdict", one[:digits].upper(), "true", "--output", folder, "--by", "kim")
    assert ended == code, said
    assert [*read_verdicts(folder)] == ([] if code else [one])
    if code:
        words = {7: "at least the first 8 of them are needed", 8: f"2 incidents of {folder} begin so"}
        assert words[digits] in said[0]


def test_eight_digits_are_enough(tmp_path: Path) -> None:
    folder = results(tmp_path / "out", [alert_of(uid=uid_of(0)), alert_of(uid="1" * 32)])
    assert command("verdict", "1" * 8, "true", "--output", folder, "--by", "kim")[0] == 0
    assert [*read_verdicts(folder)] == ["1" * 32]


@pytest.mark.parametrize("uid", ["f" * 32, "203.0.113.7", "brute_force_ip", "x" * 8, "", "\x1b[2Jabcdefgh"])
def test_what_is_no_incident_is_refused(tmp_path: Path, uid: str) -> None:
    """Also what stands in an alert but is not its uid."""
    folder = results(tmp_path / "out", [alert_of()])
    code, out, said = command("verdict", uid, "true", "--output", folder, "--by", "kim")
    assert (code, out, len(said)) == (3, "", 1)
    assert "\x1b" not in said[0]
    assert not (folder / "verdicts.ndjson").exists()


def test_a_digest_is_no_incident_and_what_it_stands_for_is_one(tmp_path: Path) -> None:
    digest, beyond = alert_of(uid="d" * 32, digest=3), alert_of(uid="b" * 32, suppressed_by=f"digest {'d' * 32}")
    folder = results(tmp_path / "out", [digest], [beyond])
    code, _, said = command("verdict", digest.uid, "true", "--output", folder, "--by", "kim")
    assert code == 3
    assert "of a digest judge the incidents it stands for" in said[0]
    judged(folder, beyond, "true")
    assert told(folder)["incidents"] == 1


def test_usage(tmp_path: Path) -> None:
    folder = results(tmp_path / "out", [alert_of()])
    uid = alert_of().uid
    for words in (
        ("verdict", uid, "maybe", "--output", folder),
        ("verdict", uid, "true", "--output", folder, "--by", " "),
        ("verdict", uid, "true", "--output", folder, "--by", "k" * 257),
        ("verdict", uid, "true", "--output", folder, "--config", tmp_path / "c.toml"),
        ("verdicts", folder, "--config", tmp_path / "c.toml"),
    ):
        assert command(*words)[0] == 2, words
    for words in (("verdict", uid, "true", "--output", tmp_path), ("verdicts", tmp_path)):
        code, _, said = command(*words)
        assert code == 1
        assert "no such file; `lapwing detect --output" in said[0]


@pytest.mark.parametrize(("length", "code"), [(2_000, 0), (2_001, 2)])
def test_a_note_is_bounded(tmp_path: Path, length: int, code: int) -> None:
    folder = results(tmp_path / "out", [alert_of()])
    words = ("verdict", alert_of().uid, "false", "--note", "ä" * length, "--output", folder, "--by", "kim")
    assert command(*words)[0] == code
    assert [one.note for one in read_verdicts(folder).values()] == ["ä" * length] * (not code)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """On a terminal, in the file of verdicts and in what is proposed for the configuration."""
    evil = '\x1b[2J"\n[[exception]]\ncidr = "0.0.0.0/0"\r\u202e'
    alerts = [alert_of("brute_force_user", "sam\x1b[31m", n) for n in range(3)]
    fine = [alert_of("brute_force_user", "kim", n) for n in range(3)]
    folder = results(tmp_path / "out", alerts + fine)
    for alert in alerts + fine:
        code, _, said = command("verdict", alert.uid, "false", "--note", evil, "--by", evil, "--output", folder)
        assert code == 0
        assert all(line.isprintable() for line in said)
    assert len((folder / "verdicts.ndjson").read_bytes().splitlines()) == 6
    code, out, _ = command("verdicts", folder)
    assert code == 0
    assert all(line.isprintable() for line in out.splitlines())
    assert "sam?[31m" in out
    [proposed] = told(folder)["exceptions"]
    assert proposed["user"] == "kim"
    path = tmp_path / "c.toml"
    path.write_text(out[out.index("\n[[exception]]") :])
    [one] = load(str(path)).exception
    assert (one.user, one.cidr, one.owner[:6]) == ("kim", "", '?[2J"?')


def test_bytes_that_are_no_text_in_a_note(tmp_path: Path) -> None:
    folder = results(tmp_path / "out", [alert_of()])
    done = lapwing(
        "verdict", alert_of().uid, "false", "--note", os.fsdecode(b"a\xffb"), "--by", "k", "--output", folder
    )
    assert done.returncode == 0, done.stderr
    assert read_verdicts(folder)[alert_of().uid].note == "a\ufffdb"


def test_precision_of_a_run(tmp_path: Path) -> None:
    """Shadows count as what is told does; what an exception silenced only where it was judged."""
    tolds = [alert_of(number=n) for n in range(10)]
    shadows = [alert_of("brute_force_user", "sam", n, suppressed_by="shadow") for n in range(3)]
    excepted = [alert_of(number=n, suppressed_by="exception x") for n in range(20, 23)]
    folder = results(tmp_path / "out", tolds, shadows + excepted)
    assert told(folder)["detections"][0]["precision"] is None
    for alert, word in zip(tolds, ["true"] * 3 + ["false"] + ["benign"] * 2, strict=False):
        judged(folder, alert, "false")
        judged(folder, alert, word)
    judged(folder, shadows[0], "true")
    judged(folder, excepted[0], "false")
    found = told(folder)
    assert (found["incidents"], found["unjudged"], found["unreadable"]) == (14, 6, 0)
    low, high = wilson(3, 5)
    assert found["detections"] == [
        {
            "detection": "brute_force_ip", "incidents": 11, "unjudged": 4, "true": 3, "false": 2, "benign": 2,
            "precision": 0.6, "low": low, "high": high,
        },
        {
            "detection": "brute_force_user", "incidents": 3, "unjudged": 2, "true": 1, "false": 0, "benign": 0,
            "precision": 1.0, "low": wilson(1, 1)[0], "high": 1.0,
        },
    ]  # fmt: skip
    _, out, _ = command("verdicts", folder)
    assert out.splitlines()[0] == "incidents  14, of which 8 are judged and 6 are not"
    assert "  brute_force_ip    60%        23% to 88%   3     2      2       4" in out.splitlines()
    # A next run without state replaces the results, not what people said of them.
    results(folder, [alert_of("brute_force_user", "lee")])
    again = told(folder)
    assert (again["incidents"], again["unjudged"]) == (9, 1)
    assert again["detections"][0] == found["detections"][0] | {"incidents": 7, "unjudged": 0}


@given(st.integers(1, 3_000), st.data())
def test_the_interval_is_that_of_wilson(of: int, data: st.DataObject) -> None:
    """Its bounds are the shares from which what was seen is just 1.96 standard errors away."""
    hits = data.draw(st.integers(0, of))
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of <= high <= 1
    for bound in (low, high):
        assert (hits / of - bound) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / of, rel=1e-5, abs=1e-12)


WORDS = st.sampled_from(["true", "false", "benign"])


@given(st.lists(st.tuples(st.integers(0, 15), WORDS), max_size=60), st.integers(0, 12))
def test_the_last_verdict_counts(said: list[tuple[int, str]], there: int) -> None:
    """Of the incidents that there are: precision against counting by hand."""
    found = [Incident(uid=uid_of(n), detection=f"d{n % 3}") for n in range(there)]
    given = [
        verdicts.encode(Verdict(uid=uid_of(n), verdict=word, detection=f"d{n % 3}"))  # type: ignore[arg-type]
        for n, word in said
    ]
    known, _, unreadable = read_records([*given, b"rubbish"])
    assert unreadable == 1
    last = dict(said)
    rows = precision(found, known)
    assert [row.detection for row in rows] == [f"d{n}" for n in range(min(3, there))]
    for row in rows:
        mine = Counter(last.get(n, "") for n in range(there) if f"d{n % 3}" == row.detection)
        assert (row.true, row.false, row.benign, row.unjudged) == tuple(
            mine[word] for word in ("true", "false", "benign", "")
        )
        assert row.incidents == sum(mine.values())
        judged_so = mine["true"] + mine["false"]
        assert row.precision == (mine["true"] / judged_so if judged_so else None)
        assert (row.low is None) == (row.high is None) == (not judged_so)


def said_of(subject: Subject, words: list[str]) -> dict[str, Verdict]:
    """Verdicts on as many incidents of one entity."""
    about = {name: getattr(subject, name) for name in Subject.__struct_fields__ if name != "uid"}
    return {
        uid_of(n): Verdict(**about, uid=uid_of(n), verdict=word, by=f"analyst{n}", time=n)  # type: ignore[arg-type]
        for n, word in enumerate(words)
    }


IP = Subject(uid=uid_of(0), detection="brute_force_ip", tenant="acme", dimension="ip", entity="203.0.113.7")


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["false"] * 2, False), (["false"] * 3, True), (["benign"] * 2, False), (["benign"] * 3, True),
        (["false", "benign", "false"], True), (["false"] * 9 + ["true"], False), (["true"] * 3, False),
    ],
)  # fmt: skip
def test_three_false_or_benign_ones_propose_an_exception(words: list[str], there: bool, tmp_path: Path) -> None:
    found = report({}, said_of(IP, words), NOW).exceptions
    assert len(found) == there
    for one in found:
        assert expires(one.expiry) == START // 86_400_000_000 * 86_400_000_000 + 90 * 86_400_000_000
        assert one.owner == f"analyst{len(words) - 1}"
        path = tmp_path / "config.toml"
        path.write_text(as_toml(one))
        assert load(str(path)).exception == (one,), "the configuration takes it as it is"


SUBJECTS = {
    "ip": ("brute_force_ip", "203.0.113.7", {}), "network": ("brute_force_ip", "2001:db8::/64", {}),
    "user": ("brute_force_user", "Sam@example.com", {}), "endpoint": ("error_surge_endpoint", "/users/{id}", {}),
    "tenant": ("traffic_spike_tenant", "acme", {}), "source": ("dead_letter_surge", "audit.events/0", {}),
    "ip_user": ("at_one_address", "203.0.113.7, sam", {"ip": "203.0.113.7", "user": "sam"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SUBJECTS)
def test_what_is_proposed_silences_the_entity_and_nobody_else(kind: str, tmp_path: Path) -> None:
    detection, entity, entities = SUBJECTS[kind]
    dimension = "ip" if kind == "network" else kind
    subject = Subject(
        uid=uid_of(0), detection=detection, tenant="" if kind == "source" else "acme", dimension=dimension,
        entity=entity, entities=entities,
    )  # fmt: skip
    [one] = report({}, said_of(subject, ["false"] * 3), NOW).exceptions
    path = tmp_path / "config.toml"
    path.write_text(as_toml(one) + (JOINT if kind == "ip_user" else ""))
    matching = Exceptions(load(str(path)).exception)
    alert = alert_of(
        detection=detection, tenant=subject.tenant, dimension=dimension, entity=entity, joint=tuple(entities.items())
    )
    assert matching.by_name(alert) == one.id
    others: list[dict[str, Any]] = [{"detection": "traffic_spike_ip"}, {"tenant": "other", "entity": "other"}]
    if kind == "ip_user":
        others.append({"joint": (("ip", "203.0.113.7"), ("user", "kim"))})
    elif kind != "tenant":
        others.append({"entity": "198.51.100.1"})
    for other in others:
        assert matching.by_name(msgspec.structs.replace(alert, **other)) is None, other


@pytest.mark.parametrize("entity", ["*", "a*b", "a\nb", "\u202eb", "x" * 256, ""])
def test_a_name_that_would_match_others_is_not_proposed(entity: str) -> None:
    """A star in an exception is any run of characters, and an account may be called so."""
    subject = msgspec.structs.replace(IP, detection="brute_force_user", dimension="user", entity=entity)
    found = report({}, said_of(subject, ["false"] * 3), NOW)
    assert found.exceptions == []
    assert [one.false for one in found.entities] == [3]
    star = msgspec.structs.replace(IP, tenant="*")
    assert report({}, said_of(star, ["false"] * 3), NOW).exceptions == []


def test_entities_by_their_false_verdicts() -> None:
    """The twenty with most; the last note says why."""
    said: dict[str, Verdict] = {}
    for n in range(21):
        for k in range(n + 1):
            uid = uid_of(1000 * n + k)
            said[uid] = Verdict(uid=uid, verdict="false", entity=f"e{n:02d}", time=k, note=f"note {k}")
    said[uid_of(9)] = Verdict(uid=uid_of(9), verdict="true", entity="e20")
    said[uid_of(99)] = Verdict(uid=uid_of(99), verdict="benign", entity="only benign")
    found = report({}, said, NOW).entities
    assert [one.entity for one in found] == [f"e{n:02d}" for n in range(20, 0, -1)]
    assert (found[0].false, found[0].true, found[0].note) == (21, 1, "note 20")


def test_others_write_to_the_topic_too() -> None:
    """A uid and a word are enough; what is no verdict is counted, and harms nobody."""
    bad: list[Any] = [
        {}, {"uid": "x", "verdict": "true"}, {"uid": uid_of(1)}, {"uid": uid_of(1), "verdict": "perhaps"},
        {"uid": uid_of(1), "verdict": "true", "note": "x" * 2001}, {"uid": uid_of(1), "verdict": "true", "version": 2},
        {"uid": uid_of(1), "verdict": "true", "time": -1}, [], None, "true",
    ]  # fmt: skip
    good = {"uid": uid_of(1), "verdict": "false", "note": "x" * 2000, "more": [1]}
    values = [json.dumps(one).encode() for one in [*bad, good]] + [b"", b"\xff", b'{"uid":', b"[" * 100_000]
    known, _, unreadable = read_records(values)
    assert [*known] == [uid_of(1)]
    assert unreadable == len(values) - 1
    found = report({uid_of(1): Incident(uid=uid_of(1), detection="d", tenant="t")}, known, NOW)
    assert [(row.detection, row.false) for row in found.detections] == [("d", 1)]
    assert [one.tenant for one in found.entities] == ["t"], "the incident says what the verdict does not"


LINE = verdicts.encode(Verdict(uid=uid_of(7), verdict="true", note="first"))


@pytest.mark.parametrize("cut", [0, 1, 20, len(LINE) - 1, len(LINE), len(LINE) + 1])
def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path, cut: int) -> None:
    """As a power failure leaves it; a whole line that lacks its end only, as an editor leaves it, is kept."""
    folder = results(tmp_path / "out", [alert_of()])
    (folder / "verdicts.ndjson").write_bytes(LINE + b"\n" + (LINE.replace(b"first", b"again") + b"\n")[:cut])
    expected = "again" if cut >= len(LINE) else "first"
    assert read_verdicts(folder)[uid_of(7)].note == expected
    judged(folder, alert_of(), "false")
    found = read_verdicts(folder)
    assert (found[uid_of(7)].note, found[alert_of().uid].verdict) == (expected, "false")
    assert (folder / "verdicts.ndjson").read_bytes().endswith(b"\n")


@pytest.mark.parametrize("damage", [b"rubbish\n", b"{}\n", b"\n", b"\xff\n"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: bytes) -> None:
    folder = results(tmp_path / "out", [alert_of()])
    (folder / "verdicts.ndjson").write_bytes(LINE + b"\n" + damage + LINE + b"\n")
    with pytest.raises(InputError, match="line 2 is no verdict"):
        read_verdicts(folder)
    assert command("verdicts", folder)[0] == 1
    with pytest.raises(InputError, match="cannot be read"):
        read_verdicts(tmp_path / "absent.ndjson")


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    folder = results(tmp_path / "out", [alert_of()])
    content = random.Random(1).randbytes(1 << 18).replace(b"\n", b"")
    (folder / "verdicts.ndjson").write_bytes(content)
    code, _, said = command("verdict", alert_of().uid, "true", "--output", folder, "--by", "kim")
    assert (code, len(said)) == (1, 1)
    assert (folder / "verdicts.ndjson").read_bytes() == content


def test_many_may_judge_at_a_time(tmp_path: Path) -> None:
    folder = results(tmp_path / "out", [])
    said = [Verdict(uid=uid_of(n), verdict="true", note="x" * (n % 1500)) for n in range(400)]
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(verdicts.write_verdict, folder, one) for one in said]:
            assert done.result() == folder / "verdicts.ndjson"
    assert read_verdicts(folder) == {one.uid: one for one in said}


def test_a_real_run(detected: Path, tmp_path: Path) -> None:
    """Every incident of it can be judged by its uid, and each detection's are counted."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("alerts.ndjson", "suppressed.ndjson"):
        (out / name).write_bytes((detected / "out" / name).read_bytes())
    lines = [json.loads(line) for line in (out / "alerts.ndjson").read_bytes().splitlines()]
    ids = {
        line["finding_info"]["uid"]: line["unmapped"]["detection"] for line in lines if "digest" not in line["unmapped"]
    }
    found = verdicts.incidents(verdicts.alert_lines(out))
    assert {uid: one.detection for uid, one in found.items() if not one.kept_back} == ids
    for uid in [*ids][:3]:
        assert lapwing("verdict", uid[:12], "true", "--output", out).returncode == 0
    assert {one.by for one in read_verdicts(out).values()} != {""}
    assert told(out)["unjudged"] == len(ids) - 3
    assert sum(row["true"] for row in told(out)["detections"]) == 3
