"""Runs of `lapwing forward`: restarts, stops, several destinations, filters, and what users are told."""

import json
import re
import signal
import socket
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from flows.config import load
from flows.errors import InputError, Refused
from tests.command import begun, command, lapwing, said
from tests.destinations.lines import alert, alerts, eventually, ids, write
from tests.destinations.others import SUMO_PATH
from tests.destinations.runs import SECRETS, block, config, delivered, forwarded, running, serving
from tests.destinations.wire import Response


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_next_run_goes_on_where_the_last_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(30)
    out = tmp_path / "out"
    with serving("webhook", monkeypatch) as server:
        path = config(tmp_path, block("webhook", server))
        for begin in (0, 10, 20):
            write(out / "alerts.ndjson", found[begin : begin + 10])
            done = forwarded(path, out, state=str(tmp_path / "state"))["webhook"]
            assert (done.read, done.sent, done.behind) == (10, 10, 0)
        line = json.dumps(alerts(31)[30])
        for piece, sent, behind in ((line[:1000], 0, 1000), (line[1000:], 1, 0), ("\n", 0, 0)):  # it is being written
            with (out / "alerts.ndjson").open("a") as file:
                file.write(piece)
            done = forwarded(path, out, state=str(tmp_path / "state"))["webhook"]
            assert (done.read, done.sent, done.refused, done.behind) == (sent, sent, 0, behind)
        assert server.ids == ids(alerts(31))
        assert server.again == 0


def test_a_file_is_followed_from_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(4)
    out = tmp_path / "out"
    out.mkdir()
    with (
        serving("webhook", monkeypatch) as server,
        running(config(tmp_path, block("webhook", server)), out) as run,
    ):
        eventually(lambda: run.seen, "it runs")
        write(out / "alerts.ndjson", found[:1])
        eventually(lambda: len(server.ids) == 1, "one")
        line = json.dumps(found[1]) + "\n"
        with (out / "alerts.ndjson").open("a") as file:
            file.write(line[:1000])
            file.flush()
            eventually(lambda: run.seen["webhook"].behind == 1000, "half a line waits")
            assert len(server.ids) == 1
            file.write(line[1000:])
        write(out / "alerts.ndjson", found[2:])
        eventually(lambda: len(server.ids) == 4, "all")
        assert server.ids == ids(found)


@pytest.mark.parametrize("how", ["replaced", "shorter", "gone"])
def test_another_file_is_not_read_from_its_middle(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    source = write(out / "alerts.ndjson", alerts(5))
    with serving("webhook", monkeypatch) as server:
        path = config(tmp_path, block("webhook", server))
        forwarded(path, out, state=str(tmp_path / "state"))
        source.unlink()
        if how != "gone":
            write(source, [alert(9, 9, message="other")] * (9 if how == "replaced" else 1))
        with pytest.raises(InputError, match=r"alerts.ndjson: (is not|has|is gone|no such)"):
            forwarded(path, out, state=str(tmp_path / "state"))
        assert server.ids == ids(alerts(5))


@pytest.mark.parametrize("type", ["splunk_hec", "elasticsearch"])
def test_killed_at_any_moment_it_loses_nothing(type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(400)
    out = tmp_path / "out"
    write(out / "alerts.ndjson", found)
    with serving(type, monkeypatch, slow_s=600) as server:
        path = config(tmp_path, block(type, server, batch_events=10))
        words = ["forward", "--config", path, "--input", out, "--state", tmp_path / "state", "--quiet"]
        for answered in (6, 14):
            server.faults.extend([None] * answered + ["slow"] * 400)
            least = server.posts + answered
            one = begun(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            eventually(lambda least=least: server.posts > least, "it waits for an answer in the middle")
            one.kill()
            one.wait()
            server.faults.clear()
            assert 0 < len(delivered(server)) < 400
        done = lapwing(*words)
        assert (done.returncode, said(done.stderr)) == (0, [])
        assert sorted(delivered(server)) == sorted(ids(found))
        for incident in {id[:32] for id in ids(found)}:
            numbers = [int(id[33:]) for id in delivered(server) if id.startswith(incident)]
            assert numbers == sorted(numbers)


def test_one_that_is_down_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(300)
    out = tmp_path / "out"
    write(out / "alerts.ndjson", found[:100])
    said: list[str] = []
    with serving("elasticsearch", monkeypatch) as up, serving("webhook", monkeypatch) as down:
        down.faults.extend([Response(503)] * 100_000)
        path = config(tmp_path, block("elasticsearch", up), block("webhook", down, batch_events=7))
        with running(path, out, tell=said.append, state=str(tmp_path / "state")) as run:
            eventually(lambda: len(up.ids) == 100 and down.posts > 3, "one is served")
            write(out / "alerts.ndjson", found[100:])
            eventually(lambda: len(up.ids) == 300, "it is served on")
            assert down.ids == []
            eventually(lambda: "webhook" in run.seen and run.seen["webhook"].failing, "it is told so")
            assert run.seen["webhook"].failing == "HTTP 503"
            down.faults.clear()
            eventually(lambda: len(down.ids) == 300, "the other gets all")
        assert down.ids == up.ids == ids(found)
        assert said == ["webhook: HTTP 503; trying again", "webhook: is being served again"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_does_not_wait_for_one_that_is_down(
    number: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(out / "alerts.ndjson", alerts(5))
    with serving("webhook", monkeypatch) as server:
        keys = block("webhook", server) | {"url": f"http://127.0.0.1:{closed_port()}", "retry_most": "1h"}
        path = config(tmp_path, keys | {"retry_first": "1h"}, block("elasticsearch", server))
        one = begun("forward", "--config", path, "--input", out, "--follow", "--only", "webhook")
        assert one.stderr is not None
        first = one.stderr.readline().decode()
        assert first.startswith("lapwing: webhook: NewConnectionError: ")
        one.send_signal(number)
        rest = said(one.communicate(timeout=60)[1])
        assert one.returncode == code
        assert rest[-1].startswith("lapwing: webhook: 0 sent in 0 batches")


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"min_severity": "high"}, [1, 3]),
        ({"min_risk": 80}, [1, 3]),
        ({"detections": ["brute_force_ip"]}, [2]),
        ({"tenants": ["acme"]}, [0, 1]),
        ({"tenants": ["acme"], "min_severity": "high"}, [1]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_filters(keys: dict[str, Any], wanted: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        alert(at, 0, severity_id=4 if at in (1, 3) else 3, risk_score=80 if at in (1, 3) else 60)
        for at in range(4)
    ]  # fmt: skip
    for at, one in enumerate(found):
        one["metadata"] |= {"tenant_uid": "acme" if at < 2 else "other"}
        one["metadata"] |= {"event_code": "brute_force_ip" if at == 2 else "deletion_surge_user"}
    source = write(tmp_path / "alerts.ndjson", found)
    with serving("webhook", monkeypatch) as server:
        done = forwarded(config(tmp_path, block("webhook", server, **keys)), source)["webhook"]
        assert server.ids == [ids(found)[at] for at in wanted]
        assert (done.read, done.sent, done.filtered) == (4, len(wanted), 4 - len(wanted))


def test_scored_and_raw_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        '{"user":"u-1","tenant":"acme","lapwing":{"v":1,"time":1795410000000,"risk":70}}',
        '{"user":"u-2","lapwing":{"v":1,"time":1795410000000,"risk":null}}',
        "no JSON at all",
        '{"user":"u-1","tenant":"acme","lapwing":{"v":1,"time":1795410000000,"risk":70}}',
    ]
    source = tmp_path / "scored.ndjson"
    source.write_text("\n".join(lines) + "\n")
    with serving("elasticsearch", monkeypatch) as server:
        risky = block("elasticsearch", server, **{"from": "scored", "min_risk": 60, "action": "create"})
        done = forwarded(config(tmp_path, risky), source, state=str(tmp_path / "a"))["elasticsearch"]
        assert (done.sent, done.filtered, done.refused) == (2, 1, 1)
        assert len({*server.ids}) == 2
        every = block("elasticsearch", server, **{"from": "events", "action": "create"})
        done = forwarded(config(tmp_path, every), source, state=str(tmp_path / "b"))["elasticsearch"]
        assert (done.sent, done.refused) == (3, 1)
        assert len(server.documents) == 3
    with serving("splunk_hec", monkeypatch) as server:
        forwarded(
            config(tmp_path, block("splunk_hec", server, **{"from": "scored"})), source, state=str(tmp_path / "c")
        )
        known = {"tenant": "acme", "severity_id": "3", "risk": "70"}
        fields = [event["fields"] for event in server.received]
        assert [{k: v for k, v in one.items() if k != "lapwing_id"} for one in fields] == [
            known, {"tenant": "default"}, known,
        ]  # fmt: skip
    (letter,) = map(json.loads, (tmp_path / "a" / "forward-dead-letters.ndjson").read_text().splitlines())
    assert (letter["reason"], letter["destination"]) == ("unreadable", "elasticsearch")


@pytest.mark.parametrize("form", ["", "ocsf", "ecs", "cef", "leef", "syslog"])
def test_forms_over_syslog(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(3)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving("syslog", monkeypatch) as server:
        forwarded(config(tmp_path, block("syslog", server, form=form)), source)
        eventually(lambda: len(server.ids) == 3, "three")
        assert server.ids == ids(found)
        begin = {"cef": b"CEF:0|", "leef": b"LEEF:2.0|", "syslog": b""}.get(form, b"{")
        assert all(text.startswith(begin) for _, text in server.received)


def test_syslog_goes_on_after_a_reset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(40)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving("syslog", monkeypatch) as server:
        server.faults.extend([None, "reset"])
        done = forwarded(config(tmp_path, block("syslog", server, batch_events=5)), source)["syslog"]
        assert done.sent == 40
        eventually(lambda: delivered(server)[-1:] == ids(found)[-1:], "the last")
        assert server.connections == 2


def test_metrics_tell_of_one_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write(out / "alerts.ndjson", alerts(5))
    with serving("elasticsearch", monkeypatch) as up, serving("webhook", monkeypatch) as down:
        down.faults.extend([Response(503)] * 100_000)
        path = config(tmp_path, block("elasticsearch", up), block("webhook", down))
        words = ["forward", "--config", path, "--input", out, "--follow", "--metrics", "127.0.0.1:0"]
        one = begun(*words)
        assert one.stderr is not None
        place = re.search(rb"http://([0-9.]+):([0-9]+)/", one.stderr.readline())
        assert place is not None
        host, port = place[1].decode(), int(place[2])
        size = (out / "alerts.ndjson").stat().st_size
        wanted = [
            'lapwing_forward_sent_total{destination="elasticsearch"} 5.0',
            'lapwing_forward_failing{destination="elasticsearch"} 0.0',
            'lapwing_forward_behind{destination="elasticsearch"} 0.0',
            'lapwing_forward_sent_total{destination="webhook"} 0.0',
            'lapwing_forward_failing{destination="webhook"} 1.0',
            f'lapwing_forward_behind{{destination="webhook"}} {float(size)}',
        ]

        def told() -> bool:
            lines = page(host, port, "/metrics")[1].splitlines()
            return all(line in lines for line in wanted)

        eventually(told, "all is told")
        assert page(host, port, "/readyz") == (200, "ok\n")
        one.terminate()
        one.communicate(timeout=60)


def page(host: str, port: int, path: str) -> tuple[int, str]:
    """A page of the server of metrics."""
    client = HTTPConnection(host, port, timeout=30)
    client.request("GET", path)
    answer = client.getresponse()
    found = answer.status, answer.read().decode()
    client.close()
    return found


def test_secrets_are_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    source = write(tmp_path / "alerts.ndjson", alerts(2))
    said: list[str] = []
    blocks = []
    with serving("webhook", monkeypatch) as server:
        server.port, port = port, server.port
        blocks = [block(type, server) for type in ("splunk_hec", "sumo_logic", "elasticsearch", "sentinel", "webhook")]
        monkeypatch.setenv("SUMO_URL", server.url + SUMO_PATH)
        path = config(tmp_path, *blocks)
        with running(path, source, tell=said.append) as run:
            eventually(lambda: len(said) == 5, "all fail")
            told = [one.failing for one in run.seen.values()]
    text = "\n".join([*said, *told, repr(run.done)])
    assert not [secret for secret in (*SECRETS.values(), SUMO_PATH) if secret in text]


@pytest.mark.parametrize("type", ["splunk_hec", "elasticsearch", "webhook"])
def test_no_log_tells_what_a_destination_quotes(type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "alerts.ndjson", alerts(1))
    said: list[str] = []
    quoting = b"cannot read mark-user"
    with serving(type, monkeypatch) as server:
        server.faults.extend([Response(500, quoting), Response(200, quoting), Response(413, quoting)])
        path = config(tmp_path, block(type, server, ack=False) if type == "splunk_hec" else block(type, server))
        done = forwarded(path, source, tell=said.append, state=str(tmp_path / "state"))[type]
    assert f"{type}: HTTP 500; trying again" in said
    assert not [line for line in said if "mark-user" in line]
    if done.refused:
        assert "mark-user" in (tmp_path / "state" / "forward-dead-letters.ndjson").read_text(), "it is kept"


def test_two_runs_on_one_state_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "alerts.ndjson", alerts(2))
    with serving("webhook", monkeypatch) as server:
        path = config(tmp_path, block("webhook", server))
        with running(path, source, state=str(tmp_path / "state")):
            eventually(lambda: server.ids, "it runs")
            with pytest.raises(Refused, match="another run"):
                forwarded(path, source, state=str(tmp_path / "state"))


def test_a_destination_that_changes_what_it_is_from_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "alerts.ndjson", alerts(2))
    with serving("webhook", monkeypatch) as server:
        forwarded(config(tmp_path, block("webhook", server)), source, state=str(tmp_path / "state"))
        path = config(tmp_path, block("webhook", server, **{"from": "scored"}))
        with pytest.raises(Refused, match="from was alerts, now scored"):
            forwarded(path, source, state=str(tmp_path / "state"))


def test_what_is_wrong_is_told_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        """
[[destination]]
type = "splunk_hec"
url = "http://splunk.example:8088"
flush = 5
[[destination]]
type = "elasticsearch"
url = "https://user:pass@es.example"
form = "cef"
[[destination]]
type = "syslog"
address = "siem.example"
from = "scored"
min_severity = "high"
[[destination]]
type = "sentinal"
[[destination]]
type = "syslog"
address = "[::1]:601"
"""
    )
    code, _, lines = command("forward", "--config", path, "--check")
    assert code == 2
    at = "- at $.destination"
    assert [line.removeprefix(f"{path}: ") for line in lines] == [
        f'Expected a duration, got the bare number 5: write it as "5s" {at}[0].flush',
        f'Unknown type "sentinal", did you mean "sentinel"? {at}[3].type',
        f"http:// would send it for all to read: use https://, or set plaintext = true {at}[0].url",
        f"Missing key index {at}[1]",
        f"No user and no password belong into a URL: name the variables they stand in {at}[1].url",
        f'Expected ocsf or ecs, which are JSON, got "cef" {at}[1].form',
        f'Expected HOST:PORT such as "siem.example:6514", got "siem.example" {at}[2].address',
        f"min_severity is for alerts, and this is from scored {at}[2].min_severity",
        f'Duplicate id "syslog", first at $.destination[2] {at}[4].id',
    ]


def test_a_check_names_what_the_environment_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name)
    with serving("webhook", monkeypatch) as server:
        keys = block("splunk_hec", server, ca_file=str(tmp_path / "none.pem"))
        path = config(tmp_path, block("webhook", server), keys, block("elasticsearch", server))
    code, out, (line,) = command("forward", "--config", path, "--input", tmp_path, "--check")
    assert (code, out) == (2, "")
    for name in ("WEBHOOK_SECRET", "SPLUNK_TOKEN", "ES_KEY"):
        assert f"the environment has no {name}" in line


def test_a_detection_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("webhook", monkeypatch) as server:
        path = config(tmp_path, block("webhook", server, detections=["brute_force_ip", "brute_farce_ip"]))
    code, out, lines = command("forward", "--config", path, "--input", tmp_path, "--check")
    told = f"webhook: alerts of {tmp_path}/alerts.ndjson, as they are, to webhook {server.url}/in\n"
    assert (code, out) == (0, told)
    assert lines == ["lapwing: webhook: this configuration has no detection brute_farce_ip; is that a mistake?"]
    code, out, _ = command("forward", "--config", path, "--check", "--json")
    (one,) = json.loads(out)["destinations"]
    assert (one["source"], one["type"], one["to"]) == ("topic audit.alerts", "webhook", f"{server.url}/in")
    code, out, _ = command("check", path)
    assert code == 0
    assert out.endswith("\n  destination  type     from\n  webhook      webhook  alerts\n")


def test_wrong_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("webhook", monkeypatch) as server:
        path = config(tmp_path, block("webhook", server), block("elasticsearch", server, **{"from": "scored"}))
    source = write(tmp_path / "alerts.ndjson", alerts(1))
    (tmp_path / "none.toml").write_text("")
    for words, text in (
        (["--input", source], "choose with --only"),
        (["--input", tmp_path / "gone"], "no such file"),
        (["--only", "nobody"], "there is: webhook, elasticsearch"),
    ):
        code, _, (line,) = command("forward", "--config", path, *words)
        assert code in (1, 2)
        assert text in line
    assert command("forward")[0] == 2
    assert "needs a [[destination]]" in command("forward", "--config", tmp_path / "none.toml")[2][0]


def test_the_example_of_the_documentation_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "forwarding.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```toml\n")[1:]]
    path = tmp_path / "c.toml"
    path.write_text("\n".join(block for block in blocks if "[[destination]]" in block))
    assert {one.__struct_config__.tag for one in load(str(path)).destination} == {
        "splunk_hec", "sumo_logic", "elasticsearch", "syslog", "sentinel", "webhook",
    }  # fmt: skip


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write(out / "alerts.ndjson", alerts(1))
    with serving("webhook", monkeypatch) as server:
        path = config(tmp_path, block("webhook", server))
        state = f"{path}/state"
        code, _, lines = command("forward", "--config", str(path), "--input", str(out), "--state", state)
    assert (code, lines) == (1, [f"lapwing: {state}: cannot be written (Not a directory)"])
