"""What a message of the format means, slowly: json, re, ipaddress, datetime. Shares nothing with the decoder."""

import ipaddress
import json
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

NUMBERS = {"time", "received", "status", "asn", "lat", "lon", "latency_ms"}
ORDER = (
    "time", "received", "id", "tenant", "action", "outcome", "reason", "user", "username", "actor", "target", "ip",
    "endpoint", "status", "method", "error_code", "error", "actor_type", "session", "api_key", "request_id", "factor",
    "ip_type", "asn", "country", "city", "lat", "lon", "device", "user_agent", "app", "app_version", "latency_ms",
    "changes",
)  # fmt: skip
STRINGS = {*ORDER} - {"asn", "lat", "lon", "latency_ms", "changes"}
METHODS = ("", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other")
ACTIONS = (
    "other", "login", "logout", "register", "token_issue", "token_refresh", "mfa_challenge", "password_reset_request",
    "password_reset", "password_change", "email_change", "profile_update", "account_lock", "account_unlock",
    "account_delete", "role_change", "policy_change", "api_key_change", "data_read", "data_export", "api_call",
)  # fmt: skip
OUTCOMES = ("unknown", "success", "failure", "challenge", "blocked")
REASONS = (
    "", "bad_credentials", "unknown_user", "locked", "expired", "mfa_failed", "mfa_denied", "rate_limited",
    "forbidden", "not_found", "server_error", "other",
)  # fmt: skip
BY_ACTOR = {
    "account_delete", "account_lock", "account_unlock", "role_change", "policy_change", "api_key_change", "data_read",
    "data_export",
}  # fmt: skip
JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?([Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
MASK = (1 << 64) - 1
HEX = "[0-9a-fA-F]"


class Number(str):
    """A JSON number as written."""


@dataclass
class Event:
    """One event's columns; `names` and `target` are whole values, not yet cut or hashed."""

    time: int
    record_time: int | None
    has_id: bool
    counts: int
    action: int
    outcome: int
    reason: int
    status: int
    method: int
    names: list[str | None]
    target: str | None
    output: bytes
    ignored: list[str] = field(default_factory=list)
    members: dict[str, Any] = field(default_factory=dict)


def siphash(value: bytes, k0: int, k1: int) -> int:
    """SipHash-2-4 from the paper."""

    def turn(x: int, n: int) -> int:
        return ((x << n) | (x >> (64 - n))) & MASK

    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[2] = (v[2] + v[3]) & MASK
            v[1] = turn(v[1], 13) ^ v[0]
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = turn(v[0], 32)
            v[2] = (v[2] + v[1]) & MASK
            v[0] = (v[0] + v[3]) & MASK
            v[1] = turn(v[1], 17) ^ v[2]
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = turn(v[2], 32)

    padded = value + bytes(7 - len(value) % 8) + bytes([len(value) & 255])
    for k in range(0, len(padded), 8):
        word = int.from_bytes(padded[k : k + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def entity(value: str, tenant: int = 0) -> int:
    """The hash of an entity: (tenant, value)."""
    turned = ((tenant << 32) | (tenant >> 32)) & MASK
    return siphash(value.encode(), 0x6C61707769_6E6720 ^ tenant, 0x76616E656C6C7573 ^ turned) or 1


def shown(value: str, found: int, limit: int) -> bytes:
    """A name as it stands in the columns."""
    raw = value.encode()
    if len(raw) <= limit:
        return raw
    return raw[: limit - 17].decode("utf-8", "ignore").encode() + f"~{found:016x}".encode()


def micros(value: Any, zone: timezone | None = None) -> int | None:
    """A time of either form."""
    if isinstance(value, Number):
        if len(value) > 64:
            return None
        number = Fraction(Decimal(value)) if abs(Decimal(value).adjusted()) < 40 else Fraction(0)
        for limit, scale in ((10**11, 10**6), (10**14, 10**3), (10**17, 1)):
            if number < limit:
                number *= scale
                break
        else:
            number /= 1000
        found = number.numerator // number.denominator
    else:
        match = RFC_3339.fullmatch(value) if len(value) <= 64 else None
        if match is None:
            return None
        hour, minute, second = int(match[2]), int(match[3]), int(match[4])
        if hour > 23 or minute > 59 or second > 60:
            return None
        ahead = timedelta()
        if match[7]:
            if int(match[8]) > 23 or int(match[9]) > 59:
                return None
            ahead = timedelta(hours=int(match[8]), minutes=int(match[9])) * (1 if match[7] == "+" else -1)
        try:
            day = datetime.fromisoformat(match[1] + "T00:00:00")
            when = day + timedelta(hours=hour, minutes=minute, seconds=second) - ahead
        except (ValueError, OverflowError):
            return None
        found = (when - datetime(1970, 1, 1)) // timedelta(microseconds=1)
        found += int(((match[5] or ".0")[1:] + "000000")[:6])
    return found if 946684800 * 10**6 <= found < 4133980800 * 10**6 else None


def address(text: str, prefix: int) -> str | None:
    """The entity of an address."""
    match = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?|([0-9.]+)(?::([0-9]{1,5}))?", text)
    if match and int(match[2] or match[4] or 0) > 65535:
        return None
    if match and match[1] is not None and ":" not in match[1]:
        return None
    inner = (match[1] if match[1] is not None else match[3]) if match else text
    if "%" in inner:
        return None
    try:
        ip = ipaddress.ip_address(inner)
    except ValueError:
        return None
    if ip.version == 6:
        if ip.ipv4_mapped is None:
            return str(ipaddress.ip_network((ip, prefix), strict=False))
        ip = ip.ipv4_mapped
    return str(ip)


def template(path: str) -> str:
    """A path without query, fragment and identifiers."""

    def identifier(segment: str) -> bool:
        size = len(segment.encode())
        return bool(
            size > 64
            or re.search(r"@|\||%40|%7[cC]", segment)
            or re.fullmatch(r"[0-9]+", segment)
            or (size >= 8 and re.fullmatch(r"[0-9a-fA-F-]+", segment) and re.search("[0-9]", segment))
            or re.fullmatch(r"[A-Za-z]+[-_][0-9]+", segment)
            or (size >= 16 and re.search(r"[0-9][A-Za-z]|[0-9]{3}", segment))
        )

    return "/".join("{id}" if identifier(part) else part for part in re.split(r"[?#]", path)[0].split("/"))


def depth(raw: bytes) -> int:
    """The deepest nesting of brackets outside strings."""
    now = deepest = 0
    for token in re.findall(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', raw, re.DOTALL):
        now += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token, 0)
        deepest = max(deepest, now)
    return deepest


def refuse(name: str) -> None:
    raise ValueError(name)


def parse(text: str) -> Any:
    hooks: dict[str, Any] = {"parse_int": Number, "parse_float": Number, "parse_constant": refuse}
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs), **hooks)


def mended(text: str) -> str:
    """Without escapes of lone surrogates."""
    text = re.sub(
        r"(\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]XX\\u[dD][c-fC-F]XX)|\\u[dD][89a-fA-F]XX".replace("X", HEX),
        lambda m: m[1] or "\\ufffd",
        text,
        flags=re.DOTALL,
    )
    return text


def decode(raw: bytes, recorded: int | None = None, future: int = 60_000_000, prefix: int = 64) -> Event | str:
    """One message's event, or the reason why it is dead."""
    if len(raw) > 1 << 20:
        return "too_large"
    inner = raw.strip(b" \t\r\n").removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    if not inner:
        return "empty"
    if depth(inner) > 32:
        return "too_deep"
    text = inner.decode("utf-8", "replace")
    clean = text.encode() == inner
    fixed = mended(text)
    try:
        value = parse(fixed)
    except ValueError:
        return "malformed_json" if clean else "bad_utf8"
    if not (isinstance(value, tuple) and value[0] == "object"):
        return "not_an_object"
    pairs = value[1]
    if any(key == "lapwing" for key, _ in pairs):
        return "reserved_member"
    ignored: set[str] = set()
    if fixed.encode() != inner:
        # A member was repaired if marking every repair with another character makes it differ.
        marked = inner.decode("utf-8", "surrogateescape")
        for (key, _), (other_key, other) in zip(pairs, parse(marked)[1], strict=True):
            if re.search("[\ud800-\udfff]", repr_of(other) + other_key):
                ignored.add(key if key in ORDER else "...")
    members: dict[str, Any] = {}
    for key, inside in pairs:
        if key in ORDER:
            if key in members:
                ignored.add(key)
            members[key] = inside
    for key, inside in list(members.items()):
        if inside is None or (inside == "" and type(inside) is str and key != "time"):
            del members[key]
            continue
        numeric = isinstance(inside, Number)
        if key in NUMBERS and type(inside) is str and len(inside) <= 64 and JSON_NUMBER.fullmatch(inside):
            inside, numeric = Number(inside), True
        if numeric:
            good = key in NUMBERS and len(inside) <= 64 and abs(float(inside)) != float("inf")
        elif isinstance(inside, str):
            good = key in STRINGS and len(inside.encode()) <= (1024 if key == "username" else 16384)
        else:
            good = key == "changes" and isinstance(inside, list)
        if key == "status" and good:
            good = numeric and float(inside) == int(float(inside)) and 100 <= int(float(inside)) <= 999
        if key == "received" and good:
            good = micros(inside) is not None
        if key == "outcome" and good:
            good = inside in OUTCOMES
        if key == "ip" and good:
            good = address(inside, prefix) is not None
        if key == "endpoint" and good:
            good = template(inside) != ""
        members[key] = inside
        if not good and key != "time":
            del members[key]
            ignored.add(key)
    return _event(members, ignored, fixed.encode(), recorded, future, prefix)


def repr_of(value: Any) -> str:
    """All strings of a value, one after another."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "".join(key + repr_of(inner) for key, inner in value[1])
    return "".join(map(repr_of, value)) if isinstance(value, list) else ""


def _event(
    members: dict[str, Any], ignored: set[str], output: bytes, recorded: int | None, future: int, prefix: int
) -> Event | str:
    if "time" not in members:
        return "missing_time"
    time = micros(members["time"]) if isinstance(members["time"], str) else None
    if time is None:
        return "bad_time"
    record = recorded
    if record is None and "received" in members:
        record = micros(members["received"])
    if record is not None and time > record + future:
        return "future_time"
    tenant = members.get("tenant", "default")
    username = members.get("username")
    if username is not None:
        username = unicodedata.normalize("NFKC", username).lower()
    user, actor = members.get("user"), members.get("actor")
    action = members.get("action", "other")
    action = action if action in ACTIONS else "other"
    whom = username or user or actor
    if action in BY_ACTOR and actor:
        whom = actor
    ip = address(members["ip"], prefix) if "ip" in members else None
    endpoint = template(members["endpoint"]) if "endpoint" in members else None
    if not (whom or ip or endpoint):
        return "no_entity"
    status = int(float(members.get("status", 0)))
    outcome = members.get("outcome")
    if outcome is None:
        outcome = "unknown"
        if status:
            outcome = "success" if status < 400 else "blocked" if status == 429 else "failure"
    reason = members.get("reason", "")
    verb = members.get("method")
    method = 0
    if verb is not None:
        verb = "HEAD" if verb in ("OPTIONS", "TRACE") else verb
        method = METHODS.index(verb) if verb in METHODS[1:] else METHODS.index("other")
    signs_in = action in ("login", "mfa_challenge", "token_issue", "token_refresh")
    deletion = action == "account_delete" and outcome in ("success", "unknown")
    counts = (
        (1 if signs_in and outcome in ("failure", "blocked") else 0)
        + (2 if status >= 400 or outcome == "failure" else 0)
        + (4 if deletion else 0)
        + (8 if action == "password_reset_request" else 0)
        + (16 if signs_in and outcome == "success" else 0)
    )
    names = [name for name in ORDER if name in ignored]
    if len(names) > 5 or "..." in ignored:
        names = [*names[:5], "..."]
    return Event(
        time, record, "id" in members, counts, ACTIONS.index(action), OUTCOMES.index(outcome),
        REASONS.index(reason if reason in REASONS else "other"), status, method, [tenant, ip, endpoint, whom],
        (members.get("target") or user or username) if deletion else None, output, names, members,
    )  # fmt: skip
