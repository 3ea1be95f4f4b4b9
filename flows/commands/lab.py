"""`lapwing lab`: the notebooks, in the browser."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import say


def lab(
    name: Annotated[
        str, typer.Argument(metavar="[tune|explore|investigate|compare]", help="Which notebook.")
    ] = "explore",
    directory: Annotated[
        str | None, typer.Option("--dir", metavar="DIR", help="Results of `lapwing detect`; else a simulated day.")
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="FILE", help="compare: CSV, Parquet or .npz, else closed minutes.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="tune: the configuration of the run; else the defaults."),
    ] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="FILE", help="tune: labels; else DIR/*.truth.ndjson.")
    ] = None,
    uid: Annotated[str | None, typer.Option("--uid", metavar="UID", help="investigate: the incident.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port on this machine; else a free one.")] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Open it to be changed, not only used.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Open a notebook on results.

    tune: what another threshold would have done; explore: who stood out, and when; investigate: one incident; compare:
    ours beside other detectors. Served to this machine alone until Ctrl-C. Without --dir there is a simulated day of
    12,000 events, which comes with them. Needs marimo and altair.

    \b
    Examples:
      lapwing lab
      lapwing lab tune --dir out --config config.toml
      lapwing lab investigate --dir out --uid 6123305a
      lapwing lab compare --table shuttle.npz --no-browser --port 2718
    """
    from flows import lab as made
    from flows.compare import read_truth
    from flows.config import load
    from flows.errors import InputError, LapwingError

    path = made.notebook(name)
    load(config)  # a fault in what was given is told here, in words, and not by the notebook
    if truth:
        read_truth(truth)
    if directory is not None and not Path(directory).is_dir():
        raise InputError(f"{directory}: no such folder; `lapwing detect --output {directory}` makes it")
    uncompiled = made.uncompiled(name)
    interpreted = uncompiled and directory is None
    if uncompiled and not interpreted:
        say("what reads events is compiled while the page is open, once for this installation (half a minute) ...")
    if directory is None and not made.day().is_dir():
        _make_day(made.day())
    directory = directory or str(made.day())
    files = {"table": table, "config": config, "truth": truth}
    more = {key: value for key, value in files.items() if value} | ({"uid": uid} if uid else {})
    line = made.command(path, directory, more, port, edit=edit, browser=browser)
    compiler = made.compiling() if interpreted else None
    try:
        done = subprocess.run(line, env=made.environment(interpreted=interpreted), check=False).returncode
    finally:
        if compiler:
            compiler.terminate()
            compiler.wait()
    if done > 0:
        raise LapwingError(f"the notebook's server ended with {done}")


def _make_day(folder: Path) -> None:
    """The day's results, as they come with the notebooks, or from a run where those are of another version."""
    from flows import durable, kernels_cache
    from flows import lab as made

    if made.bundled().is_file():
        durable.place(folder, made.unpack)
        return
    say("making a simulated day to look at, once ...")
    settle = kernels_cache.announce(say)
    durable.place(folder, made.simulate_day)
    settle()
