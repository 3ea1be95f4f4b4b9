"""Exceptions, limits and merging in the real flow: the same whatever the batches, the workers and the crashes."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.config import Config, load
from tests.flow_under_test import CONFIG, Disturbance, run, shuffled, stream, write

ROOT = Path(tempfile.mkdtemp(prefix="decide-flow-"))
EXTRA = """
[[exception]]
id = "few"
user = "few1"
owner = "soc"
reason = "test"
expiry = "2100-01-01T00:00:00Z"

[[exception]]
id = "agent"
detection = "*_ip"
user_agent = "Scanner/*"
owner = "soc"
reason = "test"
expiry = "2100-01-01T00:00:00Z"

[[exception]]
id = "soon_over"
tenant = "other"
user_agent = "*"
owner = "soc"
reason = "test"
expiry = "2026-11-23T05:10:00Z"
"""


@pytest.fixture(scope="module", autouse=True)
def _folder() -> Any:
    yield
    shutil.rmtree(ROOT)


@cache
def config() -> Config:
    text = CONFIG.format(shards=2).replace("[output]", "[output]\nmax_incidents_per_hour = 2") + EXTRA
    (ROOT / "config.toml").write_text(text)
    return load(str(ROOT / "config.toml"))


@cache
def given_stream(seed: int, order: int | None) -> Path:
    """The stream of the promise; the deletions come with a scanner's user agent."""
    plain, scanned = b'"action": "account_delete"', b'"user_agent": "Scanner/2", "action": "account_delete"'
    lines = {
        name: [(at, line.replace(plain, scanned)) for at, line in mine] for name, mine in stream(seed).items()
    }  # fmt: skip
    return write(ROOT / f"in-{seed}-{order}", lines if order is None else shuffled(lines, order))


def found(output: Path) -> dict[str, Any]:
    """Every message by file, uid and seq, with its content where that is exact, and the actions."""
    out: dict[str, Any] = {}
    for name in ("alerts", "suppressed"):
        for line in (output / f"{name}.ndjson").read_text().splitlines():
            alert = json.loads(line)
            del alert["metadata"]["processed_time"], alert["finding_info"]["created_time"]
            if alert["metadata"]["event_code"] == "dead_letter_surge":
                alert["evidences"] = len(alert["evidences"])  # by position, which is another in another order
            key = f"{name} {alert['metadata']['uid']}"
            assert key not in out, "twice"
            out[key] = alert if alert["activity_id"] != 1 or "digest" in alert["unmapped"] else None
    out["actions"] = sorted((output / "actions.ndjson").read_text().splitlines())
    return out


def once(seed: int, order: int | None, **how: Any) -> dict[str, Any]:
    output = Path(tempfile.mkdtemp(dir=ROOT))
    run(config(), given_stream(seed, order), output, **how)
    return found(output)


@cache
def expected(seed: int) -> dict[str, Any]:
    return once(seed, None)


def test_the_stream_puts_everything_to_the_test() -> None:
    alerts = [alert for alert in expected(1).values() if isinstance(alert, dict)]
    by = {alert.get("status_detail", "") for alert in alerts}
    assert {"exception few", "exception agent"} <= by
    assert any("digest" in alert["unmapped"] for alert in alerts)
    assert any(alert["unmapped"].get("related") and alert["is_alert"] for alert in alerts)
    assert any(not alert["is_alert"] and "status_detail" not in alert for alert in alerts)
    assert expected(1)["actions"]


@example(seed=1, order=2, batch_rows=7, workers=2, lazy=0.5, haste=2)
@example(seed=2, order=None, batch_rows=1, workers=1, lazy=0.0, haste=1)
@settings(max_examples=1)
@given(
    seed=st.integers(1, 2),
    order=st.one_of(st.none(), st.integers(1, 2)),
    batch_rows=st.sampled_from([5, 17, 100, 4096]),
    workers=st.integers(1, 2),
    lazy=st.sampled_from([0.0, 0.5, 0.9]),
    haste=st.integers(0, 1000),
)
def test_batches_workers_and_order(
    seed: int, order: int | None, batch_rows: int, workers: int, lazy: float, haste: int
) -> None:
    disturbance = Disturbance(lazy=lazy, seed=haste)
    assert once(seed, order, batch_rows=batch_rows, workers=workers, disturbance=disturbance) == expected(seed)


@example(seed=1, cuts=[3, 60, 9], batch_rows=17, epoch=0.0, last_workers=2)
@settings(max_examples=1)
@given(
    seed=st.integers(1, 2),
    cuts=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    batch_rows=st.sampled_from([13, 40]),
    epoch=st.sampled_from([0.0, 0.03]),
    last_workers=st.integers(1, 2),
)
def test_abort_and_resume(seed: int, cuts: list[int], batch_rows: int, epoch: float, last_workers: int) -> None:
    output, state = Path(tempfile.mkdtemp(dir=ROOT)), Path(tempfile.mkdtemp(dir=ROOT)) / "state"
    how: dict[str, Any] = {"batch_rows": batch_rows, "state": state}
    for cut in cuts:
        run(config(), given_stream(seed, None), output, epoch=epoch, disturbance=Disturbance(abort_at=cut), **how)
    run(config(), given_stream(seed, None), output, epoch=0.03, workers=last_workers, **how)
    assert found(output) == expected(seed)
