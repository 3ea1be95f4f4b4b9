"""What an expression means, slowly, over a message's members as tests/naive_decode reads them.

An expression is a nested list: ["counted", name], ["has", member], ["compare", member, operator, constants],
["not", x], ["and", x, y ...], ["or", x, y ...]. `spell` writes it as a user might, `holds` says what it means.
"""

import ipaddress
import json
import random
import struct
import unicodedata
from typing import Any

from tests import naive_decode

NUMBERS = ("status", "asn", "lat", "lon", "latency_ms")
CODES = ("action", "outcome", "reason")
TEXTS = (
    "tenant", "user", "username", "actor", "target", "endpoint", "error_code", "error", "actor_type", "session",
    "api_key", "request_id", "factor", "ip_type", "country", "city", "device", "user_agent", "app", "app_version",
    "method",
)  # fmt: skip
COUNTS = {"failure": 1, "error": 2, "deletion": 4, "reset": 8, "success": 16}


def value(event: naive_decode.Event, member: str) -> Any:
    """A member as it is compared: text as bytes, a number as float, an address; None where it is missing."""
    found = event.members.get(member)
    if member == "action":
        return naive_decode.ACTIONS[event.action]
    if member == "outcome":
        return naive_decode.OUTCOMES[event.outcome]
    if member == "reason":
        return naive_decode.REASONS[event.reason] or None
    if member == "status":
        return float(event.status) if event.status else None
    if member == "tenant":
        name = event.names[0] or ""
        return naive_decode.shown(name, naive_decode.entity(name), 64)
    if member == "endpoint":
        name = event.names[2]
        tenant = naive_decode.entity(event.names[0] or "")
        return None if name is None else naive_decode.shown(name, naive_decode.entity(name, tenant), 128)
    if found is None:
        return None
    if member == "ip":
        return ipaddress.ip_address((naive_decode.address(found, 128) or "").removesuffix("/128"))
    if member in NUMBERS:
        return float(found)
    if member == "username":
        found = unicodedata.normalize("NFKC", found).lower()
    return found.encode()


def holds(x: list[Any], event: naive_decode.Event, late: bool) -> bool:
    match x:
        case ["counted", "late"]:
            return late
        case ["counted", name]:
            return bool(event.counts & COUNTS[name])
        case ["has", member]:
            return value(event, member) is not None
        case ["not", inner]:
            return not holds(inner, event, late)
        case ["and", *terms]:
            return all(holds(term, event, late) for term in terms)
        case ["or", *terms]:
            return any(holds(term, event, late) for term in terms)
        case ["compare", member, operator, constants]:
            return compared(member, value(event, member), operator, constants)
    raise AssertionError(x)


def compared(member: str, found: Any, operator: str, constants: list[Any]) -> bool:
    if found is None:
        return False
    if member == "ip":
        nets = [ipaddress.ip_network(constant) for constant in constants]
        return any(found in net for net in nets) == (operator in ("==", "in"))
    if member in TEXTS:
        constants = [
            (unicodedata.normalize("NFKC", c).lower() if member == "username" else c).encode() for c in constants
        ]
    match operator:
        case "==" | "in":
            return found in constants
        case "!=" | "not in":
            return found not in constants
        case "<":
            return found < constants[0]
        case "<=":
            return found <= constants[0]
        case ">":
            return found > constants[0]
        case ">=":
            return found >= constants[0]
        case "startswith":
            return any(found.startswith(c) for c in constants)
        case "endswith":
            return any(found.endswith(c) for c in constants)
        case "contains":
            return any(c in found for c in constants)
    raise AssertionError(operator)


def distinct(event: naive_decode.Event, member: str) -> int:
    """The hash of a member's value, 0 where it is missing."""
    tenant = naive_decode.entity(event.names[0] or "")
    if member == "target" and event.target is not None:
        return naive_decode.entity(event.target, tenant)
    found = value(event, member)
    if found is None:
        return 0
    if member in CODES:
        words = {"action": naive_decode.ACTIONS, "outcome": naive_decode.OUTCOMES, "reason": naive_decode.REASONS}
        found = float(words[member].index(found))
    if isinstance(found, float):
        raw = struct.pack("<d", found + 0.0)
        return naive_decode.entity(raw.decode("latin-1"), tenant) if raw.isascii() else _raw_entity(raw, tenant)
    return _raw_entity(found, tenant)


def _raw_entity(raw: bytes, tenant: int) -> int:
    turned = ((tenant << 32) | (tenant >> 32)) & naive_decode.MASK
    return naive_decode.siphash(raw, 0x6C61707769_6E6720 ^ tenant, 0x76616E656C6C7573 ^ turned) or 1


def quoted(text: str, random_: random.Random) -> str:
    inner = json.dumps(text, ensure_ascii=random_.random() < 0.3)[1:-1]
    inner = inner.replace("\\b", "\\u0008").replace("\\f", "\\u000c")
    if "'" not in inner and random_.random() < 0.3:
        return "'" + inner.replace('\\"', '"') + "'"
    return f'"{inner}"'


def spell(x: list[Any], random_: random.Random, bind: int = 0) -> str:
    """The expression's text with parentheses, spaces and quotes as they come."""
    space = random_.choice([" ", " ", "  ", "\n", "\t "])
    match x:
        case ["counted", name]:
            text, own = name, 4
        case ["has", member]:
            text, own = random_.choice([f"has({member})", f"has ( {member} )", f"{member} is not missing"]), 4
        case ["not", ["has", member]] if random_.random() < 0.5:
            text, own = f"{member}{space}is missing", 4
        case ["not", inner]:
            text, own = f"not{space}{spell(inner, random_, 3)}", 3
        case ["and", *terms]:
            text, own = f"{space}and{space}".join(spell(term, random_, 2) for term in terms), 2
        case ["or", *terms]:
            text, own = f"{space}or{space}".join(spell(term, random_, 1) for term in terms), 1
        case ["compare", member, operator, constants]:
            words = [_constant(member, constant, random_) for constant in constants]
            several = operator in ("in", "not in") or (len(words) > 1)
            listed = f"({', '.join(words)}{random_.choice(['', ','])})" if several else words[0]
            text, own = f"{member}{space}{operator}{space}{listed}", 4
        case _:
            raise AssertionError(x)
    return f"({space}{text})" if own < bind or random_.random() < 0.05 else text


def _constant(member: str, constant: Any, random_: random.Random) -> str:
    if member in NUMBERS:
        return repr(constant) if random_.random() < 0.5 or constant != int(constant) else str(int(constant))
    if member == "ip" and random_.random() < 0.5:
        return str(constant)
    return quoted(constant, random_)
