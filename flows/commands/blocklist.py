"""`lapwing blocklist`: the addresses that Lapwing proposes to block now. It blocks nothing."""

import time
from typing import Annotated

import typer

from flows.commands.console import say
from flows.errors import UsageError
from flows.formats.blocklist import FORMATS, Name, in_force
from models.exceptions import expires


def blocklist(
    source: Annotated[
        str, typer.Option("--input", metavar="DIR|FILE", help="Folder of results, or its actions.ndjson.")
    ] = ".",
    form: Annotated[Name, typer.Option("--format", help="What to write.")] = "plain",
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="RFC 3339; the present if left out.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only of this tenant.")] = None,
) -> None:
    """Print the addresses that are to be blocked at a time: candidates whose time is not over, each once, sorted.

    Lapwing proposes, it never blocks. Include the file where you block, and reload when it has changed.

    \b
    Formats:
      plain    an address or network a line
      json     an object a line: address, until, risk, reason, tenants, uids
      nginx    deny 203.0.113.7;                   include it in an http, server or location block
      haproxy  an address a line                   acl bad src -f FILE

    \b
    Examples:
      lapwing blocklist --input out
      lapwing blocklist --input out --format nginx > /etc/nginx/lapwing.conf
      lapwing blocklist --input out/actions.ndjson --at 2026-11-23T05:30:00Z --format json
    """
    from flows import query

    if at is None:
        now = int(time.time() * 1000)
    else:
        try:
            now = expires(at) // 1000
        except ValueError:
            raise UsageError(f"--at {at!r} is no RFC 3339 time with offset such as 2026-11-23T05:30:00Z") from None
    line = FORMATS[form]
    blocks = in_force(query.actions(source, tenant), now)
    for block in blocks:
        print(line(block))
    if not blocks:
        say("no address is in force at this time; for history ask for a moment in it with --at TIME")
