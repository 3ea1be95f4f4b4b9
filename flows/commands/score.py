"""`lapwing score`: a detector over any numeric table, to see what it is worth on one's own data."""

import sys
import threading
import time
from typing import Annotated

import typer

from flows.commands.console import result, say
from flows.commands.options import Json, Quiet
from flows.errors import UsageError

_REFRESH_S = 0.2
_PATIENCE_S = 3.0


def score(
    input: Annotated[str, typer.Option("--input", metavar="FILE", help=".csv, .csv.gz, .parquet, or .npz (array X).")],
    output: Annotated[str, typer.Option("--output", metavar="FILE", help="CSV with score and quantile; - is stdout.")],
    detector: Annotated[
        str,
        typer.Option(
            "--detector", metavar="TYPE[:key=value,...]", help="By name; default is one for a series, one for a table."
        ),
    ] = "default",
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="A,B", help="Default: all columns of numbers but --time.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option("--time", metavar="COLUMN", help="Times, or numbers since 1970 (s, ms or us).")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score each row of a table before it is learned, in file order.

    The output has a row for each row of the table: score (higher is stranger) and quantile (the share of the rows
    before that were less strange, its tail extrapolated). Both are empty until the detector is warm, and where a value
    is missing. For return_levels a score of 1.25, or a quantile of 0.9983, is an alert; with --time it knows day and
    week.

    \b
    Detectors:
      default                                return_levels for one column, else reservoir_ensemble
      ewma, half_space_trees, return_levels, reservoir_ensemble:key=value,...
      river:anomaly.LocalOutlierFactor,...   any anomaly detector of River
      sklearn:IsolationForest,...            fitted again and again to all rows before

    \b
    Examples:
      lapwing score --input cpu.csv --time timestamp --output scores.csv
      lapwing score --detector half_space_trees:trees=50 --input smtp.npz --output scores.csv
      lapwing score --input demo/windows.parquet --columns events_1m,failures_1m --time end --output scores.csv
      lapwing score --detector river:anomaly.LocalOutlierFactor,n_neighbors=20 --input t.csv --output scores.csv
      lapwing score --detector "river:preprocessing.MinMaxScaler|anomaly.HalfSpaceTrees" --input t.csv --output -
    """
    if json and output == "-":
        raise UsageError("--output - and --json both want stdout: write to a file, or leave --json out")
    from flows import score as work

    shown = time.monotonic()
    watched = sys.stderr.isatty() and not quiet

    def show(done: int, rows: int) -> None:
        nonlocal shown
        patience.cancel()
        if watched and time.monotonic() - shown > _REFRESH_S:
            shown = time.monotonic()
            print(f"\r{done:,} of {rows:,} rows", end="", file=sys.stderr, flush=True)

    patience = threading.Timer(_PATIENCE_S, say, ["compiling kernels, once for this installation ..."])
    wanted = [name.strip() for name in columns.split(",")] if columns else []
    try:
        if not quiet:
            patience.start()
        done = work.score(input, detector, output, columns=wanted, time_column=time_column, on_progress=show)
    finally:
        patience.cancel()
        if watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if not quiet:
        left = f" (not of numbers: {', '.join(done.left_out)})" if done.left_out else ""
        say(
            f"{done.rows:,} rows of {', '.join(done.columns)}{left} by {done.detector} in {done.seconds:.1f} s: "
            f"{done.scored:,} scored, the strangest rows {', '.join(map(str, done.strangest)) or '-'} (from 0): "
            f"{done.path}"
        )
    if json:
        result(done)
