"""The platforms' formats against public samples: a second reader's labels, and the samples through the real flow."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest

from flows.config import load
from flows.formats.source_formats import FORMATS
from models.kernels.columns import BY_ACTOR
from tests.flow_under_test import run

ROOT: Final = Path(__file__).parent
DATA: Final = ROOT.parent.parent / "shared" / "data" / "provider_events"
LABELS: Final = ROOT / "golden" / "provider_truth.csv"
KEYS: Final = ("action", "outcome", "user", "ip")
FAMILIES: Final = {"okta": "okta", "auth0": "auth0", "azure_signin": "entra"}
BY_TYPE: Final = {one.type: one for one in FORMATS}

Sample = tuple[str, int, dict[str, Any], bool]
"""File, line, record, and whether the sample's own rule expects no alert."""


def labels() -> list[dict[str, str]]:
    """The labels as rows."""
    with LABELS.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def found(provider: str, record: dict[str, Any]) -> dict[str, str]:
    """What the format says: the user is the user entity, as the columns' kernel chooses it."""
    event = BY_TYPE[provider].event(record)
    by = event.get("actor") if event["action"] in BY_ACTOR else None
    user = by or event.get("username") or event.get("user") or event.get("actor") or ""
    return {"action": event["action"], "outcome": event["outcome"], "user": user, "ip": event.get("ip", "")}


def answers(label: dict[str, str]) -> dict[str, set[str]]:
    """Every answer that the reader can defend: the label, and the alternatives in its note."""
    given = {key: {label[key]} for key in KEYS}
    for key, others in re.findall(r"alt (\w+)=([^;]*)", label["note"]):
        given[key] |= {unquote(other) for other in others.split("|")}
    return given


if DATA.exists():

    def samples() -> Iterator[Sample]:
        """The samples of these platforms, in the files' order."""
        for line, text in enumerate((DATA / "panther_samples.ndjson").read_text().splitlines()):
            sample = json.loads(text)
            if sample["family"] in FAMILIES:
                yield "panther_samples.ndjson", line, sample["event"], sample["truth"]["expected"] is False
        for line, text in enumerate((DATA / "keycloak_samples.ndjson").read_text().splitlines()):
            yield "keycloak_samples.ndjson", line, json.loads(text)["event"], False
        for line, text in enumerate((DATA / "aws_cloudtrail_stratus.ndjson").read_text().splitlines()):
            yield "aws_cloudtrail_stratus.ndjson", line, json.loads(text), False

    DOCUMENTED: Final = {
        name.lower(): (int(labelled), int(equal), int(defended))
        for name, labelled, equal, defended in re.findall(
            r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", (ROOT.parent / "docs" / "formats.md").read_text(), re.MULTILINE
        )
    }
    RECORDS: Final = {(file, line): record for file, line, record, _ in samples()}
    TIMELESS: Final = {(row["file"], int(row["line"])) for row in labels() if row["note"].startswith("no time")}

    @pytest.mark.parametrize("provider", sorted({row["provider"] for row in labels()}))
    def test_what_a_second_reader_says(provider: str) -> None:
        """Action, outcome, user and address of every labelled event, exactly as often as docs/formats.md says."""
        mine = [row for row in labels() if row["provider"] == provider]
        told = [row for row in mine if (row["file"], int(row["line"])) not in TIMELESS]
        equal = 0
        for row in told:
            got, given = found(provider, RECORDS[row["file"], int(row["line"])]), answers(row)
            assert {key: got[key] for key in KEYS if got[key] not in given[key]} == {}, row
            equal += all(got[key] == row[key] for key in KEYS)
        assert DOCUMENTED[provider] == (len(told), equal, len(told))

    def play(records: list[dict[str, Any]], folder: Path) -> Path:
        """The real flow over records of mixed platforms, each by its own look."""
        (folder / "config.toml").write_text('[input]\nformat = "auto"\n')
        (folder / "in.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))
        run(load(str(folder / "config.toml")), folder / "in.ndjson", folder / "out")
        return folder / "out"

    def test_every_sample_becomes_an_event(tmp_path: Path) -> None:
        """All but the 23 that have no time, rows of queries among the samples: those are named as such."""
        keys = [*RECORDS]
        out = play([*RECORDS.values()], tmp_path)
        dead = [json.loads(line) for line in (out / "dead-letters.ndjson").read_text().splitlines()]
        assert {keys[letter["offset"]] for letter in dead} == TIMELESS
        assert {letter["reason"] for letter in dead} == {"missing_time"}
        assert len(TIMELESS) == 23
        scored = (out / "scored.ndjson").read_text().splitlines()
        assert len(scored) == len(keys) - len(TIMELESS)
        ignored = {name for line in scored for name in json.loads(line)["lapwing"].get("ignored", ())}
        assert ignored == set()

    def test_no_sample_without_a_finding_raises_one(tmp_path: Path) -> None:
        """What its own rule lets pass raises nothing above Medium, all of it in one stream."""
        quiet = [record for _, _, record, unexpected in samples() if unexpected]
        assert len(quiet) > 30
        out = play(quiet, tmp_path)
        alerts = [json.loads(line) for line in (out / "alerts.ndjson").read_text().splitlines()]
        assert [alert["metadata"]["event_code"] for alert in alerts if alert["severity_id"] > 3] == []
