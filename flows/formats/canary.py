"""The canary's attack as events, who it says it is, and the finding that says that nobody noticed."""

import hmac
import re
from hashlib import blake2b
from typing import Any, Final

import msgspec

from flows.formats.ocsf import encode_alert
from models.alert import CLOSE, CREATE, Alert
from models.base import SEVERITIES
from models.rules.base import About, Attack
from models.rules.source_silence import SourceSilence

MISSING: Final = "canary_missing"
"""The detection's id in the finding."""
_NAME: Final = re.compile(r"canary-(\d{1,12})-([0-9a-f]{32})")
_ABOUT: Final = About(
    title="Canary not found",
    measure="attacks of our own that raised no incident",
    attacks=(Attack("TA0005", "Defense Evasion", "T1562", "Impair Defenses"),),
    remediation=(
        "1. Ask /readyz and /metrics of the flow: does it run, and how far behind is it? 2. `lapwing completeness` "
        "says whether events come in. 3. If both are well, somebody has changed what is detected: compare config_hash "
        "with that of the day before. Until the next canary is found, no alert does not mean no attack."
    ),
    analytic_type=1,
    confidence=90,
    not_at="not when its incident comes within `after`",
)


class CanaryMissing(SourceSilence, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="canary"):
    """An attack of our own whose incident was not there within `after`."""


def username(key: bytes, tenant: str, second: int) -> str:
    """The user of the attack of a second since the epoch: it tells when, and that it was made with the key.

    >>> username(b"k" * 16, "canary", 1795410000)
    'canary-1795410000-847db82aa3d180b1ea1b74ad2daf7ecf'
    """
    signed = hmac.digest(key, f"lapwing canary\n{tenant}\n{second}".encode(), "sha256")
    return f"canary-{second}-{signed.hex()[:32]}"


def signed_at(key: bytes, tenant: str, name: str) -> int | None:
    """The second of the attack whose user this is, None if the signature is not ours.

    >>> signed_at(b"k" * 16, "canary", username(b"k" * 16, "canary", 5)), signed_at(b"k" * 16, "canary", "canary-5-0")
    (5, None)
    """
    found = _NAME.fullmatch(name)
    if found is None or not hmac.compare_digest(name, username(key, tenant, int(found[1]))):
        return None
    return int(found[1])


def attack(key: bytes, tenant: str, endpoint: str, second: int, failures: int) -> list[bytes]:
    """So many failed logins within a second, one line of format `lapwing` each, without LF.

    They come from no address: to a detection of addresses the canaries of some hours, each another user, would be one
    attacker.
    """
    user = username(key, tenant, second)
    return [
        _event(second * 1000 + 999 * at // failures, tenant, endpoint, f"{user}-{at}", {
            "action": "login", "outcome": "failure", "reason": "bad_credentials", "username": user,
        })
        for at in range(failures)
    ]  # fmt: skip


def tick(tenant: str, endpoint: str, millisecond: int) -> bytes:
    """An event that only shows the time: in a quiet hour nothing else moves the clock by which incidents open."""
    about = {"action": "api_call", "outcome": "success", "username": "canary"}
    return _event(millisecond, tenant, endpoint, f"canary-tick-{millisecond}", about)


def finding(tenant: str, user: str, second: int, within: str, within_s: float, version: str, over_ms: int = 0) -> bytes:
    """The finding that an attack was missed, as OCSF without LF; with `over_ms` that a later one was found then."""
    window_s = int(within_s)
    uid = blake2b(f"{tenant}\0{MISSING}\0{user}".encode(), digest_size=16).hexdigest()
    time = over_ms * 1000 if over_ms else (second + window_s) * 1_000_000
    alert = Alert(
        uid=uid, seq=1 if over_ms else 0, activity=CLOSE if over_ms else CREATE, tenant=tenant, detection=MISSING,
        dimension="tenant", entity=tenant, severity=SEVERITIES.index("high"), time=time, created=time,
        first_seen=second * 1_000_000, start=second * 1_000_000, end=time, count=1, feature="canary",
        window_s=window_s, value=1.0, limit=1.0,
    )  # fmt: skip
    rule = CanaryMissing(id=MISSING, dimension="tenant", after=within)
    return encode_alert(alert, _ABOUT, rule, time // 1000, version)


class _Info(msgspec.Struct):
    uid: str


class _Metadata(msgspec.Struct):
    tenant_uid: str = ""
    processed_time: int = 0


class _Unmapped(msgspec.Struct):
    dimension: str = ""
    entity: str = ""


class _Finding(msgspec.Struct):
    finding_info: _Info
    metadata: _Metadata
    unmapped: _Unmapped
    status_detail: str = ""


_FINDING: Final = msgspec.json.Decoder(_Finding)


def incident_of(line: bytes, tenant: str, by: str) -> tuple[str, str, int] | None:
    """User and uid of an incident that was suppressed `by` the canary, and when (ms); None for any other line."""
    if b'"canary-' not in line:
        return None
    try:
        found = _FINDING.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if found.status_detail != by or found.metadata.tenant_uid != tenant or found.unmapped.dimension != "user":
        return None
    return found.unmapped.entity, found.finding_info.uid, found.metadata.processed_time


class _Event(msgspec.Struct):
    tenant: str = ""
    username: str = ""


_EVENT: Final = msgspec.json.Decoder(_Event)


def attacker_of(line: bytes, key: bytes, tenant: str) -> tuple[str, int] | None:
    """User and second of a scored event that is part of a signed attack; None for any other line."""
    if b'"canary-' not in line:
        return None
    try:
        found = _EVENT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    second = signed_at(key, tenant, found.username) if found.tenant == tenant else None
    return None if second is None else (found.username, second)


def _event(millisecond: int, tenant: str, endpoint: str, id: str, members: dict[str, Any]) -> bytes:
    about = {"time": millisecond, "id": id, "tenant": tenant, "endpoint": endpoint, "method": "POST"}
    return msgspec.json.encode(about | members)
