"""A numeric table from a file: CSV, Parquet, or the array `X` of an .npz."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from flows.errors import InputError, UsageError

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".npz")
_US: Final = pa.timestamp("us")
_UNITS: Final = ((1e11, 1_000_000.0), (1e14, 1_000.0), (float("inf"), 1.0))
"""Numbers below these are epoch seconds, milliseconds, microseconds: the three mean years 1973 to 5138."""


@dataclass(slots=True, frozen=True)
class Table:
    """Rows of shape (n, len(names)), NaN where there is no value. `times` are microseconds UTC of shape (n,), or None.

    `left_out` are columns that are not numbers, and were not asked for.
    """

    names: tuple[str, ...]
    rows: NDArray[np.float64]
    times: NDArray[np.int64] | None
    left_out: tuple[str, ...]


def read(path: str, columns: Sequence[str] = (), time: str | None = None) -> Table:
    """The columns of a table that are asked for, else all that are numbers, but for `time`.

    The columns of an .npz are called 0, 1, 2 and so on. Of a CSV the first line names the columns. `time` may be times
    (without a zone they are UTC) or numbers since 1970 in seconds, milliseconds or microseconds.

    Raises
    ------
    UsageError
        A column that there is not, or that is not of numbers or of times; or a kind of file that is not read.
    InputError
        The file cannot be read, or has no rows.
    """
    if not path.endswith(SUFFIXES):
        raise UsageError(f"{path}: is none of {', '.join(SUFFIXES)}")
    try:
        open(path, "rb").close()
        table = _npz(path) if path.endswith(".npz") else _arrow(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror.lower() if error.strerror else error}") from None
    except (pa.ArrowException, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not table.num_rows:
        raise InputError(f"{path}: has no rows")
    asked = [*columns] + ([time] if time is not None else [])
    if absent := [name for name in asked if table.column_names.count(name) != 1]:
        raise UsageError(
            f"{path}: has no column, or more than one, of the name {', '.join(absent)}; "
            f"its columns are {', '.join(table.column_names)}"
        )
    numbers = [field.name for field in table.schema if _is_number(field.type)]
    chosen = [*columns] or [name for name in numbers if name != time]
    if odd := [name for name in columns if name not in numbers]:
        raise UsageError(f"{path}: {', '.join(odd)}: not a column of numbers")
    if not chosen:
        raise UsageError(f"{path}: has no column of numbers; its columns are {', '.join(table.column_names)}")
    rows = np.empty((table.num_rows, len(chosen)))
    for at, name in enumerate(chosen):
        rows[:, at] = _floats(table.column(name))
    left_out = () if columns else tuple(n for n in table.column_names if n not in chosen and n != time)
    return Table(tuple(chosen), rows, None if time is None else _times(path, table, time), left_out)


def _arrow(path: str) -> Any:
    if path.endswith(".parquet"):
        return pa.parquet.read_table(path)
    return pa.csv.read_csv(path)


def _npz(path: str) -> Any:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: is no .npz archive")
    with np.load(path, allow_pickle=False) as found:
        if "X" not in found:
            raise UsageError(f"{path}: has no array X; it has {', '.join(found) or 'none'}")
        array = found["X"]
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UsageError(f"{path}: X is {array.dtype} of shape {array.shape}; rows and columns of numbers are wanted")
    return pa.table({str(at): np.ascontiguousarray(column, np.float64) for at, column in enumerate(array.T)})


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _floats(column: Any) -> NDArray[np.float64]:
    found: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _times(path: str, table: Any, name: str) -> NDArray[np.int64]:
    column = table.column(name)
    if column.null_count:
        at = column.is_null().index(True).as_py()
        raise UsageError(f"{path}: {name}: row {at + 1} has no time")
    if _is_number(column.type):
        numbers = _floats(column)
        size = np.abs(numbers)
        if not np.isfinite(size).all():
            raise UsageError(f"{path}: {name}: row {int(np.flatnonzero(~np.isfinite(size))[0]) + 1} has no time")
        unit = next(unit for limit, unit in _UNITS if size.max() < limit)
        if size.max() * unit >= 2**62:
            raise UsageError(f"{path}: {name}: {numbers[size.argmax()]} is no time since 1970")
        return (numbers * unit).astype(np.int64)
    try:
        found: NDArray[np.int64] = column.cast(_US, safe=False).cast(pa.int64()).to_numpy()
    except pa.ArrowException as error:
        raise UsageError(f"{path}: {name}: not a column of times: {' '.join(str(error).split())}") from None
    return found
