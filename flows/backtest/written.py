"""A report as files: for programs and for people."""

from pathlib import Path

import msgspec

from flows.backtest.report import Report
from flows.durable import cannot_write
from flows.output_file import replacing

JSON, PAGE = "report.json", "report.html"


def write(directory: Path, report: Report, page: str) -> list[str]:
    """Write both files, each at once; their paths.

    Raises
    ------
    OutputError
        One cannot be written.
    """
    contents = {
        JSON: msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n",
        PAGE: page.encode("utf-8", "replace"),
    }
    for name, content in contents.items():
        try:
            with replacing(str(directory / name)) as file:
                file.write(content)
        except OSError as error:
            raise cannot_write(directory / name, error) from error
    return [str(directory / name) for name in contents]
