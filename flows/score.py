"""The work of `lapwing score`: a detector over any numeric table, each row scored before it is learned."""

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from flows import durable, numeric_table
from flows.errors import OutputError, UsageError
from flows.output_file import is_plain, opened, replacing
from flows.references import Reference, reference
from models.detectors.tables import PARAMS, TableDetector, default_params, detector_of
from models.thresholds.any_scale import AnyScale

LIBRARIES: Final = ("river", "sklearn")
_CHUNK: Final = 8192
_STRANGEST: Final = 5


@dataclass(slots=True, frozen=True)
class Scored:
    """What was done. `strangest` are the numbers of the rows with the highest scores, the first row being 1."""

    path: str
    detector: str
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    rows: int
    scored: int
    strangest: tuple[int, ...]
    seconds: float


class Scores(NamedTuple):
    """A table and what a detector says of its rows, NaN where not known; `seconds` of the detector alone."""

    table: numeric_table.Table
    scores: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    seconds: float


def score(
    path: str,
    detector: str,
    output: str,
    *,
    columns: Sequence[str] = (),
    time_column: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, rows: None,
) -> Scored:
    """Score a table into a CSV with a row for each of its rows: `score` and `quantile`, both empty where not known.

    With a time column that comes first. The file appears when it is complete. `on_progress` hears rows done, and all.

    Raises
    ------
    UsageError
        A detector, parameter or column that there is not.
    InputError
        The table cannot be read.
    OutputError
        The output cannot be written.
    """
    table, scores, quantiles, seconds = scores_of(
        path, detector, columns=columns, time_column=time_column, on_progress=on_progress
    )
    n = len(table.rows)
    _write(output, scores, quantiles, time_column, table.times)
    known = np.flatnonzero(~np.isnan(scores))
    strangest = known[np.argsort(-scores[known], kind="stable")[:_STRANGEST]] + 1
    return Scored(
        output, detector, table.names, table.left_out, n, len(known), tuple(strangest.tolist()), round(seconds, 3)
    )


def scores_of(
    path: str,
    detector: str,
    *,
    columns: Sequence[str] = (),
    time_column: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, rows: None,
) -> Scores:
    """As `score`, with the scores in memory.

    Raises
    ------
    UsageError, InputError
        As `score`.
    """
    name, options = parse(detector)
    table = numeric_table.read(path, columns, time_column)
    n = len(table.rows)
    # Kernels are compiled or loaded before the clock runs.
    make = _maker(name, options, table.names)
    make().score_learn(np.zeros((1, len(table.names))), np.zeros(1, np.int64))
    judge = make()
    began = time.monotonic()
    scores, quantiles = np.empty(n), np.empty(n)
    for at in range(0, n, _CHUNK):
        piece = slice(at, at + _CHUNK)
        times = table.times[piece] if table.times is not None else None
        scores[piece], quantiles[piece] = judge.score_learn(table.rows[piece], times)
        on_progress(min(at + _CHUNK, n), n)
    seconds = time.monotonic() - began
    return Scores(table, scores, quantiles, seconds)


def parse(text: str) -> tuple[str, dict[str, str]]:
    """A detector's name and its options, from `TYPE[:key=value,...]` or `LIBRARY:NAME[,key=value,...]`.

    Raises
    ------
    UsageError
        An option without a value, or given twice.

    >>> parse("ewma:alpha=0.05,warm_up=20")
    ('ewma', {'alpha': '0.05', 'warm_up': '20'})
    >>> parse("river:anomaly.LocalOutlierFactor,n_neighbors=20")
    ('river:anomaly.LocalOutlierFactor', {'n_neighbors': '20'})
    """
    name, _, rest = text.partition(":")
    if name in LIBRARIES:
        last, _, rest = rest.partition(",")
        name = f"{name}:{last}"
    options: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if not equals or not key or key in options:
            raise UsageError(f"--detector {name}: {part!r}: expected key=value, each key once")
        options[key.strip()] = value.strip()
    return name, options


def _maker(name: str, options: dict[str, str], columns: tuple[str, ...]) -> Callable[[], TableDetector]:
    library, _, wanted = name.partition(":")
    if library in LIBRARIES:
        make = reference(library, wanted, options, columns)
        return lambda: _Calibrated(make())
    if name == "default":
        if options:
            raise UsageError("--detector default: takes no parameters: name the detector that should have them")
        return partial(detector_of, default_params(len(columns)), len(columns))
    if name not in PARAMS:
        known = ", ".join(["default", *PARAMS, "river:NAME", "sklearn:NAME"])
        raise UsageError(f"--detector {name}: there is no such detector; there are {known}")
    kind = PARAMS[name]
    known = ", ".join(kind.__struct_fields__)
    if unknown := [key for key in options if key not in kind.__struct_fields__]:
        raise UsageError(f"--detector {name}: does not know {', '.join(unknown)}; it knows {known}")
    try:
        params = msgspec.convert(options, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"--detector {name}: {error}") from None
    return partial(detector_of, params, len(columns))


class _Calibrated:
    """A detector of another library, with quantiles as ours have them."""

    def __init__(self, judge: Reference) -> None:
        self._judge, self._quantiles = judge, AnyScale()

    def score_learn(
        self, rows: NDArray[np.float64], times: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As `TableDetector`."""
        scores = self._judge.score_learn(rows)
        return scores, self._quantiles(scores)


def _write(
    output: str,
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    name: str | None,
    times: NDArray[np.int64] | None,
) -> None:
    columns = [pa.array(scores, from_pandas=True), pa.array(quantiles, from_pandas=True)]
    names = ["score", "quantile"]
    if name is not None and times is not None:
        columns.insert(0, pa.array(times).cast(pa.timestamp("us")).cast(pa.string()))
        names.insert(0, name)
    head, body = io.StringIO(), io.BytesIO()
    csv.writer(head, lineterminator="\n").writerow(names)
    body.write(head.getvalue().encode())
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    pa.csv.write_csv(pa.table(columns, names=[str(at) for at in range(len(names))]), body, options)
    try:
        with replacing(output) if output != "-" and is_plain(output) else opened(output) as file:
            file.write(body.getbuffer())
    except BrokenPipeError as error:
        if output == "-":
            raise
        raise OutputError(f"{output}: the reader went away") from error
    except OSError as error:
        raise durable.cannot_write(Path(output), error) from None
