"""What Lapwing proposes to do about an incident: candidates for a block, each with an end. It never blocks."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

import msgspec

from flows.formats.evidence import clean
from flows.formats.explain import title
from models.alert import CANARY, CLOSE, HISTORY, SHADOW, Alert
from models.base import RISK_FLOOR
from models.exceptions import Network, network
from models.rules.base import LEARNING, About

INNER: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "224.0.0.0/4", "240.0.0.0/4", "::/127", "fc00::/7", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
"""Networks of nobody on the Internet: private, shared (RFC 6598), loopback, link-local, multicast, reserved."""


class Action(msgspec.Struct, frozen=True):
    """One candidate. `time` is epoch ms of the events, `ttl` seconds from then, `entity` as in the incident `uid`."""

    time: int
    action: str
    entity: str
    dimension: str
    tenant: str
    ttl: int
    uid: str
    risk: int
    reason: str


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """How long a candidate holds, and what never is one: `inner` networks unless allowed, and `never` networks."""

    ttl_s: int
    inner: bool = False
    never: tuple[Network, ...] = ()


def action(alert: Alert, about: About, limits: ActionLimits) -> bytes | None:
    """The candidate that an incident's message gives, as one JSON object without LF; None for none.

    An address is a candidate to `block` while its incident goes on, if at most as many users succeeded there as
    failed, and it is known how many: an office has more users who get in. The acting user of an incident is one to
    `suspend`. Never a victim, an endpoint or a tenant, nor what an exception suppresses, is in shadow, or was over
    before the run was live; what only a digest tells of is a candidate all the same; what was only learned never. A
    close gives none: the last candidate runs out by itself.
    """
    if about.analytic_type == LEARNING or alert.activity == CLOSE or alert.digest:
        return None
    if alert.suppressed_by in (SHADOW, HISTORY, CANARY) or alert.suppressed_by.startswith("exception "):
        return None
    if alert.dimension == "ip":
        name = "block"
        if alert.failed_users is None or alert.succeeded_users is None or alert.succeeded_users > alert.failed_users:
            return None
        if not _may_be_blocked(alert.entity, limits):
            return None
    elif alert.dimension == "user" and about.on_actor:
        name = "suspend"
    else:
        return None
    return msgspec.json.encode(
        Action(
            time=alert.time // 1000,
            action=name,
            entity=clean(alert.entity),
            dimension=alert.dimension,
            tenant=clean(alert.tenant),
            ttl=limits.ttl_s,
            uid=alert.uid,
            risk=RISK_FLOOR[alert.severity],
            reason=title(alert, about),
        )
    )


def _may_be_blocked(entity: str, limits: ActionLimits) -> bool:
    try:
        found = network(entity)
    except ValueError:
        return False
    return not (_touches(found, limits.never) or (not limits.inner and _touches(found, INNER)))


def _touches(found: Network, networks: Iterable[Network]) -> bool:
    return any(found.version == other.version and found.overlaps(other) for other in networks)
