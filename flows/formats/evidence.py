"""One counted event as OCSF evidence: its canonical members in the fields that OCSF has for them."""

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from flows.formats.proxied import address_of

LONGEST = 256
"""No string of an evidence has more characters than this."""
_PATHS = 10  # how many changed members an evidence names

_SYSTEMS = {"Windows": 100, "Linux": 200, "Ubuntu": 200, "Android": 201, "Mac OS X": 300, "iOS": 301}
"""OCSF's os.type_id of the families it knows."""

_PLAIN = (
    "time", "received", "action", "outcome", "reason", "error_code", "error", "factor", "ip_type", "app_version",
)  # fmt: skip


def clean(text: str, longest: int = LONGEST) -> str:
    """The text as valid Unicode of at most `longest` characters; what cannot be encoded becomes U+FFFD.

    >>> clean("a\\ud800b")
    'a\\ufffdb'
    """
    short = text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    if short.isascii():
        return short
    return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= char <= "\udfff" else char for char in short)


def shown(text: str, longest: int = LONGEST) -> str:
    """The text for a person: what moves the cursor, hides or reorders is written as its code.

    >>> shown("sam\\r\\n\\u202eevil")
    'sam\\\\u000d\\\\u000a\\\\u202eevil'
    """
    valid = clean(text, longest)
    if valid.isascii() and valid.isprintable():
        return valid
    return "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" else char
        for char in valid
    )


def evidence(members: Mapping[str, Any], tenant: str) -> dict[str, Any]:
    """An OCSF evidence of the event's canonical members; any other member is left out.

    A member of the wrong type or with a bad value never costs the evidence: it is left out, and what OCSF has no
    field for stands under `data`. Of `changes` only the paths are kept, never the values; of `endpoint` only the path,
    as what is asked with it may be a token.

    >>> found = evidence({"action": "login", "ip": "203.0.113.7:4711", "endpoint": "/reset?token=8f3a"}, "acme")
    >>> found["src_endpoint"], found["http_request"]
    ({'ip': '203.0.113.7'}, {'url': {'path': '/reset'}})
    """
    text = {name: clean(value) for name, value in members.items() if isinstance(value, str) and value}
    whole = {name: value for name, value in members.items() if _is_whole(value)}
    real = {name: float(value) for name, value in members.items() if _is_whole(value) or _is_real(value)}
    data: dict[str, Any] = {name: text[name] for name in _PLAIN if name in text}
    if "endpoint" in text:
        text["endpoint"] = text["endpoint"].partition("?")[0] or "/"
    if "time" in whole:
        data["time"] = str(whole["time"])
    if text.get("tenant", tenant) != tenant:
        data["tenant"] = text["tenant"]
    if paths := _paths(members.get("changes")):
        data["changed"] = paths
    user = _named(uid=text.get("user"), name=text.get("username"))
    actor = _named(
        user=_named(uid=text.get("actor") or text.get("user"), type=text.get("actor_type")),
        session=_named(uid=text.get("session"), credential_uid=text.get("api_key")),
        app_name=text.get("app"),
    )
    if "uid" not in actor.get("user", {"uid": ""}):
        data["actor_type"] = actor.pop("user")["type"]
    source: dict[str, Any] = {}
    if "ip" in text:
        if (address := address_of(text["ip"])) is not None:
            source["ip"] = str(address)
            source |= _named(autonomous_system=_named(number=whole.get("asn")), location=_location(text, real))
        else:
            data["ip"] = text["ip"]
    operation = " ".join(text[name] for name in ("method", "endpoint") if name in text) or text.get("action")
    request = _named(
        http_method=text.get("method"), url=_named(path=text.get("endpoint")),
        user_agent=text.get("user_agent"), uid=text.get("request_id"),
    )  # fmt: skip
    response: dict[str, Any] = {}
    if "status" in whole:
        response = _named(code=whole["status"], latency=round(real["latency_ms"]) if "latency_ms" in real else None)
    client = members.get("client")
    device = _device(text.get("device"), client if isinstance(client, dict) else {}, data)
    resources = [{"uid": text["target"], "type": "account"}] if "target" in text else None
    found = _named(
        uid=text.get("id"), name=text.get("action"), actor=actor, user=user, src_endpoint=source,
        api=_named(operation=operation), http_request=request, http_response=response, device=device,
        resources=resources,
    )  # fmt: skip
    return found | {"data": data}


def _device(uid: str | None, client: Mapping[str, Any], data: dict[str, Any]) -> dict[str, Any] | None:
    """The device and its system as a user agent names them; the browser, which OCSF has no field for, into `data`."""
    said = {name: clean(value) for name, value in client.items() if isinstance(value, str) and value}
    if "browser" in said:
        data["browser"] = said["browser"]
    system = {"name": said["os"], "type_id": _SYSTEMS.get(said["os"], 99)} if "os" in said else None
    found = _named(uid=uid, os=system, model=said.get("device"))
    return found | {"type_id": 0, "type": "Unknown"} if found else None


def _named(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None and value not in ({}, [])}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_real(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _location(text: Mapping[str, str], real: Mapping[str, float]) -> dict[str, Any]:
    place = _named(country=text.get("country"), city=text.get("city"))
    if place and "lat" in real and "lon" in real:
        place |= {"lat": real["lat"], "long": real["lon"]}
    return place


def _paths(changes: object) -> list[str]:
    if not isinstance(changes, list):
        return []
    paths = [change.get("path") for change in changes[:_PATHS] if isinstance(change, dict)]
    return [clean(path) for path in paths if isinstance(path, str) and path]
