"""Far more events in a minute than this entity has."""

from typing import Annotated, Literal

import msgspec

from models.rules.base import About, Attack, Count, Mode, Severity

ABOUT = About(
    title="Traffic spike",
    measure="events a minute",
    attacks=(
        Attack("TA0040", "Impact", "T1498", "Network Denial of Service"),
        Attack("TA0040", "Impact", "T1499", "Endpoint Denial of Service", "T1499.002", "Service Exhaustion Flood"),
    ),
    remediation=(
        "1. Rate-limit at the edge. 2. List the noisiest addresses, API keys and endpoints, and block those at fault. "
        "3. If a release or a campaign of your own explains it, add an exception with an expiry."
    ),
    analytic_type=3,
    confidence=80,
    unless="nor up to `times` times the learned mean",
    campaign="traffic",
)


class TrafficSpike(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="traffic_spike"):
    """At least `at_least` events a minute, `times` times the mean and `z` deviations above it, `panes` panes long."""

    id: str = ""
    dimension: Literal["tenant", "endpoint", "ip"] = "tenant"
    at_least: Count = 200
    times: Annotated[float, msgspec.Meta(gt=1)] = 4.0
    z: Annotated[float, msgspec.Meta(gt=0)] = 6.0
    panes: Annotated[int, msgspec.Meta(ge=1, le=12)] = 3
    severity: Severity = "high"
    mode: Mode = "live"
    quiet: str = "10m"
