"""`lapwing forward` to strict servers that misbehave."""

import json
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from tests.destinations.lines import alerts, eventually, ids, write
from tests.destinations.runs import SECRETS, SERVERS, block, config, delivered, forwarded, running, serving
from tests.destinations.wire import HALF, LOST, RESET, SLOW, TRICKLE, Response

HTTP = [type for type in SERVERS if type != "syslog"]


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("type", SERVERS)
def test_all_arrive_once_and_in_order(type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(50)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving(type, monkeypatch) as server:
        done = forwarded(config(tmp_path, block(type, server, batch_events=20)), source)[type]
        assert (done.read, done.sent, done.batches, done.refused, done.retries) == (50, 50, 3, 0, 0)
        assert server.ids == ids(found)
        assert server.connections == 1


@pytest.mark.parametrize("fault", [RESET, LOST, HALF, SLOW])
@pytest.mark.parametrize("type", HTTP)
def test_what_has_no_whole_answer_is_sent_again(
    type: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = alerts(30)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving(type, monkeypatch) as server:
        server.faults.extend([fault, None, fault, None, fault])
        done = forwarded(config(tmp_path, block(type, server, batch_events=10, timeout="100ms")), source)[type]
        assert delivered(server) == ids(found)
        assert done.sent == 30
        assert done.retries >= 2


def test_an_answer_that_trickles_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "alerts.ndjson", alerts(30))
    with serving("elasticsearch", monkeypatch) as server:
        server.faults.append(TRICKLE)
        done = forwarded(config(tmp_path, block("elasticsearch", server, timeout="2s")), source)["elasticsearch"]
        assert (done.sent, done.retries, server.posts, server.connections) == (30, 1, 2, 2)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(6)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving("webhook", monkeypatch) as server:
        server.faults.extend([Response(status, b"no", (("Location", f"{server.url}/other"),))] * 3)
        done = forwarded(config(tmp_path, block("webhook", server)), source)["webhook"]
        assert (done.sent, done.retries, done.refused) == (6, 3, 0)
        assert server.ids == ids(found)
        assert server.posts == 4


def test_retry_after_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    source = write(tmp_path / "alerts.ndjson", alerts(2))

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return super().wait(0)

    with serving("sumo_logic", monkeypatch) as server:
        server.faults.extend([Response(503, b"", (("Retry-After", "7"),)), Response(429), Response(429)])
        forwarded(config(tmp_path, block("sumo_logic", server)), source, stop=Stop())
    assert waits[0] == 7.0
    assert all(0 <= wait <= bound for wait, bound in zip(waits[1:], (0.002, 0.004), strict=True))


@pytest.mark.parametrize("type", HTTP)
def test_a_batch_that_is_too_large_is_halved(type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(9)
    source = write(tmp_path / "alerts.ndjson", found)
    first = {"sentinel": [None], "splunk_hec": [None]}.get(type, [])
    with serving(type, monkeypatch) as server:
        server.faults.extend([*first, Response(413, b"too large"), Response(413, b"too large")])
        done = forwarded(config(tmp_path, block(type, server)), source)[type]
        assert (done.sent, done.refused, done.batches) == (9, 0, 3)
        assert delivered(server) == ids(found)


@pytest.mark.parametrize(("type", "told"), [
    ("splunk_hec", "Invalid data format"), ("elasticsearch", "failed to parse [time]"), ("webhook", "unprocessable"),
])  # fmt: skip
def test_one_that_is_refused_for_good_is_kept_with_the_answer(
    type: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = alerts(20)
    found[11] = found[11] | {"message": "poison"}
    source = write(tmp_path / "alerts.ndjson", found)
    with serving(type, monkeypatch, bad="poison") as server:
        done = forwarded(config(tmp_path, block(type, server)), source, state=str(tmp_path / "state"))[type]
        assert (done.sent, done.refused, done.retries) == (19, 1, 0)
        assert delivered(server) == [id for at, id in enumerate(ids(found)) if at != 11]
    (letter,) = map(json.loads, (tmp_path / "state" / "forward-dead-letters.ndjson").read_text().splitlines())
    assert (letter["destination"], letter["id"], letter["reason"]) == (type, ids(found)[11], "refused")
    assert told in letter["detail"]
    assert letter["offset"] == sum(len(json.dumps(one)) + 1 for one in found[:11])


@pytest.mark.parametrize("missing", [False, True])
def test_items_that_are_told_to_wait_are_sent_again_alone(
    missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = alerts(20)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving("elasticsearch", monkeypatch, busy=5, missing=missing) as server:
        done = forwarded(config(tmp_path, block("elasticsearch", server)), source)["elasticsearch"]
        assert (done.sent, done.retries, done.refused) == (20, 1, 0)
        assert done.sent_bytes == sum(len(json.dumps(one)) for one in found)
        newest = {one["finding_info"]["uid"]: one["metadata"]["sequence"] for one in found}
        assert {id: version for id, (version, _) in server.documents.items()} == newest


@pytest.mark.parametrize("type", ["elasticsearch", "webhook"])
def test_one_that_refuses_is_there_again(type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "alerts.ndjson", [alerts(1)[0] | {"message": "poison"}])
    said: list[str] = []
    with serving(type, monkeypatch, bad="poison") as server:
        server.faults.append(Response(503))
        done = forwarded(config(tmp_path, block(type, server)), source, state=str(tmp_path), tell=said.append)[type]
    assert (done.retries, done.refused, done.batches, done.failing) == (1, 1, 0, "")
    assert f"{type}: is being served again" in said


def test_what_splunk_does_not_acknowledge_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(30)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving("splunk_hec", monkeypatch, never={1, 2}, patience=3) as server:
        keys = {"batch_events": 10, "ack_timeout": "100ms"}
        done = forwarded(config(tmp_path, block("splunk_hec", server, **keys)), source)["splunk_hec"]
        assert (done.sent, done.batches, server.largest) == (30, 3, 10)
        assert [*dict.fromkeys(server.ids)] == ids(found)
        assert all(server.ids.count(id) > 1 for id in ids(found)[10:])  # a slow machine sends others again too
        assert len(server.channels) == 1


def test_a_token_without_acknowledgement_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "alerts.ndjson", alerts(3))
    said: list[str] = []
    with serving("splunk_hec", monkeypatch, ack=False) as server:
        path = config(tmp_path, block("splunk_hec", server))
        with running(path, source, tell=said.append):
            eventually(lambda: said and server.posts > 2, "it is asked again")
            assert "set ack = false" in said[0]
        assert server.received == []
        forwarded(config(tmp_path, block("splunk_hec", server, ack=False)), source)
        assert server.ids == ids(alerts(3))


def test_a_token_that_has_run_out_is_asked_for_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(30)
    source = write(tmp_path / "alerts.ndjson", found)
    with serving("sentinel", monkeypatch, revoked={"Bearer token-1"}) as server:
        done = forwarded(config(tmp_path, block("sentinel", server, batch_events=10)), source)["sentinel"]
        assert (done.sent, done.retries, server.token_requests) == (30, 1, 2)
        assert server.ids == ids(found)


@pytest.mark.parametrize("type", SERVERS)
def test_tls_is_verified(type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    found = alerts(3)
    source = write(tmp_path / "alerts.ndjson", found)
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    said: list[str] = []
    for authority, name, fits in (
        (theirs, "localhost", False),
        (ours, "other.example", False),
        (ours, "localhost", True),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        said.clear()
        with serving(type, monkeypatch, context=context) as server:
            path = config(tmp_path, block(type, server, ca_file=str(tmp_path / "ca.pem")))
            with running(path, source, tell=said.append):
                eventually(lambda fits=fits, server=server: delivered(server) if fits else said, "an end")
            assert delivered(server) == (ids(found) if fits else [])
            assert fits or "certificate verify failed" in said[0]


def test_a_client_certificate_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = authority.issue_cert("lapwing@example.com")
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    files = {key: str(tmp_path / f"{name}.pem") for key, name in (
        ("ca_file", "ca"), ("certificate_file", "cert"), ("key_file", "key"),
    )}  # fmt: skip
    source = write(tmp_path / "alerts.ndjson", alerts(3))
    with serving("syslog", monkeypatch, context=context) as server:
        forwarded(config(tmp_path, block("syslog", server, **files)), source)
        eventually(lambda: len(server.ids) == 3, "three")
