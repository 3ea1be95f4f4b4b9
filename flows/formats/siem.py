"""Every form a SIEM takes, by name, and what is asked of a record before it is encoded.

A record is the bytes of one line or message as Lapwing publishes it, without its LF.
"""

from collections.abc import Callable
from typing import Final

from flows.formats.siem_event import Kind, NoRecord

Encode = Callable[[bytes, Kind], bytes]
"""One record to one line of a target, UTF-8, without LF and with no LF in it.

Raises `NoRecord` where the bytes are no record of that kind.
"""


def risk(record: bytes, kind: Kind) -> int | None:
    """The record's risk, 0 to 100; None while it is not known. For `min_risk`, None is below any.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    raise NoRecord("")


def slim(record: bytes) -> bytes:
    """A scored event with its ids and scores only: `id`, `time`, `tenant` and the member `lapwing`.

    It is a scored event again, so every encoder takes it.

    Raises
    ------
    NoRecord
        The bytes are no scored event.
    """
    raise NoRecord("")


ENCODERS: Final[dict[str, Encode]] = {}
"""`ocsf`, `ecs`, `cef`, `leef`, `syslog`, `hec`."""
