"""How much of a message is believed."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Limits:
    """Bounds of one input.

    Parameters
    ----------
    max_message_bytes
        A larger message is a dead letter, `too_large`.
    max_depth
        Containers in each other, the event itself being the first; a deeper message is a dead letter, `too_deep`.
    max_future_us
        An event this much (microseconds) after its record's own time is a dead letter, `future_time`.
    timezone
        IANA name of the zone of times without offset; without it they are dead letters, `bad_time`.
    ipv6_prefix
        Bits of an IPv6 address that make the entity.

    Raises
    ------
    ValueError
        If a bound lies outside what the decoder can hold.

    Examples
    --------
    >>> Limits().max_depth
    32
    """

    max_message_bytes: int = 1 << 20
    max_depth: int = 32
    max_future_us: int = 60_000_000
    timezone: str | None = None
    ipv6_prefix: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.max_message_bytes <= 1 << 30:
            raise ValueError("max_message_bytes must lie between 1 and 1073741824")
        if not 1 <= self.max_depth <= 200:
            raise ValueError("max_depth must lie between 1 and 200")
        if not 0 <= self.max_future_us <= 1 << 60:
            raise ValueError("max_future_us must not be negative")
        if not 1 <= self.ipv6_prefix <= 128:
            raise ValueError("ipv6_prefix must lie between 1 and 128")
