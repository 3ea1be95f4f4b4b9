"""Incidents of the past: what a stream's history teaches is no alarm today."""

from models.alert import CLOSE, CREATE, Alert


class History:
    """Keeps silent what ended by `until` (microseconds UTC, below 0 for nothing); what goes on after it is told then.

    Memory is the creates of incidents that were open at one time by `until`.

    Parameters
    ----------
    until : the end of the past.
    open : creates that wait for their end, by uid; changed in place.
    """

    def __init__(self, until: int, open: dict[str, Alert]) -> None:
        self.until = until
        self.open = open

    def __contains__(self, alert: Alert) -> bool:
        """Whether a create is one of the past."""
        return alert.time <= self.until

    def sift(self, alert: Alert) -> tuple[list[Alert], list[Alert]]:
        """Of an incident's next message: what is to be acted on, and what is known now to have been silent.

        A create of the past waits. With the first message after the past it is acted on, in front of that; with a
        close in the past both are silent, and so were the updates between them.
        """
        if self.until < 0:
            return [alert], []
        past = alert in self
        if alert.activity == CREATE and past:
            self.open[alert.uid] = alert
            return [], []
        create = self.open.get(alert.uid)
        if create is None:
            return [alert], []
        if past and alert.activity != CLOSE:
            return [], []
        del self.open[alert.uid]
        return ([], [create, alert]) if past else ([create, alert], [])
