"""Who is the client behind proxies: `X-Forwarded-For`, `Forwarded`, or a list, read from the right."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, TypeAlias

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

MOST_HOPS: Final = 32
LONGEST: Final = 4_096
_LONGEST_HOP: Final = 256
_CACHED: Final = 4_096


def client_of(trusted: Networks) -> Callable[[Any, Any], str | None]:
    """What finds the client in a chain of hops and the peer of the connection (None where the log has no peer).

    Each proxy adds at the right whom it heard from, so the right-most address that is no trusted proxy is the client:
    what stands left of it is what that client said of itself, and changes nothing. Where all are trusted it is the
    left-most. None where there is no hop, or where a trusted proxy wrote something else than an address. Only the last
    32 hops are looked at. Memory: at most 4,096 hops are remembered.

    >>> client = client_of([IPv4Network("10.0.0.0/8")])
    >>> client("198.51.100.66, 203.0.113.9, 10.0.0.7", None), client("198.51.100.66", "192.0.2.1")
    ('203.0.113.9', '192.0.2.1')
    >>> client('for="[2001:db8::7]:4711";proto=https, for=10.1.1.1', None)
    '2001:db8::7'
    """

    @lru_cache(_CACHED)
    def judged(hop: str) -> tuple[str | None, bool]:
        return _judged(hop, trusted)

    def client(chain: Any, peer: Any) -> str | None:
        last: str | None = None
        for hop in reversed([*_hops(chain), *_hops(peer)][-MOST_HOPS:]):
            address, is_trusted = judged(hop)
            if address is None or not is_trusted:
                return address
            last = address
        return last

    return client


def _hops(chain: Any) -> list[str]:
    """The hops of a chain, each short: of one that is too long only that it is none."""
    if isinstance(chain, str):
        parts: list[Any] = chain[-LONGEST:].split(",")[len(chain) > LONGEST :]
        parts = [part for part in parts if part.strip()]
    elif isinstance(chain, list):
        parts = chain
    else:
        return []
    return [part.strip()[:_LONGEST_HOP] if isinstance(part, str) else "" for part in parts[-MOST_HOPS:]]


def _judged(hop: str, trusted: Networks) -> tuple[str | None, bool]:
    """A hop's address without port, None where it is none, and whether it is a trusted proxy's."""
    text = hop
    if "=" in hop:
        pairs = (pair.partition("=") for pair in hop.split(";"))
        text = next((value.strip() for name, _, value in pairs if name.strip().lower() == "for"), "")
    address = address_of(text.strip('"'))
    return (None, False) if address is None else (str(address), any(address in one for one in trusted))


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address in a text such as `203.0.113.7:443`, `[2001:db8::1]:443` or `::ffff:203.0.113.7`; None for another.

    >>> address_of("[2001:db8::1]:443"), address_of("::ffff:203.0.113.7"), address_of("fe80::1%eth0")
    (IPv6Address('2001:db8::1'), IPv4Address('203.0.113.7'), None)
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
