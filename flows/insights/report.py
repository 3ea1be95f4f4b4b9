"""What a report of insights says, before it is a page or JSON: findings in words, charts as the tables behind them."""

import msgspec

Cell = str | int | float | None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing worth knowing. `numbers` are those in the sentence; `grave` ones come first."""

    id: str
    text: str
    numbers: dict[str, float]
    grave: bool = False


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A picture and its table; `kind` says how it is drawn, `unit` what its numbers count."""

    id: str
    section: str
    title: str
    unit: str
    kind: str
    heads: list[str]
    rows: list[list[Cell]]
    note: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole: whole days UTC, `end` exclusive. `tenant` is None for all together."""

    tenant: str | None
    start: str
    end: str
    days: int
    events: int
    findings: list[Finding]
    charts: list[Chart]
