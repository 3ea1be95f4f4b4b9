"""Candidates in force as the lists that servers and firewalls read."""

from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec

from flows.formats.actions import Action
from models.exceptions import Network, network

Name = Literal["plain", "json", "nginx", "haproxy"]


class Block(msgspec.Struct, frozen=True):
    """An address or network to block until `until` (epoch ms), for the gravest of its reasons."""

    address: str
    until: int
    risk: int
    reason: str
    tenants: tuple[str, ...]
    uids: tuple[str, ...]


def in_force(actions: Iterable[Action], at: int) -> list[Block]:
    """The addresses that are to be blocked at a time (epoch ms), each once, by version and number.

    A candidate is in force from its `time` until `ttl` seconds later. What is no address is left out, whoever wrote it.
    Memory is one entry an address.

    >>> one = Action(0, "block", "203.0.113.7", "ip", "acme", 60, "ab", 60, "Brute force from one IP")
    >>> [block.address for block in in_force([one, one], 59_999)], in_force([one], 60_000)
    (['203.0.113.7'], [])
    """
    found: dict[Network, Block] = {}
    for one in actions:
        if one.action != "block" or not one.time <= at < (until := one.time + 1000 * one.ttl):
            continue
        try:
            address = network(one.entity)
        except ValueError:
            continue
        before = found.get(address, Block(_spelled(address), 0, -1, "", (), ()))
        graver = (one.risk, one.reason) > (before.risk, before.reason)
        found[address] = Block(
            before.address,
            max(before.until, until),
            max(before.risk, one.risk),
            one.reason if graver else before.reason,
            tuple(sorted({*before.tenants, one.tenant})),
            tuple(sorted({*before.uids, one.uid})),
        )
    order = sorted(found, key=lambda net: (net.version, int(net.network_address), net.prefixlen))
    return [found[address] for address in order]


def _spelled(address: Network) -> str:
    return str(address.network_address) if address.prefixlen == address.max_prefixlen else str(address)


def _plain(block: Block) -> str:
    return block.address


def _nginx(block: Block) -> str:
    return f"deny {block.address};"


FORMATS: Final[dict[str, Callable[[Block], str]]] = {
    "plain": _plain,
    "json": lambda block: msgspec.json.encode(block).decode(),
    "nginx": _nginx,
    "haproxy": _plain,
}
"""A line of each format. Only `json` carries text from outside; the others have nothing but addresses, spelled anew."""
