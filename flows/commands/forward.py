"""`lapwing forward`: send what Lapwing has written to SIEMs."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from flows import log
from flows.commands.console import columns, plain, result, say
from flows.commands.engine import noise_held_back
from flows.commands.life import began
from flows.commands.options import Json, Quiet
from flows.commands.stopping import stoppable
from flows.config import load
from flows.errors import UsageError

_REFRESH_S = 0.5
_SHOWN = 80


def forward(
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="TOML file with the blocks [[destination]].")
    ] = None,
    source: Annotated[
        str, typer.Option("--input", metavar="kafka|DIR|FILE", help="Topics, a folder of results, or one file.")
    ] = "kafka",
    state: Annotated[
        str | None, typer.Option("--state", metavar="DIR", help="Remember here how far each destination is.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ID", help="This destination; more than once for several.")
    ] = None,
    follow: Annotated[
        bool | None,
        typer.Option("--follow/--to-end", help="Wait for more, or end where the input ends now. Topics are followed."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="earliest|latest|TIME", help="Where a first run over a topic begins."),
    ] = None,
    on_gap: Annotated[
        str | None,
        typer.Option("--on-gap", metavar="fail|earliest", help="When retention has removed what was to be read next."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz there.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check configuration, secrets and certificates; send nothing.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send alerts, scored events or raw events to Splunk, Sumo Logic, Elasticsearch, syslog, Sentinel or a webhook.

    \b
    Each destination has its own place in the input: one that is away holds up no other, and gets all when it is back.
    A record is delivered at least once, always with the same id; what is refused for good is kept with the answer, in
    the topic of forward dead letters, or in STATE/forward-dead-letters.ndjson.

    \b
    Examples:
      lapwing forward --config config.toml --check            what would be sent where, a line for each
      lapwing forward --config config.toml --state forwarded
      lapwing forward --config config.toml --input out --state forwarded --follow
      lapwing forward --config config.toml --input out/alerts.ndjson --only soc-syslog --json
    """
    with stoppable() as stop:
        if config is None:
            raise UsageError("no configuration: give --config FILE with a [[destination]] in it")
        flags = {"kafka.start": start, "kafka.on_gap": on_gap, "metrics.listen": metrics}
        chosen = load(config, {key: value for key, value in flags.items() if value is not None})
        from flows import forward as flow
        from flows.forward_metrics import ForwardSeen, observing

        if check:
            jobs = flow.prepared(chosen, source, stop=stop.event, state=None, only=only or (), follow=True, tell=say)
            _checked([job.told for job in jobs], json)
            return
        following = source == "kafka" if follow is None else follow
        if following:
            log.lasting()
        tell = log.hushed if quiet else log.say
        began(
            chosen, input="kafka" if source == "kafka" else "files", destinations=len(only or chosen.destination),
            keeps_state=bool(state),
        )  # fmt: skip
        seen = ForwardSeen()
        with noise_held_back(), observing(chosen.metrics.listen, seen, tell), _live(quiet) as show:

            def on_progress(found: Sequence[Any]) -> None:
                seen.show(found)
                show(found)

            done = flow.run(
                chosen, source, stop=stop.event, state=state, only=only or (), follow=following, tell=tell,
                on_progress=on_progress,
            )  # fmt: skip
        for one in done.destinations:
            tell(
                _told(one), "destination", destination=one.id, sent=one.sent, batches=one.batches,
                filtered=one.filtered, refused=one.refused, behind=one.behind, failing=bool(one.failing),
            )  # fmt: skip
        for name in done.unfinished:
            tell(f"{name}: gave no answer before the end; what it has not confirmed is sent again by the next run")
        log.record("stop", "forwarding has ended", exit_code=stop.exit_code, unfinished=list(done.unfinished))
        if json:
            result(done)
        if done.unfinished:
            sys.stdout.flush()
            os._exit(stop.exit_code)
        raise typer.Exit(stop.exit_code)


def _checked(jobs: Sequence[dict[str, str]], json: bool) -> None:
    """What would be sent where, a line for each destination."""
    if json:
        result({"destinations": jobs})
        return
    for one in jobs:
        form = f" as {one['form']}" if one["form"] else ", as they are,"
        print(plain(f"{one['id']}: {one['from']} of {one['source']}{form} to {one['type']} {one['to']}"))


def _told(one: Any) -> str:
    text = f"{one.id}: {one.sent:,} sent in {one.batches:,} batches"
    odd = [f"{count:,} {name}" for name, count in (("filtered", one.filtered), ("refused", one.refused)) if count]
    odd += [f"{one.behind:,} behind"] if one.behind > 0 else []
    return text + (f" ({', '.join(odd)})" if odd else "") + (f"; failing: {one.failing}" if one.failing else "")


@contextmanager
def _live(quiet: bool) -> Iterator[Callable[[Sequence[Any]], None]]:
    """A line for each destination on a terminal, nothing in a pipe."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal or console.is_dumb_terminal:
        yield lambda seen: None
        return
    shown = 0.0
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as view:

        def show(seen: Sequence[Any]) -> None:
            nonlocal shown
            if time.monotonic() - shown >= _REFRESH_S:
                shown = time.monotonic()
                rows = [(one.id, f"{one.sent:,} sent", f"{one.refused:,} refused", _behind(one)) for one in seen]
                view.update(Text(columns(rows, ""), no_wrap=True, overflow="ellipsis"), refresh=True)

        yield show


def _behind(one: Any) -> str:
    text = f"{one.behind:,} behind" if one.behind >= 0 else "-"
    return f"{text}  {plain(one.failing)[:_SHOWN]}" if one.failing else text
