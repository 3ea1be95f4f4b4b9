"""`lapwing test`: examples beside detections, as an analyst runs them."""

import gzip
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flows.config import config_hash, load
from flows.errors import ConfigError
from models.rules.defaults import BASE
from tests.command import ROOT, begun, command, lapwing, said

FAILED = 'action = "login", outcome = "failure"'
OWN = """
[[detection]]
type = "threshold"
id = "own"
by = "ip"
where = "failure"
{rule}
[[detection.example]]
{example}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def outcomes(path: Path, *arguments: str, code: int) -> list[dict[str, Any]]:
    ended, out, err = command("test", path, "--json", *arguments)
    assert (ended, err) == (code, []), out
    found: dict[str, Any] = json.loads(out)
    assert found["failed"] == sum(not one["passed"] for one in found["examples"])
    assert bool(found["failed"]) == (code == 1)
    return found["examples"]  # type: ignore[no-any-return]


def faults(path: Path) -> list[str]:
    code, out, err = command("test", path)
    assert (code, out) == (2, ""), err
    return [line.removeprefix(f"{path}: ") for line in err]


def test_ten_fire_and_nine_do_not(tmp_path: Path) -> None:
    path = written(tmp_path, f"""
[[detection]]
type = "brute_force_user"
[[detection.example]]
name = "ten"
events = {{{FAILED}, user = "sam", ip = "203.0.113.{{n}}", repeat = 10, every = "60s"}}
[[detection.example]]
name = "nine"
fires = false
events = {{{FAILED}, user = "sam", repeat = 9}}
[[detection.example]]
name = "ten, too slow"
fires = false
events = {{{FAILED}, user = "sam", repeat = 10, every = "70s"}}
""")  # fmt: skip
    ten, nine, slow = outcomes(path, code=0)
    assert ten["fired"] == [
        {"detection": "brute_force_user", "dimension": "user", "entity": "sam", "value": 10.0, "limit": 10.0,
         "suppressed_by": ""}
    ]  # fmt: skip
    assert not nine["fired"]
    assert nine["measured"] == [
        {"bound": "at least 10 events where failure", "entity": "sam", "value": 9.0, "holds": False}
    ]
    assert (nine["events"], slow["measured"][0]["value"]) == (9, 9.0)
    done = lapwing("test", path)
    assert done.returncode == 0
    assert done.stdout.decode().endswith("\n3 as expected, 0 not\n")


def test_what_is_not_as_expected_says_what_was_measured_and_what_fired_instead(tmp_path: Path) -> None:
    path = written(tmp_path, f"""
[[detection]]
type = "brute_force_ip"
[[detection.example]]
name = "too many accounts"
events = {{{FAILED}, user = "u{{n%7}}", ip = "203.0.113.9", repeat = 30}}
[[detection]]
type = "brute_force_user"
at_least = 4
[[detection.example]]
name = "nobody"
fires = false
events = {{{FAILED}, user = "Sam\\u001B", repeat = 6}}
""")  # fmt: skip
    many, nobody = outcomes(path, code=1)
    assert not many["fired"]
    assert {one["entity"] for one in many["others"]} == {f"u{k}" for k in range(7)}
    assert [(one["value"], one["holds"]) for one in many["measured"]] == [(30.0, True), (7.0, False)]
    assert {one["entity"] for one in many["measured"]} == {"203.0.113.9"}
    assert many["measured"][1]["bound"] == "unless at least 5 different user where failure"
    assert [one["value"] for one in nobody["fired"]] == [6.0]
    assert not nobody["measured"]
    code, text, err = command("test", path)
    assert code == 1
    assert not err
    assert "\x1b" not in text
    assert "FAIL  brute_force_user  nobody " in text
    assert "  instead   brute_force_user, user u1: 5 (limit 4)\n" in text
    assert "  measured  7 for 203.0.113.9: unless at least 5 different user where failure\n" in text
    assert "(30 events; $.detection[0].example[0])" in text
    assert text.endswith("0 as expected, 2 not\n")


@pytest.mark.parametrize(
    ("rule", "events", "value"),
    [
        ('count = true\nat_least = 100', 'user = "u{n}", repeat = 37', 37.0),
        ('distinct = "user"\nat_least = 100', 'user = "u{n%13}", repeat = 37', 13.0),
        ('distinct = "session"\nat_least = 100', 'user = "u", session = "{n%9}", repeat = 37', 9.0),
        ('sum = "latency_ms"\nat_least = 1e6', 'user = "u", latency_ms = "{n}.5", repeat = 4', 12.0),
        ("ratio = 'status == 401'\nat_least = 0.9\nat_least_events = 4", 'user = "u", status = "40{n%2}", repeat = 4',
         0.5),
        ('count = true\nwindow = "1m"\nat_least = 100', 'user = "u", repeat = 20, every = "10s"', 6.0),
    ],
)  # fmt: skip
def test_the_measure_is_the_largest_of_any_window(tmp_path: Path, rule: str, events: str, value: float) -> None:
    own = f'fires = false\nevents = {{{FAILED}, ip = "192.0.2.1", {events}}}'
    (one,) = outcomes(written(tmp_path, OWN.format(rule=rule, example=own)), code=0)
    assert (one["measured"][0]["entity"], one["measured"][0]["value"]) == ("192.0.2.1", value)


def test_every_bound_of_a_detection_is_measured(tmp_path: Path) -> None:
    rule = """distinct = "user"
at_least = 5
at_least_events = 50
also = {sum = "latency_ms", at_least = 1000}
unless = {where = "success", distinct = "user", times = 1.0}"""
    events = f"""events = [
    {{{FAILED}, ip = "192.0.2.1", user = "u{{n%6}}", latency_ms = 2, repeat = 12}},
    {{action = "login", outcome = "success", ip = "192.0.2.1", user = "v{{n%3}}", repeat = 9}}]"""
    (one,) = outcomes(written(tmp_path, OWN.format(rule=rule, example=events)), code=1)
    assert [(seen["bound"], seen["value"], seen["holds"]) for seen in one["measured"]] == [
        ("at least 5 different user where failure", 6.0, True),
        ("at least 50 events where failure", 12.0, False),
        ("at least 1000 latency_ms in sum where failure", 24.0, False),
        ("unless at least 1 times as many different user where success", 3.0, True),
    ]


def test_tables_follow_each_other_or_begin_where_they_say(tmp_path: Path) -> None:
    rule = 'count = true\nwindow = "1m"\nat_least = 8'
    table = f'{{{FAILED}, ip = "192.0.2.1", user = "u", repeat = 4, every = "20s"'
    path = written(tmp_path, OWN.format(rule=rule, example=f"""
name = "one after another"
fires = false
events = [{table}}}, {table}}}]
[[detection.example]]
name = "side by side"
fires = false
events = [{table}}}, {table}, at = "0s"}}]
[[detection.example]]
name = "side by side, faster"
events = [{table}, time = 2026-03-01T10:00:00Z}}, {table}, time = "2026-03-01T11:00:00+01:00"}},
          {table}, time = 2026-03-01T10:00:01Z}}]"""))  # fmt: skip
    after, beside, faster = outcomes(path, code=0)
    assert [one["measured"][0]["value"] for one in (after, beside)] == [3.0, 6.0]
    assert faster["fired"][0]["value"] == 9.0


def test_long_silences_are_meant(tmp_path: Path) -> None:
    """A step of more than `max_jump` waits for a second event in a run; the last of an example would never count."""
    reset = 'action = "password_reset_request", user = "sam"'
    path = written(tmp_path, f"""
[[detection]]
type = "base"
id = "reset_surge_user"
[[detection.example]]
events = {{{reset}, repeat = 5, every = "14m"}}
[[detection.example]]
fires = false
events = {{{reset}, repeat = 5, every = "16m"}}
""")  # fmt: skip
    first, second = outcomes(path, code=0)
    assert (first["fired"][0]["value"], second["measured"][0]["value"]) == (5.0, 4.0)


def test_who_and_how_often(tmp_path: Path) -> None:
    path = written(tmp_path, f"""
[[detection]]
type = "brute_force_user"
[[detection.example]]
name = "two"
times = 2
events = {{{FAILED}, user = "u{{n%2}}", repeat = 20}}
[[detection.example]]
name = "one of them"
entity = "u1"
times = 1
events = {{{FAILED}, user = "u{{n%2}}", repeat = 20}}
[[detection.example]]
name = "somebody else"
entity = "u2"
events = {{{FAILED}, user = "u{{n%2}}", repeat = 20}}
[[detection.example]]
name = "more often"
times = 3
events = {{{FAILED}, user = "u{{n%2}}", repeat = 20}}
""")  # fmt: skip
    found = outcomes(path, code=1)
    assert [one["passed"] for one in found] == [True, True, False, False]
    assert found[1]["expected"] == "fires once for u1"
    assert found[3]["expected"] == "fires 3 times"


def test_events_may_lie_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    row = {"time": "2026-11-23T05:00:00Z", "action": "login", "outcome": "failure", "user": "sam", "ip": "192.0.2.1"}
    text = "".join(json.dumps(row) + "\n" for _ in range(10)) + "{\n"
    (tmp_path / "examples" / "ten.ndjson.gz").write_bytes(gzip.compress(text.encode()))
    path = written(tmp_path, """
[[detection]]
type = "brute_force_user"
[[detection.example]]
entity = "sam"
events = "examples/ten.ndjson.gz"
""")  # fmt: skip
    (one,) = outcomes(path, code=0)
    assert (one["events"], one["dead_letters"]) == (10, 1)
    written(tmp_path, path.read_text().replace("ten.", "eleven."))
    assert faults(path) == [f"No file {tmp_path}/examples/eleven.ndjson.gz - at $.detection[0].example[0].events"]
    (tmp_path / "examples" / "eleven.ndjson.gz").mkdir()
    assert faults(path)[0].startswith("No file ")


def test_what_an_exception_holds_back_has_fired(tmp_path: Path) -> None:
    path = written(tmp_path, OWN.format(rule="count = true\nat_least = 3", example=f"""
events = {{{FAILED}, ip = "192.0.2.1", user = "u", repeat = 3}}
[[exception]]
id = "office"
cidr = "192.0.2.0/24"
owner = "soc"
reason = "-"
expiry = 2090-01-01T00:00:00Z
"""))  # fmt: skip
    (one,) = outcomes(path, code=0)
    assert "office" in one["fired"][0]["suppressed_by"]


def test_one_detection_alone(tmp_path: Path) -> None:
    path = written(tmp_path, f"""
[[detection]]
type = "brute_force_user"
[[detection.example]]
events = {{{FAILED}, user = "sam", repeat = 10}}
[[detection]]
type = "brute_force_ip"
[[detection.example]]
events = {{{FAILED}, user = "sam", ip = "192.0.2.1", repeat = 10}}
[[detection]]
type = "password_spray_ip"
""")  # fmt: skip
    assert [one["detection"] for one in outcomes(path, "--detection", "brute_force_user", code=0)] == [
        "brute_force_user"
    ]
    assert len(outcomes(path, code=1)) == 2
    assert command("test", path, "--detection", "brute_force_usr") == (
        2, "", ['lapwing: no detection "brute_force_usr", did you mean "brute_force_user"?']
    )  # fmt: skip
    code, _, (line,) = command("test", path, "--detection", "password_spray_ip")
    assert code == 2
    assert "no example of detection password_spray_ip" in line


BAD = f"""
[[detection]]
type = "brute_force_user"
example = 5
[[detection]]
type = "brute_force_ip"
[[detection.example]]
fires = "yes"
[[detection.example]]
name = "no events"
[[detection.example]]
fires = false
entity = "x"
path = "y"
events = {{user = "sam", repeat = 100001, every = 5}}
[[detection.example]]
events = [{{user = "sam"}}, {{usre = "sam", at = "1s", time = 2026-01-05T12:00:00}}]
[[detection.example]]
events = [{{user = "sam", repeat = 60000}}, {{user = "sam", repeat = 60000}}]
[[detection.example]]
events = [{{user = "sam"}}, {{user = "sam", at = "32d"}}]
[[detection.example]]
events = {{user = "{"x" * 2000}", repeat = 90000}}
"""


def test_every_bad_example_is_said_with_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, BAD)
    found = faults(path)
    assert found == [
        "Expected a list of tables, written [[detection.example]], got 5 - at $.detection[0].example",
        "Expected bool, got str - at $.detection[1].example[0].fires",
        "Missing key events, a table, a list of them or the name of a file - at $.detection[1].example[1]",
        'Unknown key "path" - at $.detection[1].example[2]',
        "Expected only where it fires - at $.detection[1].example[2].entity",
        "Expected int <= 100000 - at $.detection[1].example[2].events.repeat",
        'Expected a duration, got the bare number 5: write it as "5s" - at $.detection[1].example[2].events.every',
        'Unknown member "usre", did you mean "user"? - at $.detection[1].example[3].events[1]',
        "Expected one of time and at - at $.detection[1].example[3].events[1]",
        'Expected a time with offset such as "2026-01-05T12:00:00Z", got "2026-01-05 12:00:00" - at '
        "$.detection[1].example[3].events[1].time",
        "Expected at most 100000 events, got 120000 - at $.detection[1].example[4].events",
        "Expected events within 31 days - at $.detection[1].example[5].events[1]",
        "Expected at most 64 MiB of events - at $.detection[1].example[6].events",
    ]
    code, _, err = command("check", path)
    assert code == 2
    assert [line.removeprefix(f"{path}: ") for line in err] == found


def test_no_example_goes_on_for_ever(tmp_path: Path) -> None:
    tables = ", ".join(['{user = "sam", every = "3000d"}'] * 1_000)
    path = written(tmp_path, OWN.format(rule="count = true", example=f"events = [{tables}]"))
    assert faults(path) == ["Expected events within 31 days - at $.detection[0].example[0].events[1]"]
    path = written(tmp_path, OWN.format(rule="count = true", example=f'events = [{tables}, {{user = "sam"}}]'))
    assert faults(path) == ["Expected at most 1000 tables of events, got 1001 - at $.detection[0].example[0].events"]
    many = "\n[[detection.example]]\n".join(['events = {user = "sam"}'] * 65)
    path = written(tmp_path, OWN.format(rule="count = true", example=many))
    assert faults(path) == ["Expected at most 64 examples, got 65 - at $.detection[0].example"]


def test_an_event_that_is_not_what_it_seems_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path, OWN.format(rule="count = true", example="""
fires = false
events = [{ip = "192.0.2.1"}, {status = 200, repeat = 3}]
[[detection.example]]
fires = false
events = [{user = "sam", ip = "somewhere", repeat = 2}, {user = "sam", status = 1e300, lat = nan}]"""))  # fmt: skip
    assert faults(path) == [
        "It would be a dead letter, no_entity (none of ip, user, username, actor and endpoint can be used) - at"
        " $.detection[0].example[0].events[1]",
        "Ignored as no value of its member: ip - at $.detection[0].example[1].events[0]",
        "Ignored as no value of its member: status - at $.detection[0].example[1].events[1]",
    ]


@pytest.mark.parametrize("reached", ["out", "probes"])
def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path, reached: str) -> None:
    many = f'events = {{{FAILED}, user = "u{{n}}", repeat = 4000, every = "40s"}}'
    path = written(tmp_path, f'[[detection]]\ntype = "brute_force_user"\n[[detection.example]]\n{many}')
    folder = tmp_path / "temporary"
    folder.mkdir()
    child = begun("test", path, env={**os.environ, "TMPDIR": str(folder)})
    while not [*folder.glob(f"lapwing-*/{reached}")]:
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, b"")
    assert said(err) == ["lapwing: stopping after this epoch; Ctrl-C again stops at once"]
    assert not [*folder.glob("lapwing-*")]


def test_examples_shape_no_result(tmp_path: Path) -> None:
    plain = OWN.format(rule="count = true", example="").replace("[[detection.example]]\n", "")
    example = OWN.format(rule="count = true", example='events = {user = "sam"}')
    bare, beside = load(str(written(tmp_path, plain))), load(str(written(tmp_path, example)))
    assert config_hash(bare) == config_hash(beside)
    assert (len(beside.example), len(bare.example)) == (1, 0)
    with pytest.raises(ConfigError) as error:
        load(str(written(tmp_path, plain)), {"time.lateness": "x"})
    assert len(error.value.faults) == 1


def test_the_examples_of_the_running_example_hold() -> None:
    found = outcomes(ROOT / "config.toml", code=0)
    assert {one["expected"].split()[0] for one in found} == {"fires", "silent"}


BASE_EXAMPLES = ROOT / "tests" / "base_detections.toml"


def test_every_base_detection_fires_at_its_limit_and_not_before() -> None:
    found = outcomes(BASE_EXAMPLES, code=0)
    assert {(one["detection"], one["expected"].split()[0]) for one in found} == {
        (rule.id, word) for rule in BASE for word in ("fires", "silent")
    }
    for one in found:
        assert bool(one["fired"]) == all(seen["holds"] for seen in one["measured"]), one


def test_a_higher_limit_is_not_reached_by_those_examples(tmp_path: Path) -> None:
    text = BASE_EXAMPLES.read_text()
    for rule in BASE:
        limit = rule.at_least + (0.01 if rule.ratio else 1)
        text = text.replace(f'\nid = "{rule.id}"\n', f'\nid = "{rule.id}"\nat_least = {limit}\n')
    found = outcomes(written(tmp_path, text), code=1)
    assert {one["passed"] for one in found if one["expected"].startswith("fires")} == {False}
    assert {one["passed"] for one in found if one["expected"] == "silent"} == {True}
