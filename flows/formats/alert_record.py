"""An alert read again, as far as a SIEM's forms show it."""

from ipaddress import ip_network
from typing import Any, Final, Literal

import msgspec

from flows.formats.evidence import clean
from flows.formats.siem_event import LONGEST_MESSAGE, NoRecord, Scalar, SiemEvent, Technique, address, each

_IP, _USER_NAME = 2, 4  # OCSF observable types


class _Analytic(msgspec.Struct, frozen=True):
    type: str = ""


class _Info(msgspec.Struct, frozen=True):
    uid: str
    title: str = ""
    desc: str = ""
    analytic: _Analytic = _Analytic()
    attacks: list[dict[str, Any]] = []


class _Metadata(msgspec.Struct, frozen=True):
    uid: str
    product: dict[str, Any] = {}
    tenant_uid: str = "default"
    event_code: str = ""
    correlation_uid: str = ""


class _Observable(msgspec.Struct, frozen=True):
    type_id: int
    value: str = ""


class _Remediation(msgspec.Struct, frozen=True):
    desc: str = ""


class _Alert(msgspec.Struct, frozen=True):
    """An OCSF Detection Finding, as far as the targets show it."""

    class_uid: Literal[2004]
    time: int
    severity_id: int
    finding_info: _Info
    metadata: _Metadata
    message: str = ""
    activity_name: str = ""
    status: str = ""
    is_alert: bool = True
    risk_score: int | None = None
    confidence_score: int | None = None
    count: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    evidences: list[dict[str, Any]] = []
    observables: list[_Observable] = []
    remediation: _Remediation = _Remediation()
    unmapped: dict[str, Any] = {}


_ALERT: Final = msgspec.json.Decoder(_Alert)
_SHOWN_UNMAPPED = (
    "seq", "dimension", "entity", "feature", "window_s", "value", "limit", "expected", "z", "failed_users",
    "succeeded_users", "related", "digest",
)  # fmt: skip


def read_alert(record: bytes) -> SiemEvent:
    """An alert in the words of the encoders.

    Raises
    ------
    NoRecord
        The bytes are no alert.
    """
    try:
        alert = _ALERT.decode(record)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NoRecord(f"no alert ({error})") from None
    info, meta, unmapped = alert.finding_info, alert.metadata, alert.unmapped
    dimension, entity = (str(unmapped.get(name, "")) for name in ("dimension", "entity"))
    joint = unmapped.get("entities")
    entities = {str(k): str(v) for k, v in joint.items()} if isinstance(joint, dict) else {dimension: entity}
    at = entities.get("ip", "")
    details: dict[str, Scalar] = {
        "activity": clean(alert.activity_name),
        "state": clean(alert.status),
        "is_alert": alert.is_alert,
        "analytic": clean(info.analytic.type),
    }
    if alert.confidence_score is not None:
        details["confidence"] = alert.confidence_score
    if meta.correlation_uid:
        details["correlation_uid"] = clean(meta.correlation_uid)
    for name in _SHOWN_UNMAPPED:
        value = unmapped.get(name)
        if isinstance(value, str | int | float):
            details[name] = clean(value) if isinstance(value, str) else value
    seen = [(one.type_id, clean(one.value)) for one in alert.observables]
    return SiemEvent(
        kind="alert",
        time=alert.time,
        uid=clean(meta.uid),
        version=clean(str(meta.product.get("version", ""))),
        tenant=clean(meta.tenant_uid),
        signature=clean(meta.event_code),
        name=clean(info.title),
        message=clean(alert.message, LONGEST_MESSAGE),
        severity=min(5, max(0, alert.severity_id)),
        risk=alert.risk_score,
        action=clean(meta.event_code),
        username=clean(entities.get("user", "")),
        ip=address(at),
        network=_network(at),
        endpoint=clean(entities.get("endpoint", "")),
        description=clean(info.desc),
        remediation=clean(alert.remediation.desc, LONGEST_MESSAGE),
        start=alert.start_time,
        end=alert.end_time,
        count=alert.count,
        incident=clean(info.uid),
        detection=clean(meta.event_code),
        techniques=tuple(_technique(one) for one in info.attacks[:5]),
        ips=each((address(at), *(address(value) for kind, value in seen if kind == _IP))),
        users=each((clean(entities.get("user", "")), *(value for kind, value in seen if kind == _USER_NAME))),
        details=details,
    )


def _technique(attack: dict[str, Any]) -> Technique:
    def named(name: str) -> tuple[str, str]:
        part = attack.get(name)
        if not isinstance(part, dict):
            return "", ""
        return clean(str(part.get("uid", ""))), clean(str(part.get("name", "")))

    return Technique(named("tactic"), named("technique"), named("sub_technique"))


def _network(text: str) -> str:
    try:
        return str(ip_network(text)) if "/" in text else ""
    except ValueError:
        return ""
