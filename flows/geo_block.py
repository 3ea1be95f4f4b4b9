"""`[input] geo`: databases in MaxMind's format, opened once."""

from collections.abc import Iterable, Sequence
from typing import Any

from maxminddb import InvalidDatabaseError, open_database
from maxminddb.reader import Reader

from flows.formats.geography import Geography, Lookup
from flows.structure import shown
from models.rules import Rule
from models.rules.needs import GEOGRAPHY, named


def paths(given: str | Sequence[str]) -> tuple[str, ...]:
    """The paths of the databases; an empty one is none.

    >>> paths("city.mmdb"), paths(["city.mmdb", "asn.mmdb"]), paths("")
    (('city.mmdb',), ('city.mmdb', 'asn.mmdb'), ())
    """
    return tuple(path for path in ((given,) if isinstance(given, str) else given) if path)


def geography(given: str | Sequence[str]) -> Geography | None:
    """What looks addresses up, None where no database is given. The files are mapped into memory, not read.

    Raises
    ------
    ValueError
        If one cannot be read, or is no such database.
    """
    readers = []
    for path in paths(given):
        try:
            reader = open_database(path)
            reader.get("192.0.2.1")
        except FileNotFoundError:
            raise ValueError(f"No such file: {shown(path)}") from None
        except OSError as error:
            raise ValueError(f"Cannot read {shown(path)} ({error.strerror or error})") from None
        except (InvalidDatabaseError, ValueError):
            raise ValueError(f"Expected a database in MaxMind's format, got {shown(path)}") from None
        readers.append(reader)
    return Geography([_lookup(reader) for reader in readers]) if readers else None


def _lookup(reader: Reader) -> Lookup:
    old = reader.metadata().ip_version == 4

    def look_up(address: str) -> Any:
        if old and ":" in address:
            return None
        try:
            return reader.get(address)
        except (InvalidDatabaseError, ValueError):  # a broken part of a file whose other parts can be read
            return None

    return look_up


def silenced(given: str | Sequence[str], detections: Iterable[Rule]) -> list[str]:
    """What to say of detections that ask where an address is, when no database does.

    >>> from models.rules.threshold import Threshold
    >>> silenced("", [Threshold(id="abroad", by="user", distinct="country", at_least=3.0)])
    ['detection abroad: off for events that do not say their country, as [input] geo names no database']
    """
    if paths(given):
        return []
    asking = ((rule.id, named(rule, GEOGRAPHY)) for rule in detections)
    return [
        f"detection {name}: off for events that do not say their {', '.join(members)}, as [input] geo names no database"
        for name, members in asking
        if members
    ]


def geography_faults(given: str | Sequence[str]) -> list[str]:
    """A line for each database that cannot be used."""
    several = not isinstance(given, str)
    found = []
    for at, path in enumerate(paths(given)):
        try:
            geography(path)
        except ValueError as error:
            found.append(f"{error} - at $.input.geo{f'[{at}]' if several else ''}")
    return found
