"""A report made of what was counted."""

from flows.insights.counted import DAY, Counted
from flows.insights.figures import charts, date
from flows.insights.findings import findings
from flows.insights.report import Report


def summary(counted: Counted, tenant: str | None) -> Report:
    """The charts of a range and what they suggest."""
    made = charts(counted)
    return Report(
        tenant=tenant,
        start=date(counted.start),
        end=date(counted.end),
        days=(counted.end - counted.start) // DAY,
        events=sum(one.total for one in counted.sums("hourly", "key").values()),
        findings=findings(counted, made),
        charts=made,
    )
