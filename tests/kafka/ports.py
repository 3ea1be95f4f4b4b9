"""Loopback ports that stay ours while nobody listens on them."""

import socket
import sys

LOOPBACK = "127.0.0.1"


class Port:
    """A free port, kept from everybody else until `free`.

    Between two lives of a broker its port could go to some client as the source of a connection; on loopback even to
    one that tries to reach the broker, which then talks to itself. On Linux a bound socket that does not listen
    prevents that and lets the broker, which sets SO_REUSEADDR as it does, listen. Elsewhere the port is only looked up.
    """

    def __init__(self, wanted: int = 0) -> None:
        self._held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._held.bind((LOOPBACK, wanted))
        except OSError:
            self._held.close()
            raise
        # Only now: two of these may not have one port.
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._held.getsockname()[1]
        if sys.platform != "linux":
            self._held.close()

    def free(self) -> None:
        self._held.close()

    def answers(self) -> bool:
        """Whether somebody listens."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            return probe.connect_ex((LOOPBACK, self.number)) == 0
