"""`lapwing map`: what it shows is what a run does, the documentation is what it prints, a guess is a mapping."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.config import load
from flows.coverage import cover
from flows.formats.limits import Limits
from flows.mapping_block import CLOSED, MappingBlock, compiled
from flows.suggest import suggest
from models import rules
from models.rules.needs import missing
from tests import mmdb
from tests.command import command
from tests.test_mapping import GOLDEN, RECORDS

DOC = (Path(__file__).parent.parent / "docs" / "mapping.md").read_text()
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)
CONFIG, SAMPLE = GOLDEN / "config.toml", GOLDEN / "gate.ndjson"


def mapped(*arguments: Any) -> dict[str, Any]:
    code, out, said = command("map", *arguments, "--json")
    assert (code, said) == (0, [])
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_documentation_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = []
    for kind, name, text in BLOCKS:
        if name and kind == "json":
            Path(name).write_text(text)
        if kind == "console":
            line, _, expected = text.partition("\n")
            words = line.removeprefix("$ lapwing ").split()
            if "--config" in words:
                guess = '[format.member]\ntime = {path = "when_ms"' in shown[-1]
                files = [body for of, at, body in BLOCKS if (of, at) == ("toml", "keyfold.toml")]
                Path("keyfold.toml").write_text(shown[-1] if guess else files[0])
            code, out, _ = command(*words)
            assert (code, out) == (0, expected), line
            shown.append(out)
    assert len(shown) == 3
    code, _, said = command("map", "--sample", "keyfold.ndjson", "--config", slipped("keyfold.toml"))
    [told] = [text for kind, _, text in BLOCKS if kind == "text"]
    assert (code, said) == (2, told.splitlines())


def slipped(name: str) -> str:
    """The walk's slip: a misspelt word in the mapping."""
    Path(name).write_text(Path(name).read_text().replace('"locked" }', '"lockd" }'))
    return name


def test_the_configurations_of_the_documentation_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mmdb.city(tmp_path / "GeoLite2-City.mmdb")
    mmdb.asn(tmp_path / "GeoLite2-ASN.mmdb")
    texts = [text for kind, _, text in BLOCKS if kind == "toml"]
    assert len(texts) == 3
    for text in texts:
        Path("config.toml").write_text(text)
        assert load("config.toml").given


def test_what_is_shown_of_the_golden_samples() -> None:
    found = mapped("--sample", SAMPLE, "--config", CONFIG)
    paths = {one["member"]: one["paths"] for one in found["members"]}
    assert paths["ip"] == ["net.xff", "net.remote"]
    assert paths["username"] == ["user.mail"]
    assert paths["tenant"] == []
    assert paths["action"] == ["evt"]
    left = {one["path"]: one["example"] for one in found["left"]}
    assert left == {"user.login": '"sam"', "login.method": '"pwd"', "seq": "1"}
    assert found["secrets"] == ["login.password"]
    assert found["dead_letters"] == [{"message": 4, "reason": "bad_time", "detail": "time is 'yesterday'"}]
    assert (found["messages"], found["events"], found["formats"]) == (4, 4, {"gate": 4})
    assert found["off"] == []
    assert "country" in found["empty"]


def test_a_secret_is_never_shown() -> None:
    for words in (["--config", CONFIG], ["--format", "lapwing"], ["--suggest"], []):
        code, out, said = command("map", "--sample", SAMPLE, *words)
        assert code == 0
        assert "hunter" not in out + "".join(said)


def test_words_that_are_in_no_list_are_told(tmp_path: Path) -> None:
    config, sample = tmp_path / "c.toml", tmp_path / "s.json"
    config.write_text(
        '[[format]]\ntype = "mapping"\nid = "x"\n[format.member]\ntime = "t"\nuser = "u"\nreason = "why"\n'
        'action = {path = "a", table = {IN = "login"}}\n'
    )
    events = [{"t": 1_795_410_000, "u": "s", "a": word, "why": "late"} for word in ("IN", "OUT", "OUT")]
    sample.write_text(json.dumps(events, indent=2))
    found = mapped("--sample", sample, "--config", config)
    assert found["unlisted"] == [
        {"member": "reason", "path": "", "value": "late", "events": 3},
        {"member": "action", "path": "a", "value": "OUT", "events": 2},
    ]
    assert found["events"] == 3
    code, out, _ = command("map", "--sample", sample, "--config", config)
    assert code == 0
    assert re.search(r'^action +a +2 +"OUT"$', out, re.MULTILINE)


def test_what_cannot_be_shown_is_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"\n\n")
    assert command("map", "--sample", tmp_path / "none")[::2] == (
        1, [f"lapwing: {tmp_path / 'none'}: cannot be read (No such file or directory)"]
    )  # fmt: skip
    assert command("map", "--sample", empty)[::2] == (1, [f"lapwing: {empty}: no message in it"])
    empty.write_bytes(b"no json\n")
    said_so = [f"lapwing: {empty}: no JSON object in it to guess from"]
    assert command("map", "--sample", empty, "--suggest")[::2] == (1, said_so)
    code, _, said = command("map", "--sample", SAMPLE, "--format", "nothing")
    assert code == 2
    assert said[0].startswith("command line: Expected a format (known: lapwing, auto, ")
    assert command("map", "--sample", SAMPLE, "--suggest", "--json")[0] == 2


def test_a_terminal_is_safe(tmp_path: Path) -> None:
    sample = tmp_path / "s.ndjson"
    sample.write_text(json.dumps({"t": 1_795_410_000, "user\x1b[2J\nx": "a\x1b[31m\u202e", "k\n[x]": 1}) + "\n")
    for words in ([], ["--suggest"], ["--format", "lapwing"]):
        code, out, said = command("map", "--sample", sample, *words)
        assert code == 0
        assert "\x1b" not in out + "".join(said)
        assert "\u202e" not in out
        if words == ["--suggest"]:
            assert [*tomllib.loads(out)] == ["input", "format"]


@settings(max_examples=25, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_a_guess_is_a_mapping(records: list[dict[str, Any]]) -> None:
    text, lacking = suggest(records, "x")
    [table] = tomllib.loads(text)["format"]
    faults: list[str] = []
    mapping = compiled(MappingBlock(**{k: v for k, v in table.items() if k != "type"}), "$", faults)
    assert len(faults) == len(lacking), (faults, text)
    before = repr(records)
    covered = cover(records, lambda record: mapping, rules.default_rules(), Limits(), CLOSED)
    assert covered.events == len(records)
    assert repr(records) == before


def test_a_good_guess() -> None:
    records = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
    text, lacking = suggest(records, "gate")
    assert not lacking
    guess, golden = tomllib.loads(text)["format"][0], tomllib.loads(CONFIG.read_text())["format"][0]
    same = [name for name in golden["member"] if golden["member"][name] == guess["member"].get(name)]
    assert {*golden["member"]} - {*same} == {"tenant"}
    assert guess["secrets"] == golden["secrets"]


def test_a_guess_by_shape_and_by_whole_words() -> None:
    records: list[dict[str, Any]] = [
        {"wann": f"2026-06-14T07:00:{at:02}Z", "adresse": f"203.0.113.7:{at + 1024}", "kennung": "Firma/3.1 (Android)",
         "kennwortHash": "8f3a", "proto": "HTTP/1.1", "beleg": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
         "anfrage": {"url": "https://x.example/a?b"},
         "internal": {"transactionId": f"tx-{at}"}, "action": {"type": "USER.LOGIN"}, "antwortCode": "401",
         "objects": [{"id": "env"}, {"id": "u-1"}], "id": f"e-{at}"}
        for at in range(8)
    ]  # fmt: skip
    text, lacking = suggest(records, "haus")
    found = tomllib.loads(text)
    assert (lacking, found["input"]) == ([], {"format": "haus"})
    [block] = found["format"]
    assert block["secrets"] == ["kennwortHash", "beleg"]
    assert block["member"] == {
        "time": "wann", "ip": "adresse", "user_agent": "kennung", "endpoint": "anfrage.url", "status": "antwortCode",
        "id": "id", "action": {"path": "action.type", "default": "other", "table": {"USER.LOGIN": "login"}},
    }  # fmt: skip


def test_a_detection_is_off_only_where_it_cannot_fire() -> None:
    members = {"time", "ip", "username", "action", "status", "reason", "user", "endpoint"}
    assert [rule.id for rule in rules.default_rules() if missing(rule, members)] == []
    off = {rule.id for rule in rules.default_rules() if missing(rule, {"time", "user", "action", "outcome"})}
    assert off == {
        rule.id for rule in rules.default_rules() if {"ip", "endpoint"} & {*rules.dimension(rule).split("_")}
    } | {"distributed_brute_force_user", "distributed_spray_tenant"}
