"""Signs of life of a flow, for who looks from outside."""

import time


class Pulse:
    """What the source partitions of a process leave behind as Bytewax polls them; may be read from another thread.

    `built` have been begun, `over` of them have ended. `turned` is when one was polled last (monotonic seconds), 0
    before the first time. `epochs` have ended durably since the start, the last one at `durable` (epoch seconds, 0 for
    none). `ending`: the partition that was asked for something last has ended an epoch.
    """

    __slots__ = ("built", "durable", "ending", "epochs", "over", "turned")

    def __init__(self) -> None:
        self.turned = self.durable = 0.0
        self.ending = False
        self.built = self.over = self.epochs = 0

    def ended(self, epochs: int) -> None:
        """So many epochs of a partition are durable."""
        if epochs > self.epochs:
            self.epochs, self.durable = epochs, time.time()
