"""`lapwing state`: what a state directory is, a copy of it, and the way back to what it was."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.console import columns, plain, result, say
from flows.commands.options import Json
from flows.errors import OutputError, Refused

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Look at, copy or go back with saved state.", add_completion=False
)
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The state directory.")]


@app.command()
def show(directory: Directory, json: Json = False) -> None:
    """Say what a state is and how far.

    What it was made for, by which version, the positions that are durable, and what is kept of before. It may be asked
    while a run goes on. State that cannot be used is exit code 3.

    \b
    Examples:
      lapwing state show state
      lapwing state show state --json | jq .positions
    """
    found = about(directory)
    if json:
        result(found)
    else:
        print(_text(found))
    if found["problem"]:
        raise Refused(found["problem"])


@app.command()
def save(
    directory: Directory,
    to: Annotated[Path, typer.Argument(metavar="TO", help="A directory that is not there yet, or is empty.")],
    without_positions: Annotated[
        bool,
        typer.Option("--without-positions", help="Keep what was learned and is open, not where it was reading."),
    ] = False,
) -> None:
    """Copy the state of a run that has ended.

    For a backtest, another deployment, or as a backup. The copy goes on from the same positions under a name of its
    own: its first run needs another --output, and over Kafka another `application` while the first one runs.
    Offsets of another cluster, or files elsewhere, mean something else: --without-positions, and --start for a topic.

    \b
    Examples:
      lapwing state save state trial
      lapwing detect --config new.toml --state trial --output trial-out
      lapwing state save state elsewhere --without-positions
    """
    from flows import generations
    from flows.moving import copied

    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise Refused(f"{to}: is there already; name a directory that is not")
    there(directory)
    copied(directory, to, without_positions=without_positions)
    say(f"{to}: a copy of {directory}, {generations.size(to):,} bytes; run it with another --output")


@app.command()
def rollback(
    directory: Directory,
    to: Annotated[
        str, typer.Option("--to", metavar="NAME", help="The generation; else the newest that an upgrade or run kept.")
    ] = "",
) -> None:
    """Go back to an earlier generation.

    The present one is kept. Over Kafka the next run reads again what came since and writes no event twice, but alerts,
    with the uid and sequence that they had. Files of results are those of later: it needs another --output.

    \b
    Examples:
      lapwing state rollback state
      lapwing state rollback state --to 20261129T120000-upgrade
    """
    from flows import generations
    from flows.lineage import mark_moved
    from flows.state_dir import locked

    if not directory.is_dir():
        raise Refused(f"{directory}: there is no such state directory")
    with locked(str(directory)):
        try:
            back = generations.earlier(directory, to)
            mark_moved(back.path, copied=False)
            aside = generations.roll_back(directory, back)
        except OSError as error:
            raise OutputError(f"{directory}: cannot be changed ({error.strerror})") from None
    kept = f"; what was there is kept in {aside.path}" if aside else ""
    say(f"{directory}: is what it was at {back.name}{kept}")


def about(directory: Path) -> dict[str, Any]:
    """What `show` tells, as plain values."""
    from flows import generations, recovery_store
    from flows.state_identity import written_by

    known = there(directory)
    recovery = directory / "recovery"
    found: dict[str, Any] = {"path": str(directory), "running": False, "problem": "", "made_for": known}
    found |= {"written_by": written_by(directory), "durable_epoch": None, "positions": []}
    try:
        found["running"] = looked_at(directory)
        found["durable_epoch"] = recovery_store.resume_epoch(recovery) - 1
        found["positions"] = [
            {"source": one.source, "offset": one.offset, "index": one.index}
            for one in recovery_store.positions(recovery)
        ]
    except (Refused, OutputError) as error:
        found["problem"] = str(error)
    found["bytes"] = generations.size(directory)
    found["generations"] = [
        {"name": one.name, "why": one.why, "written_by": written_by(one.path), "bytes": generations.size(one.path)}
        for one in generations.generations(directory)
    ]
    return found


def looked_at(directory: Path) -> bool:
    """Whether a run holds it; if none does, look for damage."""
    from flows.state_dir import InUse, locked

    try:
        with locked(str(directory)) as state:
            state.check()
    except InUse:
        return True
    return False


def there(directory: Path) -> dict[str, str]:
    """What the state in a directory was made for. Refused where there is none."""
    from flows.state_identity import read_identity

    known = read_identity(directory) if directory.is_dir() else None
    if known is None:
        raise Refused(f"{directory}: holds no state")
    return known


def _place(offset: int) -> str:
    """An offset as people count: of a directory's files it holds the file's place too.

    >>> _place(29_999), _place((1 << 40) + 7)
    ('29,999', 'file 1, line 7')
    """
    from flows.connectors.file_reader import SEQUENCE_SHIFT

    file, line = divmod(offset, 1 << SEQUENCE_SHIFT) if offset >= 0 else (0, offset)
    return f"file {file}, line {line:,}" if file else f"{line:,}"


def _text(found: dict[str, Any]) -> str:
    by = f"Lapwing {found['written_by']}" if found["written_by"] else "a version of Lapwing that did not say so"
    lines = [
        f"state         {plain(found['path'])}{', in use' if found['running'] else ''}",
        f"written by    {plain(by)}",
        f"size          {found['bytes']:,} bytes",
    ]
    if found["durable_epoch"] is not None:
        lines.append(f"durable       epoch {found['durable_epoch']}")
    lines += ["", columns([("made for", ""), *found["made_for"].items()])]
    rows = [(one["source"], _place(one["offset"]), one["index"]) for one in found["positions"]]
    lines += ["", columns([("source", "reached", "index"), *rows])]
    kept = [(one["name"], one["written_by"] or "?", f"{one['bytes']:,}") for one in found["generations"]]
    return "\n".join(
        [*lines, "", columns([("kept", "written by", "bytes"), *kept]) if kept else "  kept of before: nothing"]
    )
