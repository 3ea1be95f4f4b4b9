"""`lapwing tune`: a budget in, a limit, its interval and a change to the configuration out; or a reason why not."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.made_windows import levels
from flows.budget import propose
from flows.config import config_hash, load
from flows.config_diff import diff, with_limits
from flows.errors import Refused
from flows.formats.truth import Truth, encode_truth
from flows.formats.windows import table
from flows.rethreshold import Rethreshold
from flows.verdicts import Verdict, write_verdict
from models.rules import BruteForceUser
from tests.command import command

DAY = 29_895_840  # minutes since 1970, a midnight
CONFIG = """\
# of ours
[output]
max_incidents_per_hour = 20

[[detection]]
type = "brute_force_ip"
at_least = 30                 # not this one
[[detection]]
type = "brute_force_user"
severity = "high"
at_least = 10                 # failed logins
[[detection.example]]
events = {action = "login", outcome = "failure", user = "sam", repeat = 10}
"""


def windows(
    config: str, days: int = 14, a_day: int = 40, seed: int = 1, detection: str = "brute_force_user"
) -> pa.Table:
    """Accounts that fail 5 to some 30 times, so many of them a day, each an hour apart from itself."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(a_day, days)
    minute = np.repeat(DAY + 1_440 * np.arange(days), counts) + rng.integers(0, 1_440, counts.sum())
    entity = rng.choice(counts.sum() * 3, counts.sum(), replace=False)
    entity[:60] = 0  # one of them again and again
    minute[:60] = DAY + 60 * np.arange(60)
    peak = 5.0 + np.floor(rng.exponential(3.0, counts.sum()))
    peak[:60] = 40.0
    minute = np.concatenate([minute, DAY + 1_440 * np.arange(days), [DAY + 1_440 * days - 1]])  # there was traffic
    peak = np.concatenate([peak, np.zeros(days + 1)])
    names = [f"u{one}@example.com" for one in entity.tolist()] + ["quiet"] * (days + 1)
    many = len(peak)
    return table({
        "tenant": "acme", "dimension": pa.array(["user"] * many), "entity": pa.array(names), "detector": "ewma",
        "start": minute * 60_000_000, "end": (minute + 1) * 60_000_000, "guarded": pa.array([False] * many),
        "sample_weight": np.ones(many), "config_hash": config, "levels": levels(detection, peak),
    })  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    (tmp_path / "out").mkdir()
    pq.write_table(windows(config_hash(load(str(path)))), tmp_path / "out" / "windows.parquet")
    return tmp_path


def patched(text: str, change: str) -> str:
    """What `patch` makes of a text: every line of context and every one that goes must be there."""
    before, after, at = text.splitlines(keepends=True), [], 0
    whole = change.replace("\n\\ No newline at end of file", "\0")  # of a line that ends without one
    for line in (line.removesuffix("\0\n") for line in whole.splitlines(keepends=True)[2:]):
        if line.startswith("@@"):
            start = int(line.split()[1].split(",")[0][1:])
            after += before[at : max(start - 1, 0)]
            at = max(start - 1, at)
        elif line[0] in " -":
            assert before[at] == line[1:]
            at += 1
            after += [line[1:]] if line[0] == " " else []
        elif line[0] == "+":
            after.append(line[1:])
    return "".join(after + before[at:])


def test_a_budget_becomes_a_limit_its_interval_and_a_change_that_applies(place: Path) -> None:
    words = ["tune", "--budget", "8/day", "--input", place / "out", "--config", place / "config.toml"]
    code, out, err = command(*words, "--write", place / "x.diff", "--json")
    found = json.loads(out)
    assert code == 0
    (one,) = found["tuned"]
    said = one["proposal"]
    assert one["detection"] == "brute_force_user"
    assert one["days"] == 14
    assert 10 < said["limit"] <= 15
    assert said["a_day"] <= 8.0 < said["below"]
    assert said["low"] < said["a_day"] < said["high"]
    assert said["counted"] == pytest.approx(said["a_day"], rel=0.25)
    assert one["now"]["limit"] == 10.0
    assert one["burners"][0]["entity"] == "u0@example.com"
    assert one["burners"][0]["incidents"] == 60
    assert found["refused"]["brute_force_ip"].startswith("0 incidents in 14 days")
    change = (place / "x.diff").read_text()
    assert change == found["diff"]
    after = patched(CONFIG, change)
    (place / "new.toml").write_text(after)
    new = load(str(place / "new.toml"))
    assert [getattr(rule, "at_least", 0) for rule in new.detection] == [30, said["limit"]]
    assert f"at_least = {said['limit']:<2.0f}                 # failed logins" in after
    assert len([line for line in change.splitlines()[2:] if line[0] in "+-"]) == 2
    assert "patch" in err[-1]


def test_what_people_read(place: Path) -> None:
    truth = [
        Truth("a1", "brute_force", {"user": ["u0@example.com"]}, "2026-11-04T01:00:00Z", "2026-11-04T01:00:30Z", []),
        Truth("a2", "brute_force", {"user": ["nobody"]}, "2026-11-04T01:00:00Z", "2026-11-04T01:00:30Z", []),
        Truth("a3", "deletion_surge", {"user": ["nobody"]}, "2026-11-04T01:00:00Z", "2026-11-04T01:00:30Z", []),
    ]
    (place / "truth.ndjson").write_bytes(encode_truth(truth))
    words = ["tune", "--budget", "8/day", "--input", place / "out", "--config", place / "config.toml"]
    code, out, _ = command(*words, "--truth", place / "truth.ndjson", "--detection", "brute_force_user")
    assert code == 0
    assert "brute_force_user: a budget of 8 a day" in out
    assert "failed logins by user, 14 whole days, 2026-11-04T00:00Z to 2026-11-18T00:00Z" in out
    assert "1 of 2 attacks found now, 1 with the proposal" in out
    assert "u0@example.com (acme): 60," in out
    assert "a day in the 7 days to come (95 %)" in out
    assert "+at_least = " in out
    assert "Not answered" not in out


def test_labels_and_attacks_of_which_none_is_its_own(place: Path) -> None:
    other = Truth("a1", "deletion_surge", {"user": ["nobody"]}, "2026-11-04T01:00:00Z", "2026-11-04T01:00:30Z", [])
    (place / "truth.ndjson").write_bytes(encode_truth([other]))
    own = (
        '[[detection]]\ntype = "threshold"\nid = "ours"\nby = "user"\nwhere = "failure"\ncount = true\nat_least = 10\n'
    )
    (place / "own.toml").write_text(own)
    pq.write_table(
        windows(config_hash(load(str(place / "own.toml"))), detection="ours"), place / "out" / "windows.parquet"
    )
    words = ["tune", "--budget", "8/day", "--input", place / "out", "--config", place / "own.toml", "--attacks", "3"]
    code, out, err = command(*words, "--truth", place / "truth.ndjson")
    assert code == 0
    assert "no attack among them that it should see" in out
    assert err == ["lapwing: ours: the simulation has no attack that it should see"]


def told(uid: str, value: float, detection: str = "brute_force_user") -> dict[str, Any]:
    """The last message of an incident, as far as it is read."""
    return {
        "time": 1, "activity_id": 3, "severity_id": 3, "message": "over", "count": 1, "start_time": 0, "end_time": 1,
        "finding_info": {"uid": uid, "title": "t", "first_seen_time": 0}, "metadata": {"tenant_uid": "acme"},
        "unmapped": {"seq": 1, "detection": detection, "dimension": "user", "entity": "u", "value": value},
    }  # fmt: skip


def test_verdicts_say_what_of_what_was_judged_stays(place: Path) -> None:
    values = {f"{at:032x}": value for at, value in enumerate((10.0, 11.0, 100.0, 100.0, 100.0))}
    lines = [told(uid, value) for uid, value in values.items()] + [told("f" * 32, 100.0, "another")]
    (place / "out" / "alerts.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = "false", "false", "false", "true", ""
    for uid, word in zip(values, words, strict=True):
        if word:
            write_verdict(place / "out", Verdict(uid=uid, verdict=word))  # type: ignore[arg-type]
    write_verdict(place / "out", Verdict(uid="f" * 32, verdict="true"))
    asked = ["tune", "--budget", "8/day", "--input", place / "out", "--config", place / "config.toml"]
    code, out, _ = command(*asked, "--verdicts", place / "out", "--json")
    assert code == 0
    assert json.loads(out)["tuned"][0]["judged"] == {
        "now": {"false": 3, "true": 1},
        "proposed": {"false": 1, "true": 1},
    }
    assert "1 of 3 false, 1 of 1 true stay with the proposal" in command(*asked, "--verdicts", place / "out")[1]
    code, _, err = command(*asked, "--verdicts", place)
    assert code == 3
    assert "holds no verdict" in err[-1]


def test_the_limit_in_force_is_no_change(place: Path) -> None:
    words = ["tune", "--budget", "8/day", "--input", place / "out", "--detection", "brute_force_user", "--json"]
    limit = json.loads(command(*words, "--config", place / "config.toml")[1])["tuned"][0]["proposal"]["limit"]
    (place / "config.toml").write_text(CONFIG.replace("at_least = 10 ", f"at_least = {limit:.0f} "))
    pq.write_table(windows(config_hash(load(str(place / "config.toml")))), place / "out" / "windows.parquet")
    code, out, err = command(*words[:-1], "--config", place / "config.toml", "--write", place / "x.diff")
    assert code == 0
    assert "nothing changes" in out
    assert "not written" in err[-1]
    assert not (place / "x.diff").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--budget", "20"], 2, 'Expected a rate such as "20/day"'),
        (["--budget", "0/day"], 2, "Expected a rate"),
        (["--budget", "8/day", "--detection", "brute_force"], 2, "no detection 'brute_force'"),
        (["--budget", "8/day", "--detection", "brute_force_ip"], 3, "a tail needs 50 peaks; what windows do not"),
        (["--budget", "100/day", "--detection", "brute_force_user"], 3, "even 5, the lowest limit that the windows"),
        (["--budget", "8/day", "--truth", "missing"], 1, "missing: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_ends_with_its_code(place: Path, words: list[str], code: int, says: str) -> None:
    done = command("tune", "--input", place / "out", "--config", place / "config.toml", *words)
    assert done[0] == code
    assert says in done[2][-1]


def test_windows_of_another_configuration_and_none_at_all(place: Path) -> None:
    done = command("tune", "--budget", "8/day", "--input", place / "out", "--detection", "brute_force_user")
    assert done[0] == 3
    assert "are of a run with another configuration: give its file with --config" in done[2][-1]
    code, out, err = command("tune", "--budget", "8/day", "--input", place / "out")
    assert code == 3
    assert "Not answered" in out
    assert "none of 24 detections is answered" in err[-1]
    done = command("tune", "--budget", "8/day", "--input", place, "--detection", "brute_force_user")
    assert done[0] == 1
    assert "windows.parquet: no such file" in done[2][-1]


def test_too_few_days_or_peaks_are_refused_with_their_number() -> None:
    with pytest.raises(Refused, match="cover 6 whole days"):
        propose(Rethreshold(windows("0", days=6), BruteForceUser()), 5.0)
    rows = windows("0")
    peak = np.array([0.0 if one is None else one[0][1][0] for one in rows["levels"].to_pylist()])
    few = rows.filter(pc.or_(pc.equal(rows["entity"], "quiet"), pa.array(peak > 16.0)))
    few = few.filter(pc.not_equal(few["entity"], "u0@example.com"))
    with pytest.raises(Refused, match=r"^\d\d incidents in 14 days at 5, the lowest limit .* a tail needs 50 peaks"):
        propose(Rethreshold(few, BruteForceUser()), 1.0)


def test_part_of_a_day_does_not_count() -> None:
    rows = windows("0", days=9)
    start = rows["start"].cast("int64").to_numpy() // 60_000_000
    late = rows.filter(pa.array((start > DAY + 120) & (start < DAY + 9 * 1_440 - 120)))
    assert propose(Rethreshold(late, BruteForceUser()), 5.0).tail.days == 7


def test_the_same_windows_have_the_same_interval() -> None:
    rows = windows("0")
    shuffled = rows.take(np.random.default_rng(9).permutation(rows.num_rows))
    assert propose(Rethreshold(rows, BruteForceUser()), 5.0) == propose(Rethreshold(shuffled, BruteForceUser()), 5.0)


def test_without_a_list_all_that_was_on_is_written_below(tmp_path: Path) -> None:
    for text in ("", "[output]\nmax_incidents_per_hour = 20", '[[detector]]\ntype = "ewma"\n'):
        path = tmp_path / "config.toml"
        path.write_text(text)
        config = load(str(path))
        after = with_limits(text, config, {"brute_force_user": 7.0, "reset_surge_ip": 20.0})
        change = diff(text, after, "config.toml")
        assert patched(text, change) == after
        assert after.startswith(text)
        path.write_text(after)
        new = load(str(path))
        assert len(new.detection) == len(config.detection)
        limits = {rule.id: getattr(rule, "at_least", None) for rule in new.detection}
        assert (limits["brute_force_user"], limits["reset_surge_ip"], limits["brute_force_ip"]) == (7, 20.0, 20)
        assert change.startswith("--- /dev/null\n" if not text else "--- config.toml\n")


def test_a_limit_that_is_not_written_gets_a_line(tmp_path: Path) -> None:
    text = '[[detection]]\r\ntype = "brute_force_user"\r\n[[detection]]\r\ntype = "deletion_surge"\r\ndimension = "ip"'
    path = tmp_path / "config.toml"
    path.write_text(text, newline="")
    after = with_limits(text, load(str(path)), {"brute_force_user": 12.0, "deletion_surge_ip": 6.0})
    tables = tomllib.loads(after.replace("\r\n", "\n"))["detection"]
    assert [one["at_least"] for one in tables] == [12, 6]
    assert after.count("\n") == after.count("\r\n") == 6
    assert patched(text, diff(text, after, "x")) == after


@pytest.mark.parametrize(
    "text",
    [
        'detection = [{type = "brute_force_user"}]\n',
        '[[detection]]\ntype = "threshold"\nid = "x"\ntitle = """\nat_least = 5\n"""\ncount = true\nat_least = 9\n',
    ],
)
def test_what_cannot_be_changed_line_by_line_is_left_to_people(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    config = load(str(path))
    with pytest.raises(Refused, match="by hand"):
        with_limits(text, config, {config.detection[0].id: 12.0})
