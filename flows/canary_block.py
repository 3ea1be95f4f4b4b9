"""The block `[canary]`: an attack of our own, made now and then to see whether it is found."""

import os
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from flows.durations import microseconds
from flows.errors import UsageError

_LEAST_KEY: Final = 16


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """Every so often some failed logins in a `tenant` of its own; their incident must be there `within` a time.

    Without a `tenant` there is no canary. The attack's user bears a signature with the key in the environment variable
    `key_env`: a signed incident goes to what is suppressed, any other of the tenant is an alert.
    """

    tenant: Annotated[str, Meta(max_length=256)] = ""
    endpoint: Annotated[str, Meta(min_length=1, max_length=256)] = "/lapwing/canary"
    every: str = "1h"
    within: str = "5m"
    key_env: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = "LAPWING_CANARY_KEY"

    @property
    def every_s(self) -> float:
        """Seconds from one attack to the next."""
        return microseconds(self.every) / 1e6

    @property
    def within_s(self) -> float:
        """Seconds after which an attack without its incident is missed."""
        return microseconds(self.within) / 1e6

    def key(self) -> bytes:
        """The key that signs.

        Raises
        ------
        UsageError
            The variable is not set, or too short for a secret.
        """
        key = os.environ.get(self.key_env, "").encode()
        if len(key) < _LEAST_KEY:
            lacks = "is not set" if not key else f"has {len(key)} bytes"
            raise UsageError(
                f"[canary] key_env: {self.key_env} {lacks}; at least {_LEAST_KEY} random ones are needed, e.g. "
                "`openssl rand -hex 32`"
            )
        return key


def canary_faults(block: Canary) -> list[str]:
    """What no single type shows.

    >>> canary_faults(Canary(every="30s"))
    ['Expected at least 1m - at $.canary.every',
     'Expected at least 10s and less than every (30s), got 5m - at $.canary.within']
    """
    faults = []
    if block.every_s < 60:
        faults.append("Expected at least 1m - at $.canary.every")
    if not 10 <= block.within_s < block.every_s:
        faults.append(
            f"Expected at least 10s and less than every ({block.every}), got {block.within} - at $.canary.within"
        )
    if not block.tenant.isprintable() or block.tenant != block.tenant.strip():
        faults.append("Expected a name of printable characters - at $.canary.tenant")
    return faults
