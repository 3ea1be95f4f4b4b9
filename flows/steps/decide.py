"""`decide`: findings of all shards, let go in one order."""

import msgspec
from bytewax.operators import StatefulBatchLogic

from flows.steps.gather import Gathered
from models.alert import Alert
from models.kernels.layout import NEVER
from models.windows.slice import Finding

VERSION = 1
_ENDED = 2**62
"""What shards have passed at the end of time."""


class _State(msgspec.Struct):
    version: int
    passed: int
    held: list[tuple[int, Alert]]


class Decide(StatefulBatchLogic[Gathered, list[Alert], bytes]):
    """Holds each finding until every shard has passed the pane in which it was decided.

    What is let go together goes in the order (pane, detection, tenant, entity, seq), so that the order hangs on event
    time and not on workers. Each item is answered, if only with an empty list, so that the sink is touched in every
    epoch. `flush` at the end of the input lets go of what is held: nobody will come back for it.
    """

    def __init__(self, flush: bool, resume: bytes | None) -> None:
        state = msgspec.msgpack.decode(resume, type=_State) if resume else _State(VERSION, NEVER, [])
        if state.version != VERSION:
            raise ValueError(f"held findings of version {state.version} cannot be read")
        self._flush = flush
        self._passed = state.passed if state.passed < _ENDED else NEVER  # a closed stream begins anew
        self._held = [Finding(pane, alert) for pane, alert in state.held]

    def on_batch(self, values: list[Gathered]) -> tuple[list[list[Alert]], bool]:
        """Take findings, let go of those that every shard has passed."""
        for gathered in values:
            self._held += gathered.findings
            self._passed = max(self._passed, gathered.passed)
        return [self._let_go(self._passed)], StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[list[Alert]], bool]:
        """Let go of everything, where nobody will come back for it."""
        return ([self._let_go(_ENDED + 1)] if self._flush and self._held else []), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """What is held, as plain bytes."""
        return msgspec.msgpack.encode(_State(VERSION, self._passed, [(f.pane, f.alert) for f in self._held]))

    def _let_go(self, passed: int) -> list[Alert]:
        ready = [finding for finding in self._held if finding.pane < passed]
        self._held = [finding for finding in self._held if finding.pane >= passed]
        ready.sort(key=lambda f: (f.pane, f.alert.detection, f.alert.tenant, f.alert.entity, f.alert.seq))
        return [finding.alert for finding in ready]
