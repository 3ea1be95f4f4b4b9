"""What is read of results, and the notebook that shows it."""

import runpy
import sys
from pathlib import Path
from typing import Any

import marimo
import pyarrow.parquet as pq
import pytest

from flows import query
from flows.errors import InputError
from tests.command import ROOT

LOOK = str(ROOT / "notebooks" / "look.py")


@pytest.fixture
def out(detected: Path) -> str:
    return str(detected / "out")


def test_windows_are_filtered_and_in_order(out: str) -> None:
    whole = query.windows(out)
    assert whole.num_rows == pq.read_metadata(Path(out) / "windows.parquet").num_rows
    (tenant, *_) = query.entities(out, "tenant")
    rows = query.windows(out, tenant.tenant, "tenant", tenant.entity, ["end", "observed", "expected", "feature"])
    assert rows.column_names == ["end", "observed", "expected", "feature"]
    assert 0 < rows.num_rows == tenant.windows < whole.num_rows
    ends = rows["end"].to_pylist()
    assert ends == sorted(ends)
    assert query.windows(out, "nobody").num_rows == 0


def test_the_feature_names_what_was_observed(out: str) -> None:
    for row in query.windows(out, dimension="ip").to_pylist():
        if row["feature"] in row:
            assert row["observed"] == pytest.approx(row[row["feature"]])


def test_entities_are_the_busiest(out: str) -> None:
    found = query.entities(out, "ip", 5)
    assert len(found) == 5
    assert [seen.events for seen in found] == sorted((seen.events for seen in found), reverse=True)
    assert found[0].events >= max(filter(None, query.windows(out, dimension="ip")["events_1m"].to_pylist()))


def test_incidents_are_told_by_their_last_message(out: str) -> None:
    found = query.incidents(out)
    assert len({seen.uid for seen in found}) == len(found) >= 4
    assert [seen.severity for seen in found] == sorted((seen.severity for seen in found), reverse=True)
    for seen in found:
        assert seen.closed
        assert seen.messages > 1
        assert " is over: " in seen.message
        assert seen.start <= seen.first_seen < seen.crossed <= seen.end + 120_000
        assert seen.value is not None
        assert seen.limit is not None
        assert seen.value >= seen.limit
    one = found[0]
    assert one in query.incidents(out, one.tenant, one.dimension, one.entity)
    assert query.incidents(out, tenant="nobody") == []


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    for read, name in ((query.windows, "windows.parquet"), (query.incidents, "alerts.ndjson")):
        with pytest.raises(InputError, match=f"{name}: no such file; `lapwing detect --output"):
            read(str(tmp_path))
    (tmp_path / "windows.parquet").write_bytes(b"PAR1 not at all")
    (tmp_path / "alerts.ndjson").write_bytes(b'{"time":1}\n')
    with pytest.raises(InputError, match=r"windows\.parquet: not a table of windows"):
        query.windows(str(tmp_path))
    with pytest.raises(InputError, match=r"alerts\.ndjson: line 1 is no alert"):
        query.incidents(str(tmp_path))


def test_the_notebook_shows_the_gravest_incident(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [LOOK, "--", "--dir", out])
    app = runpy.run_path(LOOK)["app"]
    assert isinstance(app, marimo.App)
    _, made = app.run()
    gravest = made["first"]
    assert gravest.severity == max(seen.severity for seen in query.incidents(out))
    shown: dict[str, Any] = made["chart"].to_dict()
    assert shown["title"] == gravest.entity
    points = [layer for row in shown["vconcat"] for layer in row["layer"]]
    values = [value for layer in points for value in layer["data"].get("values", [])]
    told = {value["message"] for value in values if "message" in value}
    assert gravest.message in told
    rows = query.windows(out, gravest.tenant, gravest.dimension, gravest.entity)
    observed = [layer for layer in points if layer["mark"]["type"] == "circle"]
    assert sum(len(layer["data"]["values"]) for layer in observed) == rows.num_rows > 0
    drawn = sorted(value["observed"] for layer in observed for value in layer["data"]["values"])
    assert drawn == sorted(rows["observed"].to_pylist())
    assert made["dimension"].value == gravest.dimension
