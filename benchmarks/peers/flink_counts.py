# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["apache-flink>=2"]
# ///
"""Counts by address and minute in Flink SQL: a tumbling window over a file; needs Java 11 or 17 beside the package."""

import sys

from job import FAILED, LATENESS_S, Counts, main

_EVENTS = """
CREATE TABLE events (`time` TIMESTAMP_LTZ(3), ip STRING, action STRING, outcome STRING,
  WATERMARK FOR `time` AS `time` - INTERVAL '{lateness}' SECOND)
WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')
"""
_COUNTS = """
SELECT COUNT(*), SUM(n), SUM(failed) FROM (
  SELECT window_start, ip, COUNT(*) AS n,
    SUM(CASE WHEN action = 'login' AND outcome IN ({failed}) THEN 1 ELSE 0 END) AS failed
  FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(`time`), INTERVAL '1' MINUTE))
  WHERE ip IS NOT NULL GROUP BY window_start, window_end, ip)
"""


def job(path: str) -> Counts:
    """A file's counts, in streaming mode on one core."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    table = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    table.get_config().set("parallelism.default", "1")
    table.get_config().set("table.local-time-zone", "UTC")
    table.execute_sql(_EVENTS.format(lateness=LATENESS_S, path=path))
    counts = (0, 0, 0)
    with table.execute_sql(_COUNTS.format(failed=", ".join(f"'{name}'" for name in FAILED))).collect() as rows:
        for row in rows:  # a stream of ever newer totals
            counts = int(row[0]), int(row[1]), int(row[2])
    return counts


if __name__ == "__main__":
    sys.exit(main("flink", "pyflink", job, sys.argv[1:]))
