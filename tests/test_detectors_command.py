"""`lapwing detectors`: its figures are those of the closed windows and of the alerts, also over a restart."""

import json
import shutil
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from models.base import DIMENSIONS, SNAPSHOT
from models.detectors.ewma import EwmaParams
from models.kernels.hours import YOUNG
from tests import golden_state
from tests.command import begun, command, lapwing, said

GOLDEN = Path(__file__).parent / "golden" / "state"
GUARD = 0.99
COUNTED = ("closed", "learned", "refused", "accepted", "unscored")
ALL = tuple(("rates", dimension) for dimension in DIMENSIONS) + tuple(
    ("behaviour", dimension) for dimension in ("ip", "endpoint", "user")
)
CONFIG = f"""
[[detector]]
type = "ewma"
warm_up = 100
accept_after = "20m"
guard = {GUARD}

[[detector]]
type = "half_space_trees"
trees = 10
height = 6
window = 100
warm_up = 200
accept_after = "10m"
guard = {GUARD}

[output]
window_sample = 1.0  # every closed window is in windows.parquet
"""


class Told(NamedTuple):
    """What was told after each of two runs, and what the runs said."""

    folder: Path
    first: dict[str, Any]
    second: dict[str, Any]
    said: list[list[str]]


def shown(state: Path, *more: str | Path) -> dict[str, Any]:
    code, out, err = command("detectors", state, "--json", *more)
    assert (code, err) == (0, [])
    found: dict[str, Any] = json.loads(out)
    return found


def rows(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["detector"], row["dimension"]): row for row in found["detectors"]}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """More than two days of simulated events in two runs, the second from the state of the first."""
    folder = tmp_path_factory.mktemp("detectors")
    (folder / "config.toml").write_text(CONFIG)
    events = folder / "events.ndjson"
    words = ["--events", "60000", "--days", "3", "--users", "500", "--seed", "5", "--output", events]
    assert lapwing("simulate", *words).returncode == 0
    lines = events.read_bytes().splitlines(keepends=True)
    (folder / "in" / "p").mkdir(parents=True)
    words = ["--config", folder / "config.toml", "--input", folder / "in", "--output", folder / "out"]
    found, errors = [], []
    for name, mine, more in (("1", lines[:30_000], []), ("2", lines[30_000:48_000], ["--close"])):
        (folder / "in" / "p" / f"{name}.ndjson").write_bytes(b"".join(mine))
        done = lapwing("detect", *words, "--state", folder / "state", *more)
        assert done.returncode == 0, done.stderr
        errors.append(said(done.stderr))
        found.append(shown(folder / "state"))
    return Told(folder, *found, errors)


def test_windows_are_those_that_were_closed(told: Told) -> None:
    """Exactly, over both runs: every closed window is in `windows.parquet`, its score too, and if it was guarded."""
    found = rows(told.second)
    assert tuple(found) == ALL
    closed = pq.read_table(told.folder / "out" / "windows.parquet").to_pylist()
    counts: dict[tuple[str, str], Counter[str]] = {at: Counter() for at in ALL}
    learned: dict[tuple[str, str], Counter[str]] = {at: Counter() for at in ALL}
    for window in closed:
        at = window["detector"], window["dimension"]
        counts[at]["closed"] += 1
        counts[at]["refused"] += window["guarded"]
        counts[at]["learned"] += not window["guarded"]
        counts[at]["unscored"] += window["score"] is None
        counts[at]["accepted"] += (window["quantile"] or 0.0) >= GUARD and not window["guarded"]
        learned[at][f"{window['tenant']} {window['entity']}"] += not window["guarded"]
    assert {at: {name: row[name] for name in COUNTED} for at, row in found.items()} == {
        at: {name: counts[at][name] for name in COUNTED} for at in ALL
    }
    for name in COUNTED:
        assert sum(row[name] for row in found.values()) > 0, name
    first = min(window["end"] for window in closed)
    for at, row in found.items():
        assert row["null_share"] == counts[at]["unscored"] / counts[at]["closed"]
        assert row["entities"] == len(learned[at])
        assert row["began"] == first.isoformat().replace("+00:00", "Z")
        assert row["warm_share"] == 1.0
        taught = learned[at].values()
        if at[0] == "rates":
            own = sum(count >= EwmaParams().entity_warm_up for count in taught)
            assert row["own_baseline_share"] == own / len(learned[at])
        else:
            assert row["own_baseline_share"] is None
        if at in (("rates", "tenant"), ("rates", "endpoint")):
            assert row["hours"]["entities"] == sum(count >= YOUNG for count in taught) > 0
            assert 0 < row["hours"]["known_share"] <= 1
        else:
            assert row["hours"] is None


def test_age_is_event_time(told: Told) -> None:
    lines = (told.folder / "in" / "p" / "1.ndjson").read_bytes().splitlines()
    times = [json.loads(line)["time"] for line in lines if b'"time"' in line]
    assert min(times)[:16] < told.first["event_time"] < max(times)
    for row in told.first["detectors"]:
        later = next(one for one in told.second["detectors"] if one["began"] == row["began"])
        assert 30 * 3600 < row["age_s"] < later["age_s"] < 72 * 3600


def test_incidents_are_those_that_were_created(told: Told) -> None:
    """Over both runs; a detector has those of the detections that read it."""
    created: Counter[str] = Counter()
    for file in ("alerts", "suppressed"):
        for line in (told.folder / "out" / f"{file}.ndjson").read_bytes().splitlines():
            alert = json.loads(line)
            if alert["activity_id"] == 1 and "digest" not in alert["unmapped"]:
                created[f"{file} {alert['finding_info']['analytic']['uid']}"] += 1
    detections = {one["detection"]: one for one in told.second["detections"]}
    assert {name: one["incidents_7d"] for name, one in detections.items() if one["incidents_7d"]} == {
        key.removeprefix("alerts "): count for key, count in created.items() if key.startswith("alerts ")
    }
    assert sum(one["kept_back_7d"] for one in detections.values()) == sum(
        count for key, count in created.items() if key.startswith("suppressed ")
    )
    before = {one["detection"]: one["incidents_7d"] for one in told.first["detections"]}
    assert any(0 < before[name] < one["incidents_7d"] for name, one in detections.items()), "some go on"
    for (detector, dimension), row in rows(told.second).items():
        kind = {"rates": "traffic_spike", "behaviour": "behaviour_anomaly"}[detector]
        reads = detections.get(f"{kind}_{dimension}")
        assert row["incidents_7d"] == (reads["incidents_7d"] if reads else 0)
        assert reads is None or (reads["reads"], reads["dimension"]) == (detector, dimension)
    assert detections["brute_force_ip"]["reads"] is None


def test_drifts_are_those_that_were_told_and_a_restart_forgets_nothing(told: Told) -> None:
    """The second run tells of one within its first hours: what the first has added up is still there."""
    sofar: Counter[str] = Counter()
    for found, lines in zip((told.first, told.second), told.said, strict=True):
        sofar.update(line.split()[5] for line in lines if "have drifted since" in line)
        drifts = {row["dimension"]: row["drift"] for row in found["detectors"] if row["detector"] == "rates"}
        assert {name: drift["drifts"] for name, drift in drifts.items()} == {name: sofar[name] for name in DIMENSIONS}
        for drift in drifts.values():
            assert (drift["last"] is not None) == (drift["drifts"] > 0)
            assert 0 <= drift["strange_share"] <= 1
        assert all(row["drift"] is None for row in found["detectors"] if row["detector"] != "rates")
    changed = [
        row["drift"]["last"]
        for at, row in rows(told.second).items()
        if at[0] == "rates" and row["drift"]["drifts"] > rows(told.first)[at]["drift"]["drifts"]
    ]
    # A test that had begun anew needs 60 minutes of 200 events: eight hours and more of this stream.
    assert min(changed) < told.first["event_time"][:11] + "14"


def test_the_text_says_the_same(told: Told) -> None:
    code, out, err = command("detectors", told.folder / "state")
    assert (code, err) == (0, [])
    lines = [line.split() for line in out.splitlines()]
    for at, row in rows(told.second).items():
        (line,) = [line for line in lines if tuple(line[:2]) == at]
        assert line[3:7] == [f"{row[name]:,}" for name in COUNTED[:4]]
    for one in told.second["detections"]:
        (line,) = [line for line in lines if line[:1] == [one["detection"]]]
        assert line[1:] == [one["dimension"], one["reads"] or "-", str(one["incidents_7d"]), str(one["kept_back_7d"])]


def test_another_configuration_is_another_warm_up(told: Told, tmp_path: Path) -> None:
    longer = tmp_path / "longer.toml"
    longer.write_text(CONFIG.replace("warm_up = ", "warm_up = 1000"))
    state = told.folder / "state"
    for at, row in rows(shown(state, "--config", longer)).items():
        assert 0 < row["warm_share"] < 0.1
        assert {name: row[name] for name in COUNTED} == {name: rows(told.second)[at][name] for name in COUNTED}
    assert command("detectors", state, "--config", tmp_path / "absent.toml")[0] == 2


def test_while_a_run_goes_on(told: Told, tmp_path: Path) -> None:
    """It is read again and again, and the run ends as if nobody had looked."""
    lines = (told.folder / "in" / "p" / "1.ndjson").read_bytes().splitlines(keepends=True)[:20_000]
    words = ["--config", told.folder / "config.toml", "--input", "-", "--output", tmp_path / "out"]
    with begun("detect", *words, "--state", tmp_path / "state", stdin=subprocess.PIPE, stdout=None) as run:
        assert run.stdin is not None
        seen: list[int] = []
        for at in range(0, len(lines), 2_000):
            run.stdin.write(b"".join(lines[at : at + 2_000]))
            run.stdin.flush()
            seen.append(looked(run, tmp_path / "state"))
        while seen[-1] == 0:
            seen.append(looked(run, tmp_path / "state"))
        run.stdin.close()
        assert run.wait() == 0
    after = shown(tmp_path / "state")
    assert not after["running"]
    assert [*seen, closed(after)] == sorted([*seen, closed(after)])
    assert len((tmp_path / "out" / "scored.ndjson").read_bytes().splitlines()) == len(lines)


def closed(found: dict[str, Any]) -> int:
    return sum(row["closed"] or 0 for row in found["detectors"])


def looked(run: subprocess.Popen[bytes], state: Path) -> int:
    """Windows that a run has closed, as soon as it has made its state."""
    while True:
        assert run.poll() is None
        done = lapwing("detectors", state, "--json")
        if done.returncode == 0:
            found = json.loads(done.stdout)
            assert found["running"]
            return closed(found)
        assert (done.returncode, said(done.stderr)) == (3, [f"lapwing: {state}: holds no state"])


def test_several_processes_know_the_same(told: Told, tmp_path: Path) -> None:
    """What was learned and told is exactly the same; of drift all events are counted, whoever has scored them."""
    events = tmp_path / "events.ndjson"
    words: list[str | Path] = [
        "--events",
        "15000",
        "--hours",
        "1",
        "--seed",
        "3",
        "--attack-every",
        "15m",
        "--output",
        events,
    ]
    assert lapwing("simulate", *words).returncode == 0
    lines = events.read_bytes().splitlines(keepends=True)
    for at, name in enumerate("ab"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "1.ndjson").write_bytes(b"".join(lines[at::2]))
    words = ["--config", told.folder / "config.toml", "--input", tmp_path / "in", "--close"]
    found = []
    for processes in ("1", "2"):
        state, out = tmp_path / f"state{processes}", tmp_path / f"out{processes}"
        done = lapwing("detect", *words, "--processes", processes, "--output", out, "--state", state)
        assert done.returncode == 0, done.stderr
        found.append(shown(state))
    one, two = found
    assert two["detections"] == one["detections"]
    assert sum(row["incidents_7d"] for row in two["detections"]) > 0
    for at, row in rows(two).items():
        assert row | {"drift": None} == rows(one)[at] | {"drift": None}
        if at[0] == "rates":
            # Scores on arrival may differ by a little.
            usual = [each[at]["drift"]["usual_share"] for each in (rows(one), rows(two))]
            assert 0 < usual[0] == pytest.approx(usual[1], abs=0.1)


def test_a_state_of_before_says_what_it_knows(tmp_path: Path) -> None:
    """Layout 6 did not count closed windows: they are known since it was gone on with, what was learned since ever."""
    with tarfile.open(GOLDEN / "layout-6.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    before = rows(shown(tmp_path / "state"))
    unknown = ("began", "age_s", "closed", "accepted", "unscored", "null_share", "warm_share", "incidents_7d", "drift")
    assert tuple(before) == ALL
    assert all(row[name] is None for row in before.values() for name in unknown)
    assert all(row["learned"] > 0 for row in before.values())
    given = rows(shown(tmp_path / "state", "--config", tmp_path / "config.toml"))
    assert all(row["warm_share"] for row in given.values())
    assert "not known of this state" in command("detectors", tmp_path / "state")[1]
    told = (tmp_path / "out" / "alerts.ndjson").read_bytes().count(b'"activity_id":1,')
    golden_state.add_more(tmp_path)
    golden_state.detect(tmp_path, "--close")
    found = shown(tmp_path / "state")
    for at, row in rows(found).items():
        assert row["learned"] + row["refused"] == before[at]["learned"] + before[at]["refused"] + row["closed"]
        assert row["closed"] > 0
        assert row["age_s"] > 0
        assert row["warm_share"] > 0
    more = (tmp_path / "out" / "alerts.ndjson").read_bytes().count(b'"activity_id":1,') - told
    assert sum(one["incidents_7d"] for one in found["detections"]) == more > 0


def test_a_detector_that_begins_anew_counts_anew(told: Told, tmp_path: Path) -> None:
    """The other one goes on, and so do drift and incidents."""
    changed = tmp_path / "changed.toml"
    changed.write_text(CONFIG.replace('accept_after = "20m"', 'accept_after = "20m"\nalpha = 0.02'))
    assert lapwing("state", "save", told.folder / "state", tmp_path / "state").returncode == 0
    shutil.copytree(told.folder / "in", tmp_path / "in")
    more = (told.folder / "events.ndjson").read_bytes().splitlines(keepends=True)[48_000:52_000]
    (tmp_path / "in" / "p" / "3.ndjson").write_bytes(b"".join(more))
    words = ["--config", changed, "--input", tmp_path / "in", "--output", tmp_path / "out", "--accept-rewarm"]
    done = lapwing("detect", *words, "--state", tmp_path / "state", "--close")
    assert done.returncode == 0, done.stderr
    closed = Counter(
        (window["detector"], window["dimension"])
        for window in pq.read_table(tmp_path / "out" / "windows.parquet").to_pylist()
    )
    before = rows(told.second)
    for at, row in rows(shown(tmp_path / "state")).items():
        kept = at[0] == "behaviour"
        assert row["closed"] == closed[at] + kept * before[at]["closed"]
        assert row["learned"] + row["refused"] == row["closed"]
        assert (row["began"] == before[at]["began"]) is kept
        assert row["incidents_7d"] >= before[at]["incidents_7d"]
        assert kept or row["drift"]["drifts"] >= before[at]["drift"]["drifts"]


def damaged_store(state: Path) -> str:
    (state / "recovery" / "part-2.sqlite3").write_bytes(b"no database" * 1000)
    return "part-2.sqlite3: is damaged"


def damaged_log(state: Path) -> str:
    path = max((state / "log").iterdir(), key=lambda one: one.stat().st_size)
    path.write_bytes(b"\0" * 100)
    return f"{path.name}: is damaged"


def damaged_asked(state: Path) -> str:
    (state / "asked.json").write_bytes(b"{")
    return "asked.json: is damaged"


def no_identity(state: Path) -> str:
    (state / "identity.json").unlink()
    return "identity.json is missing"


@pytest.mark.parametrize("damage", [damaged_store, damaged_log, damaged_asked, no_identity])
def test_what_cannot_be_used_is_refused(damage: Any, tmp_path: Path) -> None:
    with tarfile.open(GOLDEN / f"layout-{SNAPSHOT}.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    problem = damage(tmp_path / "state")
    code, out, (line,) = command("detectors", tmp_path / "state", "--json")
    assert (code, out) == (3, "")
    assert problem in line


def test_where_there_is_no_state(tmp_path: Path) -> None:
    code, out, lines = command("detectors", tmp_path / "absent")
    assert (code, out, lines) == (3, "", [f"lapwing: {tmp_path}/absent: holds no state"])
    assert list(tmp_path.iterdir()) == []
