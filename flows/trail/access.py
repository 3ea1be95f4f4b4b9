"""Who read the trail: each question asked with keys is a record of the trail itself, before it is answered."""

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flows.errors import UsageError
from flows.formats.evidence import clean
from flows.trail import housekeeping
from flows.trail.keys import KeyStore
from flows.trail.schema import stamp

ACCESS: Final = "access"
MOST_BY: Final = 256


@dataclass(slots=True)
class Access:
    """A command that reads the trail, and who runs it.

    What it asks for is noted once each: a subject by the ids that rows carry, an address, session or request by its
    token, never by name or value. If it cannot be noted, nothing is shown.
    """

    command: str
    by: str
    _noted: set[tuple[Any, ...]] = field(default_factory=set)

    def note(
        self,
        place: str,
        keys: KeyStore,
        kind: str,
        tenants: Sequence[str],
        asked: Mapping[str, str],
        start: int | None,
        end: int | None,
    ) -> None:
        """Write down one question, about the tenants in which something was sought; none for everything there is.

        Raises
        ------
        OutputError
            It cannot be written; what was asked for must not be shown.
        """
        question = (kind, *tenants, *asked.items(), start, end)
        if question in self._noted:
            return
        record: dict[str, Any] = {
            "time": stamp(housekeeping.now()),
            "by": self.by,
            "command": self.command,
            "table": kind,
        }
        record |= {"tenants": list(tenants)} if tenants else {}
        ids: list[bytes] = []
        tokens: list[bytes] = []
        for name, value in asked.items():
            if name == "user":
                ids = [subject.id for tenant in tenants for subject in keys.find(tenant, value)]
                record["subjects"] = [id_.hex() for id_ in ids]
            else:
                tokens = [keys.token(tenant, name, value) for tenant in tenants]
                record[name] = [token.hex() for token in tokens]
        record |= {"from": stamp(start)} if start is not None else {}
        record |= {"to": stamp(end)} if end is not None else {}
        tenant = tenants[0] if len(tenants) == 1 else housekeeping.EVERYBODY
        address = tokens[0] if "ip" in asked and tokens else None
        entry = housekeeping.Entry(tenant, self.command, record, ids[0] if ids else None, address)
        housekeeping.append(place, ACCESS, keys, [entry])
        self._noted.add(question)


def reader(by: str | None) -> str:
    """Who reads: the name given, else who runs this.

    Raises
    ------
    UsageError
        It is empty or too long, or the system has no name for who runs this.
    """
    if by is None:
        try:
            by = getpass.getuser()
        except (OSError, KeyError):
            raise UsageError("this system has no name for you: give --by NAME") from None
    if not by.strip():
        raise UsageError("--by is empty: who reads the trail is kept in it")
    if len(by) > MOST_BY:
        raise UsageError(f"--by has {len(by):,} characters, at most {MOST_BY:,}")
    return clean(by, MOST_BY)
