"""The job in Flink SQL, streaming, parallelism 1: a tumbling window, and the mean as a sum over the rows before.

SQL has no exponential mean. Divided by (1 - alpha)^(k - 1) the mean of k minutes is a running sum, in which minute i
has the weight alpha (1 - alpha)^(1 - i), the first 1. The weights overflow after 70,000 minutes of one entity; that
would need a function in Java. Flink needs Java beside the package (17 was used), and its threads use a second core.
"""

import shutil
import sys
from pathlib import Path

from benchmarks.peers.job import ALPHA, DIMENSIONS, LATENESS_S, LEAST_VARIANCE
from benchmarks.peers.measured import main

_EVENTS = f"""
CREATE TEMPORARY TABLE events (`time` TIMESTAMP_LTZ(3), tenant STRING, ip STRING, endpoint STRING, `user` STRING,
  WATERMARK FOR `time` AS `time` - INTERVAL '{LATENESS_S}' SECOND)
WITH ('connector' = 'filesystem', 'path' = '{{path}}', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')
"""
_ROWS = """
CREATE TEMPORARY TABLE told (dimension STRING, tenant STRING, entity STRING, `minute` STRING, n BIGINT, z DOUBLE)
WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json')
"""
_KEYED = " UNION ALL ".join(
    f"SELECT `time`, '{name}' AS dimension, tenant, `{name}` AS entity FROM events WHERE `{name}` IS NOT NULL"
    for name in DIMENSIONS
)
_OVER = """
OVER (PARTITION BY dimension, tenant, entity ORDER BY window_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
"""
_JOB = f"""
INSERT INTO told
WITH counts AS (
  SELECT dimension, tenant, entity, window_start, window_time, COUNT(*) AS n
  FROM TABLE(TUMBLE(DATA => TABLE keyed, TIMECOL => DESCRIPTOR(`time`), SIZE => INTERVAL '1' MINUTE))
  GROUP BY dimension, tenant, entity, window_start, window_end, window_time),
numbered AS (SELECT *, COUNT(*) {_OVER} AS k FROM counts),
weighted AS (SELECT *, CASE WHEN k = 1 THEN 1E0 ELSE {ALPHA}E0 * POWER({1 - ALPHA}E0, 1 - k) END AS w FROM numbered),
summed AS (SELECT *, SUM(w * n) {_OVER} - w * n AS s, SUM(w * n * n) {_OVER} - w * n * n AS s2 FROM weighted),
known AS (SELECT *, s * POWER({1 - ALPHA}E0, k - 2) AS mean, s2 * POWER({1 - ALPHA}E0, k - 2) AS square FROM summed)
SELECT dimension, tenant, entity, DATE_FORMAT(window_start, 'yyyy-MM-dd''T''HH:mm'), n,
  CASE WHEN k = 1 THEN 0E0 ELSE (n - mean) / SQRT(GREATEST(square - mean * mean, {LEAST_VARIANCE}E0)) END
FROM known
"""


def job(events: str, output: str) -> None:
    """Rows go to a folder, as Flink writes them, and from there into one file."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    folder = Path(output + ".parts")
    shutil.rmtree(folder, ignore_errors=True)
    table = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = table.get_config()
    settings.set("parallelism.default", "1")
    settings.set("table.local-time-zone", "UTC")
    settings.set("execution.checkpointing.interval", "10 s")  # a file is finished by a checkpoint, the last one too
    table.execute_sql(_EVENTS.format(path=events))
    table.execute_sql(_ROWS.format(path=folder))
    table.execute_sql(f"CREATE TEMPORARY VIEW keyed AS {_KEYED}")
    table.execute_sql(_JOB).wait()
    with open(output, "wb") as file:
        for part in sorted(folder.rglob("part-*")):
            file.write(part.read_bytes())


if __name__ == "__main__":
    sys.exit(main(job, packages=("pyflink",), programs=("java",)))
