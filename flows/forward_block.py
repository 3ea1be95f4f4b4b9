"""The blocks `[[destination]]`: where `lapwing forward` sends what Lapwing has written, and how."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from flows.durations import microseconds
from flows.kafka_block import Variable
from flows.structure import shown, tagged

MOST: Final = 32
_LEVELS: Final = ("informational", "low", "medium", "high", "critical")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_SENTINEL_BYTES: Final = 1_000_000

HEC: Final = "hec"
"""The envelope of Splunk's collector, which its client makes anyway."""
JSON_FORMS: Final = ("", "ocsf", "ecs", HEC)
"""Forms that are JSON; no form is the record's own bytes, which are."""
Kind = Literal["alerts", "scored", "events"]
Form = Literal["", "ocsf", "ecs", "cef", "leef", "syslog", "hec"]
Text = Annotated[str, Meta(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Common(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "from"}):
    """What every destination has: what goes there, in which form, in batches of which size, and how often it is tried.

    `kind`, written `from`, is what is read. A batch is sent when it is full, at the latest `flush` after it was begun.
    What fails is tried again after `retry_first`, then after up to twice as long each time, at most `retry_most`.
    """

    id: str = ""
    kind: Kind = "alerts"
    form: Form = ""
    slim: bool = False
    min_severity: Literal["informational", "low", "medium", "high", "critical"] = "informational"
    min_risk: Annotated[int, Meta(ge=0, le=100)] = 0
    detections: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    batch_events: Annotated[int, Meta(ge=1, le=10_000)] = 500
    batch_bytes: Annotated[int, Meta(ge=1024, le=1 << 26)] = 1_000_000
    flush: str = "1s"
    timeout: str = "30s"
    retry_first: str = "1s"
    retry_most: str = "1m"
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password_env: Variable = ""
    plaintext: bool = False

    @property
    def severity_id(self) -> int:
        """The least OCSF severity that is sent."""
        return _LEVELS.index(self.min_severity) + 1

    @property
    def is_json(self) -> bool:
        """Whether records go there as JSON objects."""
        return self.form in JSON_FORMS

    @property
    def timeout_s(self) -> float:
        """Seconds that a connection, or an answer, may take."""
        return microseconds(self.timeout) / 1e6


class SplunkHec(Common, frozen=True, kw_only=True, tag="splunk_hec"):
    """Splunk's HTTP Event Collector; with `ack` a batch counts as delivered when Splunk says that it is indexed."""

    url: Text = ""
    token_env: Variable = "SPLUNK_TOKEN"
    ack: bool = True
    ack_timeout: str = "2m"
    ack_poll: str = "1s"
    ack_window: Annotated[int, Meta(ge=1, le=100)] = 8
    index: Text = ""
    source: Text = "lapwing"
    sourcetype: Text = ""
    host: Text = ""


class SumoLogic(Common, frozen=True, kw_only=True, tag="sumo_logic"):
    """A hosted HTTP source of Sumo Logic; its URL is a secret, so it is named."""

    url_env: Variable = "SUMO_URL"
    category: Text = ""
    host: Text = ""
    source: Text = ""
    fields: dict[str, str] = {}


class Elasticsearch(Common, frozen=True, kw_only=True, tag="elasticsearch"):
    """The `_bulk` API of Elasticsearch and OpenSearch.

    With `action = "index"` an alert is one document that its updates replace, with "create", which data streams need,
    each update is one of its own.
    """

    url: Text = ""
    index: Text = ""
    action: Literal["index", "create"] = "index"
    pipeline: Text = ""
    api_key_env: Variable = ""
    username: Text = ""
    password_env: Variable = ""


class Syslog(Common, frozen=True, kw_only=True, tag="syslog"):
    """RFC 5424 over TLS or TCP with octet counting. TCP confirms nothing: see docs/forwarding.md."""

    address: Text = ""
    tls: bool = True
    facility: Annotated[int, Meta(ge=0, le=23)] = 13
    host: Text = ""
    app_name: Text = "lapwing"


class Sentinel(Common, frozen=True, kw_only=True, tag="sentinel"):
    """Microsoft Sentinel through the Logs Ingestion API: a data collection rule and the stream that it declares."""

    url: Text = ""
    rule_id: Text = ""
    stream: Text = ""
    directory_id: Text = ""
    client_id: Text = ""
    client_secret_env: Variable = "AZURE_CLIENT_SECRET"
    authority: Text = "https://login.microsoftonline.com"
    scope: Text = "https://monitor.azure.com/.default"


class Webhook(Common, frozen=True, kw_only=True, tag="webhook"):
    """A signed POST of JSON, as the Standard Webhooks specification has it."""

    url: Text = ""
    secret_env: Variable = "WEBHOOK_SECRET"


Destination = SplunkHec | SumoLogic | Elasticsearch | Syslog | Sentinel | Webhook
_NEEDED: Final[dict[type[msgspec.Struct], tuple[str, ...]]] = {
    SplunkHec: ("url", "token_env"),
    SumoLogic: ("url_env",),
    Elasticsearch: ("url", "index"),
    Syslog: ("address",),
    Sentinel: ("url", "rule_id", "stream", "directory_id", "client_id", "client_secret_env"),
    Webhook: ("url", "secret_env"),
}


def destinations(rows: object, faults: list[str]) -> tuple[Destination, ...]:
    """The destinations of a configuration, with a line in `faults` for each thing that is wrong.

    One without an `id` has that of its type.

    >>> found = []
    >>> _ = destinations([{"type": "webhook", "url": "http://siem.example/in"}, {"type": "syslog"}], found)
    >>> print("\\n".join(found))
    http:// would send it for all to read: use https://, or set plaintext = true - at $.destination[0].url
    Missing key address - at $.destination[1]
    """
    if isinstance(rows, list) and len(rows) > MOST:
        faults.append(f"Expected at most {MOST} destinations, got {len(rows)} - at $.destination")
        return ()
    found: list[Destination] = []
    first: dict[str, int] = {}
    for at, member in tagged(Destination, rows, "$.destination", faults):
        path = f"$.destination[{at}]"
        one = member if member.id else msgspec.structs.replace(member, id=str(member.__struct_config__.tag))
        if not _ID.fullmatch(one.id):
            faults.append(f"Expected 1 to 48 small letters, digits, _ or -, got {shown(one.id)} - at {path}.id")
        elif one.id in first:
            faults.append(f"Duplicate id {shown(one.id)}, first at $.destination[{first[one.id]}] - at {path}.id")
        first.setdefault(one.id, at)
        given = rows[at]  # type: ignore[index]
        faults += _faults(one, path, given if isinstance(given, Mapping) else {})
        found.append(one)
    return tuple(found)


def _faults(one: Destination, path: str, given: Mapping[str, object]) -> list[str]:
    """What no single type shows."""
    faults = [f"Missing key {key} - at {path}" for key in _NEEDED[type(one)] if not getattr(one, key)]
    for key in ("flush", "timeout", "retry_first", "retry_most", "ack_timeout", "ack_poll"):
        if hasattr(one, key) and microseconds(getattr(one, key)) < 1000:
            faults.append(f"Expected at least 1ms - at {path}.{key}")
    if microseconds(one.retry_most) < microseconds(one.retry_first):
        faults.append(f"Expected at least retry_first ({one.retry_first}) - at {path}.retry_most")
    for key in ("url", "authority"):
        if text := getattr(one, key, ""):
            fault = url_fault(text, one.plaintext)
            faults += [f"{fault} - at {path}.{key}"] if fault else []
    if isinstance(one, Syslog) and one.address:
        try:
            address(one.address)
        except ValueError:
            faults.append(
                f'Expected HOST:PORT such as "siem.example:6514", got {shown(one.address)} - at {path}.address'
            )
    if bool(one.certificate_file) != bool(one.key_file):
        faults.append(f"Expected certificate_file and key_file together - at {path}.certificate_file")
    if isinstance(one, Elasticsearch):
        if one.api_key_env and (one.username or one.password_env):
            faults.append(f"Expected api_key_env, or username and password_env, not both - at {path}.api_key_env")
        if bool(one.username) != bool(one.password_env):
            faults.append(f"Expected username and password_env together - at {path}.username")
    if isinstance(one, Elasticsearch | Sentinel) and not one.is_json:
        faults.append(f"Expected ocsf or ecs, which are JSON, got {shown(one.form)} - at {path}.form")
    if isinstance(one, Sentinel) and one.batch_bytes > _SENTINEL_BYTES:
        faults.append(f"Expected at most {_SENTINEL_BYTES}, which the API takes - at {path}.batch_bytes")
    if one.form == HEC and not isinstance(one, SplunkHec):
        faults.append(f"hec is the envelope of splunk_hec alone - at {path}.form")
    if one.slim and one.kind == "alerts":
        faults.append(f"slim is for scored events, and this is from alerts - at {path}.slim")
    if one.kind != "alerts":
        only = [key for key in ("min_severity", "detections") if key in given]
        faults += [f"{key} is for alerts, and this is from {one.kind} - at {path}.{key}" for key in only]
    if one.kind == "events":
        only = [key for key in ("min_risk", "slim", "form") if key in given]
        faults += [f"{key} is for what Lapwing has written, and this is from events - at {path}.{key}" for key in only]
    return faults


def url_fault(text: str, plaintext: bool) -> str:
    """What is wrong with a URL to send to; empty for nothing. Never has the URL in it: that may be a secret."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if host is None or url.scheme not in ("http", "https") or url.fragment or not text.isascii():
        return 'Expected a URL such as "https://siem.example:8088"'
    if url.username is not None or url.password is not None:
        return "No user and no password belong into a URL: name the variables they stand in"
    if url.scheme == "http" and host not in _LOOPBACK and not plaintext:
        return "http:// would send it for all to read: use https://, or set plaintext = true"
    return ""


def address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`.

    Raises
    ------
    ValueError
        The text is none.

    >>> address("siem.example:6514"), address("[::1]:601")
    (('siem.example', 6514), ('::1', 601))
    """
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host if ":" not in host else ""
    if not host or not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 1 << 16):
        raise ValueError("no HOST:PORT")
    return host, int(port)
