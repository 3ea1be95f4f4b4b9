"""Random expressions whose constants come from the events at hand, so that they hold for some of them."""

import ipaddress
import random
from typing import Any

from tests import naive_decode
from tests.naive_expression import CODES, COUNTS, NUMBERS, TEXTS, value

ALWAYS = ("tenant", "action", "outcome")
ORDERED = ("<", "<=", ">", ">=")
SEARCHES = ("startswith", "endswith", "contains")


def expression(random_: random.Random, events: list[naive_decode.Event], depth: int = 3) -> list[Any]:
    """A tree as tests/naive_expression takes it."""
    sort = random_.random()
    if depth and sort < 0.5:
        terms = [expression(random_, events, depth - 1) for _ in range(random_.randrange(2, 4))]
        return [random_.choice(["and", "or"]), *terms]
    if depth and sort < 0.65:
        return ["not", expression(random_, events, depth - 1)]
    if sort > 0.9:
        return ["counted", random_.choice([*COUNTS, "late"])]
    if sort > 0.8:
        return ["has", random_.choice([m for m in (*TEXTS, *NUMBERS, "ip", "reason") if m not in ALWAYS])]
    return comparison(random_, events, random_.choice([*TEXTS, *TEXTS, *NUMBERS, *NUMBERS, *CODES, "ip", "ip"]))


def comparison(random_: random.Random, events: list[naive_decode.Event], member: str) -> list[Any]:
    """A comparison with a member, of a random operator that it has."""
    operators = ["==", "!=", "in", "not in"]
    if member in NUMBERS or member in TEXTS:
        operators += ORDERED
    if member in TEXTS:
        operators += SEARCHES * 2
    operator = random_.choice(operators)
    count = 1 if operator in ("==", "!=", *ORDERED) else random_.randrange(1, 4)
    return ["compare", member, operator, [constant(random_, events, member, operator) for _ in range(count)]]


def constant(random_: random.Random, events: list[naive_decode.Event], member: str, operator: str) -> Any:
    """A value that an event has, a piece of it, or one near it."""
    found = [v for v in (value(event, member) for event in events) if v is not None]
    pick = random_.choice(found) if found else None
    if member == "ip":
        address = pick or ipaddress.ip_address(random_.choice(["10.0.0.1", "2001:db8::1"]))
        if operator in ("==", "!="):
            return str(address)
        most = address.max_prefixlen
        return str(ipaddress.ip_network((address, random_.randrange(most + 1)), strict=False))
    if member in NUMBERS:
        number = random_.choice([pick or 401.0, (pick or 0.0) + random_.choice([-1, 1]), 200.0, 12.5, -0.0])
        return number
    if member in CODES:
        words = {"action": naive_decode.ACTIONS, "outcome": naive_decode.OUTCOMES, "reason": naive_decode.REASONS[1:]}
        return pick if pick and random_.random() < 0.7 else random_.choice(words[member])
    text = pick.decode() if pick else random_.choice(["a", "Mozilla", 'x"y', "\u00fc", "\\", "\x00\n"])
    if random_.random() < 0.6 and len(text) > 1:
        first, last = sorted(random_.sample(range(len(text) + 1), 2))
        text = text[first:last]
    while len(text.encode()) > 250:
        text = text[: len(text) // 2]
    return text if random_.random() < 0.9 else text.swapcase()
