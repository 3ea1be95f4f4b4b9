"""What detectors said of a table, kept beside it: so that a page can show it before their kernels are compiled."""

from collections.abc import Sequence
from hashlib import blake2b
from math import nan
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows import numeric_table
from flows.score import Scores, scores_of

NAME: Final = "scores.parquet"
_TABLE: Final = b"table"
_COLUMNS: Final = b"columns"


def keep(path: Path, detectors: Sequence[str], columns: Sequence[str]) -> None:
    """Score a table's columns with some detectors, and write what they say beside it."""
    parts = []
    for detector in detectors:
        found = scores_of(str(path), detector, columns=columns)
        parts.append(
            pa.table({"detector": [detector] * len(found.scores), "score": found.scores, "quantile": found.quantiles})
        )
    about = {_TABLE: _digest(path), _COLUMNS: ",".join(columns).encode()}
    pq.write_table(pa.concat_tables(parts).replace_schema_metadata(about), path.with_name(NAME))


def kept_or_scored(path: str, detector: str, columns: Sequence[str]) -> Scores:
    """As `flows.score.scores_of`; kept scores of this very table and these columns are taken, and have no `seconds`.

    Raises
    ------
    UsageError, InputError
        As `scores_of`.
    """
    beside = Path(path).with_name(NAME)
    if Path(path).is_file() and beside.is_file():
        rows = pq.read_table(beside)
        about = rows.schema.metadata or {}
        if about.get(_TABLE) == _digest(Path(path)) and about.get(_COLUMNS) == ",".join(columns).encode():
            mine = rows.filter(pc.equal(rows["detector"], detector))
            if mine.num_rows:
                table = numeric_table.read(path, columns, None)
                return Scores(table, mine["score"].to_numpy(), mine["quantile"].to_numpy(), nan)
    return scores_of(path, detector, columns=columns)


def _digest(path: Path) -> bytes:
    return blake2b(path.read_bytes(), digest_size=16).hexdigest().encode()
