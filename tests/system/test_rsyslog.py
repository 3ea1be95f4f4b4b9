"""A real rsyslogd reads from every message what was put into it, over TCP and over TLS."""

import json
import socket
import ssl
from collections.abc import Iterator

import pytest

from flows.formats import syslog_rfc5424
from flows.formats.evidence import LONGEST
from flows.formats.ocsf import encode_alert
from flows.formats.siem_event import Kind
from models.rules import about, default_rules, dimension
from tests.command import lapwing, simulate
from tests.system.rsyslog import Rsyslog
from tests.test_ocsf import EVENT, alert_of

HOSTILE = (
    'x"] forged="1', "]", "\\", '\\"]', "a\nb\r\n<13>1 - forged - - - -", "7 <13>1 - - - - - -", "\x00\x1b[2J\x7f",
    "\u202egnp.exe", "\u2028\u2029\x85", "\ufeff", "é" * 300, "%0a%0d", "\N{FULLWIDTH QUOTATION MARK}", "x" * 5000,
)  # fmt: skip
"""What an attacker may send as a user agent or choose as a name."""


@pytest.fixture(scope="module")
def rsyslog() -> Iterator[Rsyslog]:
    with Rsyslog() as server:
        yield server


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, Kind]]:
    """Alerts and scored events of a small run, and hostile ones, with the kind of each."""
    folder = tmp_path_factory.mktemp("small")
    done = lapwing("detect", "--input", simulate(folder / "e.ndjson", 20_000, 3), "--output", folder / "out")
    assert done.returncode == 0, done.stderr
    lines: list[tuple[bytes, Kind]] = [
        (line, "alert") for line in (folder / "out" / "alerts.ndjson").read_bytes().splitlines()
    ]
    lines += [(line, "scored") for line in (folder / "out" / "scored.ndjson").read_bytes().splitlines()[-500:]]
    return lines + hostile()


def framed(messages: list[bytes]) -> bytes:
    return b"".join(b"%d %s" % (len(message), message) for message in messages)


def send(rsyslog: Rsyslog, messages: list[bytes], *, tls: bool) -> list[dict[str, str]]:
    """What rsyslog has written of these messages, sent over one connection."""
    before = len(rsyslog.messages(0))
    with socket.create_connection(rsyslog.tls if tls else rsyslog.tcp, timeout=60) as plain:
        if tls:
            context = ssl.create_default_context(cafile=str(rsyslog.authority))
            with context.wrap_socket(plain, server_hostname=rsyslog.tls[0]) as secured:
                secured.sendall(framed(messages))
                secured.unwrap()
        else:
            plain.sendall(framed(messages))
    return rsyslog.messages(before + len(messages))[before:]


def hostile() -> list[tuple[bytes, Kind]]:
    """Alerts about such names and scored events with such user agents, with the kind of each."""
    rule = next(rule for rule in default_rules() if dimension(rule) == "user")
    own = {"v": 1, "time": 1_795_410_000_123, "risk": 74, "late": False, "alerts": [], "scores": {}}
    return [
        (encode_alert(alert_of(rule, entity=text), about(rule), rule, 1_795_410_070_000, "0.1.0"), "alert")
        for text in HOSTILE
    ] + [
        (json.dumps(EVENT | {"user_agent": text, "username": text, "lapwing": own}).encode(), "scored")
        for text in HOSTILE
    ]


def parameters(data: str) -> dict[str, str]:
    """The structured data's parameters, as RFC 5424 6.3.3 has them, of the one element that is there."""
    found: dict[str, str] = {}
    name, _, rest = data.removeprefix("[").partition(" ")
    assert name == syslog_rfc5424.SD_ID
    while rest != "]":
        key, _, rest = rest.lstrip(" ").partition('="')
        value = ""
        while not rest.startswith('"'):
            escaped = rest.startswith("\\") and rest[1:2] in ('"', "\\", "]")
            value, rest = value + rest[escaped], rest[1 + escaped :]
        assert key not in found
        found[key], rest = value, rest[1:]
    return found


def check(records: list[tuple[bytes, Kind]], got: list[dict[str, str]]) -> None:
    """Each message byte for byte, and what rsyslog made of it."""
    assert len(got) == len(records)
    for (record, kind), found in zip(records, got, strict=True):
        message = syslog_rfc5424.encode(record, kind)
        assert found["raw"].encode() == message
        assert found["host"] == found["app"] == "lapwing"
        assert found["procid"] == "-"
        assert found["msgid"] == kind
        assert found["pri"] == message.decode().partition(">")[0].removeprefix("<")
        source = json.loads(record)
        read = parameters(found["data"])
        assert read["uid"] == (source["metadata"]["uid"] if kind == "alert" else source["id"])
        assert "forged" not in read
        assert found["text"].removeprefix("\ufeff").isprintable()
        agent = source.get("user_agent", "")
        if agent.isprintable() and len(agent) <= LONGEST:
            assert read.get("user_agent", "") == agent


@pytest.mark.parametrize("tls", [False, True])
def test_every_message_arrives_as_it_was_sent_and_is_read_as_it_was_meant(rsyslog, records, tls):
    messages = [syslog_rfc5424.encode(record, kind) for record, kind in records]
    check(records, send(rsyslog, messages, tls=tls))


DESTINATION = """
[[destination]]
id = "{kind}"
type = "syslog"
from = "{source}"
form = "syslog"
host = "lapwing"
address = "{host}:{port}"
tls = {tls}
plaintext = {plain}
ca_file = "{authority}"
"""


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("kind", "source"), [("alert", "alerts"), ("scored", "scored")])
def test_what_is_forwarded_arrives_in_order(rsyslog, records, tmp_path, kind, source, tls):
    chosen = [(record, found) for record, found in records if found == kind]
    (tmp_path / f"{source}.ndjson").write_bytes(b"".join(record + b"\n" for record, _ in chosen))
    host, port = rsyslog.tls if tls else rsyslog.tcp
    authority = rsyslog.authority if tls else ""
    switches = {"tls": str(tls).lower(), "plain": str(not tls).lower()}
    config = tmp_path / "config.toml"
    config.write_text(
        DESTINATION.format(kind=kind, source=source, host=host, port=port, authority=authority, **switches)
    )
    before = len(rsyslog.messages(0))
    done = lapwing("forward", "--config", config, "--input", tmp_path / f"{source}.ndjson")
    assert done.returncode == 0, done.stderr
    check(chosen, rsyslog.messages(before + len(chosen))[before:])


def test_a_record_without_a_form_is_the_messages_text(rsyslog, records, tmp_path):
    """As published, and no shorter; what is not ASCII begins with a byte order mark."""
    chosen = [record for record, kind in records if kind == "alert"]
    (tmp_path / "alerts.ndjson").write_bytes(b"".join(record + b"\n" for record in chosen))
    host, port = rsyslog.tls
    config = tmp_path / "config.toml"
    values = {"kind": "alert", "source": "alerts", "host": host, "port": port, "authority": rsyslog.authority}
    whole = DESTINATION.format(**values, tls="true", plain="false").replace('form = "syslog"\n', "")
    config.write_text(whole)
    before = len(rsyslog.messages(0))
    done = lapwing("forward", "--config", config, "--input", tmp_path / "alerts.ndjson")
    assert done.returncode == 0, done.stderr
    got = rsyslog.messages(before + len(chosen))[before:]
    assert [json.loads(found["text"].removeprefix("\ufeff")) for found in got] == [json.loads(one) for one in chosen]
