"""`[input]`: where events come from, what a message may be, and what is added to it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from flows.formats.source_formats import LAPWING


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Where events come from and what a message may be.

    `geo` has databases in MaxMind's format, the first that knows a member of an address counts; with `user_agents`
    alerts say what the user agents of their evidences say.
    """

    format: str = LAPWING
    path: str = ""
    timezone: str = ""
    geo: str | tuple[str, ...] = ""
    user_agents: bool = False
    max_message_bytes: Annotated[int, Meta(ge=256, le=1 << 27)] = 1 << 20
    max_depth: Annotated[int, Meta(ge=2, le=512)] = 32
    batch_rows: Annotated[int, Meta(ge=1, le=65_536)] = 4096
    ipv6_prefix: Annotated[int, Meta(ge=16, le=128)] = 64


def unset(block: Input) -> tuple[str, ...]:
    """The keys that shape nothing where they are not set: results are as they were before these were known.

    >>> unset(Input(geo="city.mmdb"))
    ('user_agents',)
    """
    return tuple(key for key in ("geo", "user_agents") if not getattr(block, key))
