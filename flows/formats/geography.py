"""Where an address is: what databases add to an event that does not say it, in the columns and in what is shown."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.formats.members_of import under
from flows.formats.proxied import address_of
from models.base import IP
from models.kernels.columns import Columns
from models.kernels.marks import Spans
from models.kernels.scan import ABSENT, ADDRESS, MEMBERS, NUMBER, SPANS, TEXT
from models.rules.members import TYPES
from models.rules.needs import GEOGRAPHY

CACHED: Final = 16_384
_LONGEST: Final = 256
_LONGEST_ADDRESS: Final = 64

Lookup = Callable[[str], Any]
"""An address to a record in the layout of MaxMind's City, Country and ASN databases, None where there is none."""


class Geography:
    """Country, city, latitude, longitude and network of an address, by the first database that knows each.

    Cost: two database look-ups of some microseconds for an address; the last 16,384 are remembered.

    >>> geography = Geography([lambda text: {"country": {"iso_code": "NL"}, "location": {"latitude": 52.4}}])
    >>> geography.completed({"ip": "203.0.113.7:443", "country": "DE"})
    {'ip': '203.0.113.7:443', 'country': 'DE', 'lat': 52.4}
    """

    def __init__(self, databases: Sequence[Lookup]) -> None:
        self._databases = tuple(databases)
        self.of = lru_cache(CACHED)(self._of)

    def _of(self, ip: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        address = address_of(ip) if len(ip) <= _LONGEST_ADDRESS else None
        if address is None:
            return found
        for look_up in self._databases:
            record = look_up(str(address))
            for name, value in _members(record) if isinstance(record, dict) else ():
                found.setdefault(name, value)
        return found

    def completed(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with what it does not say of its `ip` itself."""
        ip = event.get("ip")
        return event | {k: v for k, v in self.of(ip).items() if k not in event} if isinstance(ip, str) else event

    def add(
        self, buffer: NDArray[np.uint8], rows: NDArray[np.int64], spans: Spans, slots: NDArray[np.int64], to: Columns
    ) -> NDArray[np.uint8]:
        """Give those of the rows that lack a member of geography which a detection compares a span of it.

        The values stand behind the buffer in the one that is returned. Each address of a batch is looked up once.
        """
        wanted = [(name, int(slots[MEMBERS.index(name)])) for name in GEOGRAPHY]
        wanted = [(name, slot) for name, slot in wanted if slot >= SPANS]
        here = rows[(to.fault[rows] == 0) & (spans.tag[rows, ADDRESS] != ABSENT)]
        if not wanted or not len(here):
            return buffer
        _, first, which = np.unique(to.entity[IP, here], return_index=True, return_inverse=True)
        more = bytearray()
        at = np.zeros((len(wanted), len(first)), np.int64)
        size = np.zeros_like(at)
        for place, row in enumerate(here[first].tolist()):
            begin = int(spans.at[row, ADDRESS])
            text = buffer[begin : begin + int(spans.size[row, ADDRESS])].tobytes().decode(errors="replace")
            found = self.of(text)
            for k, (name, _) in enumerate(wanted):
                value = _written(found.get(name))
                at[k, place], size[k, place] = len(buffer) + len(more), len(value)
                more += value
        for k, (name, slot) in enumerate(wanted):
            lacking = (spans.tag[here, slot] == ABSENT) & (size[k, which] > 0)
            mine, of = here[lacking], which[lacking]
            spans.at[mine, slot], spans.size[mine, slot] = at[k, of], size[k, of]
            spans.tag[mine, slot] = NUMBER if TYPES[name] == "number" else TEXT
        filled = np.concatenate((buffer, np.frombuffer(more, np.uint8)))
        filled.flags.writeable = False
        return filled


def _members(record: dict[str, Any]) -> list[tuple[str, Any]]:
    """The canonical members that a database's record says something of."""
    location = record.get("location")
    number = record.get("autonomous_system_number")
    found: list[tuple[str, Any]] = [
        ("country", under(record, "country", "iso_code")), ("city", under(record, "city", "names", "en")),
    ]  # fmt: skip
    found = [(name, value[:_LONGEST]) for name, value in found if isinstance(value, str) and value]
    if isinstance(location, dict):
        places = (("lat", location.get("latitude"), 90), ("lon", location.get("longitude"), 180))
        found += [(name, float(v)) for name, v, most in places if isinstance(v, int | float) and abs(v) <= most]
    return found + ([("asn", number)] if isinstance(number, int) and 0 < number < 1 << 32 else [])


def _written(value: Any) -> bytes:
    """A value as the scanner would have found it in a message; empty for none."""
    if isinstance(value, float):
        return f"{value:.4f}".encode()
    return b"" if value is None else str(value).encode(errors="replace")
