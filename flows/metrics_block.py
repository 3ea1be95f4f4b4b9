"""The block `[metrics]`: where numbers and health can be asked for."""

from typing import Final

import msgspec

from flows.durations import microseconds
from flows.structure import shown

_LOOPBACK: Final = "127.0.0.1"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """`listen` is HOST:PORT, or a port alone on the loopback address; empty: nobody can ask.

    A flow that has not turned for `stalled_after` is not healthy.
    """

    listen: str = ""
    stalled_after: str = "2m"

    @property
    def stalled_after_s(self) -> float:
        """Seconds without a turn of the flow after which it is not healthy."""
        return microseconds(self.stalled_after) / 1e6


def address(listen: str) -> tuple[str, int]:
    """Host and port. Port 0 is any that is free.

    Raises
    ------
    ValueError
        The text names no port, or no host before it.

    >>> address("9464"), address("0.0.0.0:9464"), address("[::1]:9464")
    (('127.0.0.1', 9464), ('0.0.0.0', 9464), ('::1', 9464))
    """
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host if ":" not in host else ""
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 1 << 16) or (colon and not host):
        raise ValueError("no HOST:PORT")
    return host or _LOOPBACK, int(port)


def metrics_faults(block: Metrics) -> list[str]:
    """What no single type shows."""
    faults = []
    if block.listen:
        try:
            address(block.listen)
        except ValueError:
            wanted = 'Expected HOST:PORT such as "127.0.0.1:9464" ("0.0.0.0:9464" is every interface)'
            faults.append(f"{wanted}, got {shown(block.listen)} - at $.metrics.listen")
    if block.stalled_after_s < 1:
        faults.append("Expected at least 1s - at $.metrics.stalled_after")
    return faults
