"""What two processes show of a run is what one shows of it."""

import os
import threading
from pathlib import Path

from tests.command import begun
from tests.flow_under_test import config_file, stream
from tests.scrape import Scraper

LINES = [line for _, line in stream(1)["dense"]]
OF_THE_MOMENT = {
    "lapwing_build_info", "lapwing_processes", "lapwing_turn_timestamp_seconds", "lapwing_durable_epochs",
    "lapwing_durable_epoch_timestamp_seconds", "lapwing_state_directory_bytes",
}  # fmt: skip
"""What differs from run to run."""

Values = dict[str, dict[tuple[str, ...], float]]


def shown(folder: Path, config: Path, processes: int) -> Values:
    """All that is shown once everything in the pipe has come out, which has not ended."""
    folder.mkdir()
    pipe, log = folder / "events", folder / "stderr"
    os.mkfifo(pipe)
    keep = os.open(pipe, os.O_RDWR)
    with log.open("wb") as stderr:
        process = begun(
            "detect", "--config", config, "--input", pipe, "--output", folder / "out", "--state", folder / "state",
            "--processes", str(processes), "--metrics", "0", stderr=stderr,
        )  # fmt: skip
    with process:
        try:
            seen = Scraper(log, process)
            seen.ready()
            giving = threading.Thread(target=os.write, args=(keep, b"\n".join([*LINES, b"{", b""])))
            giving.start()

            def read(s: Scraper) -> bool:
                return (s.value("events_total") or 0) + sum(s.values("dead_letters_total").values()) == len(LINES) + 1

            seen.until(read, "all is read")
            giving.join()
            before = seen.value("durable_epochs_total") or 0
            seen.until(lambda s: (s.value("durable_epochs_total") or 0) > before + 3, "all of it is told")
            assert seen.value("processes") == processes
            found = seen.families()
            process.terminate()
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                process.kill()
            os.close(keep)
    return {
        name: {tuple(value for _, value in sorted(one.labels.items())): one.value for one in family.samples}
        for name, family in found.items()
        if name.startswith("lapwing_") and name not in OF_THE_MOMENT
    }


def test_two_processes_show_what_one_shows(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    one, two = (shown(tmp_path / str(processes), config, processes) for processes in (1, 2))
    assert two == one
    assert sum(one["lapwing_alerts"].values()) > 5
    assert one["lapwing_dead_letters"]["malformed_json",] >= 1
    assert sum(one["lapwing_entities"].values()) > 20
    assert 0 < one["lapwing_warm_ratio"]["ip",] <= 1
