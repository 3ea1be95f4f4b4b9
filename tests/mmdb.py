"""A writer of MaxMind's database format, small and slow: version 2.0, IPv6 tree, records of 32 bits."""

import ipaddress
import struct
from pathlib import Path
from typing import Any

MARKER = b"\xab\xcd\xefMaxMind.com"
_TYPES = {"double": 3, "bytes": 4, "uint16": 5, "uint32": 6, "map": 7, "uint64": 9, "array": 11, "boolean": 14}


def encode(value: Any) -> bytes:
    """A value in the data section's own encoding."""
    if isinstance(value, bool):
        return _control(_TYPES["boolean"], int(value))
    if isinstance(value, str):
        raw = value.encode()
        return _control(2, len(raw)) + raw
    if isinstance(value, float):
        return _control(_TYPES["double"], 8) + struct.pack(">d", value)
    if isinstance(value, int):
        return whole(value, "uint32")
    if isinstance(value, dict):
        return _control(_TYPES["map"], len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    return _control(_TYPES["array"], len(value)) + b"".join(map(encode, value))


def whole(value: int, kind: str) -> bytes:
    """An unsigned integer of one of the format's types."""
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _control(_TYPES[kind], len(raw)) + raw


def _control(kind: int, size: int) -> bytes:
    first, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return bytes([kind << 5 | first]) + more if kind < 8 else bytes([first, kind - 7]) + more


def write(path: Path, records: dict[str, Any], kind: str = "Test-City") -> Path:
    """A database with a record for each network; IPv4 networks lie below ::/96, as in MaxMind's own."""
    tree: list[list[Any]] = [[None, None]]
    for text, record in records.items():
        network = ipaddress.ip_network(text)
        bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
        bits = "0" * 96 + bits if network.version == 4 else bits
        node = 0
        for bit in bits[:-1]:
            if tree[node][int(bit)] is None:
                tree.append([None, None])
                tree[node][int(bit)] = len(tree) - 1
            node = tree[node][int(bit)]
        tree[node][int(bits[-1])] = record
    section, at = b"", {}
    for record in records.values():
        at[id(record)] = len(section)
        section += encode(record)
    count = len(tree)

    def pointer(side: Any) -> int:
        return count if side is None else side if isinstance(side, int) else count + 16 + at[id(side)]

    nodes = b"".join(struct.pack(">II", *map(pointer, sides)) for sides in tree)
    about = {
        "node_count": whole(count, "uint32"), "record_size": whole(32, "uint16"), "ip_version": whole(6, "uint16"),
        "database_type": encode(kind), "languages": encode(["en"]), "build_epoch": whole(1_795_410_000, "uint64"),
        "binary_format_major_version": whole(2, "uint16"), "binary_format_minor_version": whole(0, "uint16"),
        "description": encode({"en": "documentation addresses only"}),
    }  # fmt: skip
    metadata = _control(_TYPES["map"], len(about)) + b"".join(encode(k) + v for k, v in about.items())
    path.write_bytes(nodes + bytes(16) + section + MARKER + metadata)
    return path


def city(path: Path) -> Path:
    """Three documentation networks in two countries."""

    def place(country: str, name: str, lat: float, lon: float) -> dict[str, Any]:
        return {
            "country": {"iso_code": country}, "city": {"names": {"en": name}},
            "location": {"latitude": lat, "longitude": lon},
        }  # fmt: skip

    return write(
        path,
        {
            "192.0.2.0/24": place("NL", "Amsterdam", 52.37, 4.9),
            "198.51.100.0/24": place("BR", "S\u00e3o Paulo", -23.55, -46.63),
            "2001:db8::/32": place("NL", "Utrecht", 52.09, 5.12),
        },
    )


def asn(path: Path) -> Path:
    """The network of one of them."""
    return write(path, {"192.0.2.0/24": {"autonomous_system_number": 64_511}}, "Test-ASN")
