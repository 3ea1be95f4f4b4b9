"""A few events of all kinds, over some minutes: what compiled code is tried on before the first real event comes."""

import json

from flows.formats.raw import RawBatch, raw_batch

_BEGIN = 1_763_874_000
_ACTIONS = ("login", "password_reset_request", "account_delete", "login")


def rehearsal_events() -> RawBatch:
    """Three minutes: an account that is guessed at and then entered, deletions, resets, calls.

    >>> len(rehearsal_events())
    90
    """
    lines = [
        json.dumps({
            "time": _BEGIN + 2 * i, "action": _ACTIONS[i % 4], "outcome": "success" if i % 30 > 24 else "failure",
            "user": f"u{i % 2}", "ip": f"192.0.2.{i % 3}", "endpoint": "/login", "method": "POST", "status": 401,
            "object": f"o{i}", "user_agent": "rehearsal",
        }).encode()
        for i in range(90)
    ]  # fmt: skip
    return raw_batch("rehearsal", lines)
