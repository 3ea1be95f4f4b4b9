"""Over topics everything is as it is over files: the same incidents, windows and scored lines."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.flow_under_test import config_file, same, stream
from tests.kafka_runs import Site, file_results, records_of

LINES = stream(1)
RECORDS = records_of(LINES)
ADDED = b',"lapwing":{'


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The configuration of the promise's own tests."""
    return config_file(tmp_path_factory.mktemp("shape")).read_text()


@pytest.mark.parametrize(("rows", "sinks"), [(4096, 4), (37, 1)])
def test_a_run_over_topics_gives_what_a_run_over_files_gives(kafka: Any, tmp_path: Path, shape: str, rows, sinks):
    site = Site(kafka, tmp_path, len(LINES), sinks, config=f"[input]\nbatch_rows = {rows}\n{shape}")
    site.produce(RECORDS)
    done = site.run(close=True)
    assert done.events == len(RECORDS)
    assert (done.overtaken, done.overflowed, done.evictions) == (0, 0, 0)
    files, output = site.files(RECORDS), tmp_path / "out"
    site.run(source=files, output=output, close=True, state=tmp_path / "other")
    expected = file_results(output)
    assert len(expected.lives) > 20
    same(site.results(), expected)

    scored = site.read("scored")
    assert len(scored) + len(site.read("dead_letters")) == len(RECORDS)
    lines = by_partition(output)
    for partition, name in enumerate(LINES):
        # What is scored on arrival hangs on how partitions interleave, and nothing else does.
        got = [found.value for found in scored if found.partition == partition]
        assert [line.partition(ADDED)[0] for line in got] == [line.partition(ADDED)[0] for line in lines[name]]


def by_partition(output: Path) -> dict[str, list[bytes]]:
    """The scored lines of a file run by the names of the stream's partitions."""
    lines: dict[str, list[bytes]] = defaultdict(list)
    for line in (output / "scored.ndjson").read_bytes().splitlines():
        lines[json.loads(line)["id"].rpartition("-")[0]].append(line)
    return lines
