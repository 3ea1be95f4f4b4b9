"""What commands on the trail have alike: options, times, and whom a name means."""

from typing import Annotated

import typer

from flows.commands.timeline import tenant_of
from flows.errors import UsageError
from flows.formats.evidence import clean
from flows.trail.reader import Trail

MOST_REASON = 2_000
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, and for which case; at most 2,000 characters, no names.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]


def why(reason: str) -> str:
    """A reason that was given."""
    if not reason.strip():
        raise UsageError("--reason is empty: somebody will ask why")
    if len(reason) > MOST_REASON:
        raise UsageError(f"--reason has {len(reason):,} characters, at most {MOST_REASON:,}")
    return clean(reason.strip(), MOST_REASON)


def person(trail: Trail, tenant: str | None, name: str) -> tuple[str, list[bytes]]:
    """The tenant and the ids of the person of a name.

    Raises
    ------
    InputError
        Nobody of this name is known. Whether one was erased is not said: nothing is left that could tell.
    UsageError
        Several tenants know the name.
    """
    of = tenant_of(trail, name, tenant)
    return of, [subject.id for subject in trail.keys.find(of, name)] if trail.keys else []
