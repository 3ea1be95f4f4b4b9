"""`lapwing verify`: whether a trail is what was signed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from flows.commands.console import columns, plain, result
from flows.commands.moments import span
from flows.commands.options import From, Json, Quiet, Tenant, To, TrailPlace
from flows.errors import Refused

if TYPE_CHECKING:
    from flows.trail.heard import Finding
    from flows.trail.verify import Verified

_REFRESH_S = 0.2


def verify(
    trail: TrailPlace,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint", metavar="FILE", help="The second place (archive --witness), or a checkpoint you have kept."
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", metavar="FILE", help="The keys you believe (public-keys.txt), kept by yourself."),
    ] = None,
    tenant: Tenant = None,
    start: From = None,
    end: To = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hash every row of a trail anew, and compare with what was signed.

    Works on a copy, offline, without any secret key, and changes nothing. Finds a changed byte, a row that was
    removed, inserted or exchanged with another, an end that was cut off, a checkpoint that was replaced. Says what is
    proven and what is not. With --from and --to only what happened then. Any finding is exit code 3.

    \b
    Examples:
      lapwing verify --trail trail
      lapwing verify --trail copy --public-key public-keys.txt --checkpoint witness.ndjson
      lapwing verify --trail trail --tenant acme --from 2026-11-01 --to 2026-12-01 --json
    """
    first, last = span(start, end)
    from flows.trail.signing import read_public_keys
    from flows.trail.verify import Verifying

    given = [] if public_key is None else read_public_keys(public_key)
    with _counting(quiet or json) as tell:
        found = Verifying(trail, second=checkpoint, given=given, tenant=tenant, start=first, end=last, tell=tell).run()
    if json:
        result(found)
    else:
        print(text(found))
    if found.findings_in_all:
        raise Refused(f"{trail}: {_some(found.findings_in_all, 'finding')}: it is not what was signed")


def text(found: "Verified") -> str:
    """What a person reads."""
    lines = [f"{found.rows:,} rows hashed in {found.seconds:.1f} s"]
    if found.proven:
        lines.append("proven:")
        lines.append(
            columns(
                [(one.table, one.tenant, one.log, f"{one.leaves:,} rows, signed {one.until}") for one in found.proven]
            )
        )
    if found.not_proven:
        lines.append("not proven:")
        lines += [f"  {plain(one)}" for one in found.not_proven]
    lines.append(f"findings: {found.findings_in_all or 'none'}")
    lines += [f"  {plain(_line(one))}" for one in found.findings]
    if found.findings_in_all > len(found.findings):
        lines.append(f"  and {found.findings_in_all - len(found.findings):,} more")
    return "\n".join(lines)


def _line(one: "Finding") -> str:
    leaf = "" if one.leaf is None else f"leaf {one.leaf}" if one.last is None else f"leaves {one.leaf} to {one.last}"
    tenant, log = one.tenant and f"tenant {one.tenant}", one.log and f"log {one.log}"
    where = ", ".join(part for part in (one.table, tenant, log, leaf) if part)
    file = f" (in {one.file})" if one.file else ""
    return f"{one.what}: {where}{': ' if where else ''}{one.said}{file}"


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def _counting(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """What to call with rows seen and there: a live line on a terminal, nothing in a pipe."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal or console.is_dumb_terminal:
        yield lambda seen, there: None
        return
    began, shown = time.monotonic(), 0.0
    with Live(console=console, auto_refresh=False, redirect_stdout=False, transient=True) as view:

        def show(seen: int, there: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= _REFRESH_S:
                shown = now
                rate = seen / max(now - began, 0.001)
                share = f"{min(100.0, 100 * seen / there):5.1f} %  " if there else ""
                view.update(Text(f"{share}{seen:,} of {there:,} rows  {rate:,.0f}/s", no_wrap=True), refresh=True)

        yield show
