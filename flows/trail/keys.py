"""The key store: every subject's own key, apart from the trail. Destroying one is what erases a person."""

import hmac
import ipaddress
import os
import sqlite3
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType
from typing import Final, NamedTuple, Self

from flows.durable import sync
from flows.errors import InputError, OutputError, Refused
from flows.trail.seal import KEY_BYTES, forget

STORE: Final = "keys.sqlite"
ID_BYTES: Final = 16
VERSION: Final = 1
# Names and ids are random: with rows in the order in which they came only the indices are written all over.
_SCHEMA: Final = """
CREATE TABLE store (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE name (name BLOB PRIMARY KEY, id BLOB NOT NULL);
CREATE INDEX name_id ON name (id);
CREATE TABLE subject (id BLOB PRIMARY KEY, key BLOB NOT NULL, person BLOB NOT NULL, alone INTEGER NOT NULL);
CREATE INDEX subject_person ON subject (person);
"""
_MOST_AT_ONCE: Final = 500
"""Parameters of one statement."""
_MOST_MADE: Final = 4_096
"""New names that are not durable yet; the pages that they are in wait in memory."""
_CACHE_KIB: Final = 16_384
_WAIT_S: Final = 60
"""How long to wait for another process that writes: one that archives is done when its epoch ends."""
_KEPT: Final = 1 << 18
"""Subjects in memory; one takes about 300 bytes."""


class Subject(NamedTuple):
    """Whom rows are about: the random name that they carry, and the key that seals what is personal in them."""

    id: bytes
    key: bytes


Names = tuple[str, str, str]
"""Tenant, user id, username; one of the last two may be empty."""


class KeyStore:
    """The keys of a trail: one of each subject, and three of the store's own.

    A subject is found by an HMAC of its tenant and name, so the names themselves stand nowhere in the store. Its `id`
    is random, and is what the trail's rows carry: when the subject is destroyed, nothing leads from the name to its
    rows or back, and what its key sealed stays sealed. The name may come again later; it is then another subject.

    A person has several names: a user id, and the usernames that came with it. An event that carries both makes the
    username lead to the subject of the id. Where a username was known before without any id (failed logins, as a rule),
    what was sealed for it then belongs to the same person from now on; where it belonged to another id, it has changed
    hands, and only what comes from now on is the new one's.

    `general` is the key of what is about nobody in particular: an address without a user, say. `indexing` is
    that of tokens.

    The directory has mode 0700, the store 0600; a store that others can read is refused. SQLite overwrites what it
    deletes, and its journal is truncated; what the disk or a backup of the *keys* still holds is beyond it. New keys
    are durable after `keep`, which has to come before anything is stored that is sealed with them; until then nobody
    else writes to the store. A new subject costs about 20 microseconds, one in memory less than one.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        own = dict(connection.execute("SELECT name, value FROM store").fetchall())
        self._naming, self.indexing = own["naming"], own["indexing"]
        self._tokens = blake2b(digest_size=ID_BYTES, key=self.indexing)
        self.general: bytes = own["general"]
        self.address = lru_cache(maxsize=_KEPT)(partial(self._token, "ip"))
        self._seen: dict[bytes, bytes] = {}
        self._made = 0
        self._version, self._destroyed = self._now()

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """The store in a directory; with `create` made there if there is none.

        Raises
        ------
        InputError
            There is none, or it is no key store of this version.
        Refused
            Others than the owner can read it.
        """
        store = path / STORE
        if not store.exists():
            if not create:
                raise InputError(f"{path}: no key store there ({STORE} is missing)")
            _make(path)
        for place in (path, store):
            if stat.S_IMODE(place.stat().st_mode) & 0o077:
                raise Refused(
                    f"{place}: others can read it; the keys of a trail are for their owner: chmod go= {place}"
                )
        try:
            connection = sqlite3.connect(store, _WAIT_S, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("PRAGMA cache_spill = OFF")  # what spills keeps readers out
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise InputError(f"{store}: {error}") from None
        if version != VERSION:
            connection.close()
            raise InputError(f"{store}: a key store of version {version}; this Lapwing reads version {VERSION}")
        return cls(path, connection)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def identity(self) -> str:
        """What a trail's tables say of the keys that sealed them: 16 hexadecimal digits that open nothing."""
        return blake2b(b"identity", digest_size=8, key=self.indexing).hexdigest()

    def token(self, tenant: str, kind: str, value: str) -> bytes:
        """What rows carry of an address ("ip"), a session or a request, to be found by: 16 bytes, the same each time.

        However an address is written, it has one token; `address` is the same of (tenant, address), kept in memory.
        """
        return self.address(tenant, value) if kind == "ip" else self._token(kind, tenant, value)

    def find(self, tenant: str, name: str) -> list[Subject]:
        """Everything that is sealed for the person of this name; nothing where it was never seen, or was erased."""
        rows = self._connection.execute(
            "SELECT id, key FROM subject WHERE person ="
            " (SELECT person FROM subject JOIN name USING (id) WHERE name.name = ?) ORDER BY id",
            (self._name(tenant, name),),
        )
        return [Subject(*row) for row in rows]

    def known(self, marks: Sequence[bytes]) -> list[bytes]:
        """The id and key, one behind the other, of each subject in memory under a mark (see `know`), else nothing."""
        self._notice()
        return [self._seen.get(mark, b"") for mark in marks]

    def know(self, marks: Sequence[bytes], subjects: Sequence[bytes]) -> None:
        """Have subjects, each its id and key, in memory under marks: whatever stands for their names."""
        if len(self._seen) + len(marks) > _KEPT:
            self._seen.clear()
        self._seen.update(zip(marks, subjects, strict=True))

    def subjects(self, wanted: Iterable[Names]) -> dict[Names, Subject]:
        """The subject of each (tenant, user id, username), of which one may be empty; made where it is new.

        Raises
        ------
        OutputError
            The store cannot be written. What was not durable yet is not there.
        """
        if not (new := list(dict.fromkeys(wanted))):
            return {}
        with self._writing():
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            found = self._asked(new)
        self._made += len(new)
        if self._made >= _MOST_MADE:
            self.keep()
        return dict(zip(new, found, strict=True))

    def keep(self) -> None:
        """Make durable what was made; raises as `subjects`."""
        self._made = 0
        if self._connection.in_transaction:
            with self._writing():
                self._connection.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Around a part of a transaction: without it nothing of the transaction is there."""
        try:
            yield
        except sqlite3.Error as error:
            self._seen.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise OutputError(f"{self.path / STORE}: {error}") from None

    def keys(self, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """The keys of subjects by the ids that rows carry; erased ones are not in it."""
        found: dict[bytes, bytes] = {}
        wanted = list(dict.fromkeys(ids))
        for at in range(0, len(wanted), _MOST_AT_ONCE):
            some = wanted[at : at + _MOST_AT_ONCE]
            marks = ",".join("?" * len(some))
            found.update(
                self._connection.execute(f"SELECT id, key FROM subject WHERE id IN ({marks})", some).fetchall()
            )
        return found

    def persons(self, ids: Iterable[bytes]) -> set[bytes]:
        """All ids of the persons to whom some belong; an id that is not there any more stands for itself."""
        found = set(ids)
        for id_ in list(found):
            rows = self._connection.execute(
                "SELECT id FROM subject WHERE person = (SELECT person FROM subject WHERE id = ?)", (id_,)
            )
            found.update(row[0] for row in rows)
        return found

    def destroy(self, tenant: str, name: str) -> list[bytes]:
        """Destroy a person's keys and names; the ids that the person's rows carry. Raises as `destroy_all`."""
        ids = [subject.id for subject in self.find(tenant, name)]
        self.destroy_all(ids)
        return ids

    def destroy_all(self, ids: Iterable[bytes]) -> None:
        """Destroy the keys and names of subjects, by the ids that rows carry.

        Raises
        ------
        OutputError
            The store cannot be written; the keys then still exist.
        """
        those = [(id_,) for id_ in ids]
        self.keep()
        with self._writing():
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM name WHERE id = ?", those)
            self._connection.executemany("DELETE FROM subject WHERE id = ?", those)
            # Whoever has the store open, such as a running archive, learns by this that its memory is out of date.
            destroyed = (self._now()[1] + 1).to_bytes(8, "big")
            self._connection.execute("INSERT OR REPLACE INTO store VALUES ('destroyed', ?)", (destroyed,))
            self._connection.execute("COMMIT")
        self._seen.clear()
        forget()

    def _now(self) -> tuple[int, int]:
        """What changes when another process has changed the store, and how often keys were destroyed."""
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        row = self._connection.execute("SELECT value FROM store WHERE name = 'destroyed'").fetchone()
        return version, int.from_bytes(row[0], "big") if row else 0

    def _notice(self) -> None:
        """Forget what is in memory if another process has destroyed keys; a microsecond where nothing has changed."""
        if self._connection.execute("PRAGMA data_version").fetchone()[0] != self._version:
            self._version, destroyed = self._now()
            if destroyed != self._destroyed:
                self._destroyed = destroyed
                self._seen.clear()
                forget()

    def _token(self, kind: str, tenant: str, value: str) -> bytes:
        text = _address(value) if kind == "ip" else value
        own = self._tokens.copy()
        own.update(before(tenant, kind))
        own.update(text.encode("utf-8", "replace"))
        return own.digest()

    def _name(self, tenant: str, name: str) -> bytes:
        """What the store knows a name by: 32 bytes that lead back to it only through this store."""
        text = f"{len(tenant)}:{tenant}{normalised(name)}"
        return hmac.digest(self._naming, text.encode("utf-8", "replace"), "sha256")

    def _asked(self, wanted: Sequence[Names]) -> list[Subject]:
        """The subjects of names, those that are new made, inside a transaction."""
        firsts = [self._name(tenant, user or username) for tenant, user, username in wanted]
        seconds = [
            self._name(tenant, username) if user and username and user != username else None
            for tenant, user, username in wanted
        ]
        holders = self._holders([*firsts, *(name for name in seconds if name)])
        of_person: dict[bytes, list[_Holder]] = defaultdict(list)
        for one in {one.subject.id: one for one in holders.values()}.values():
            of_person[one.person].append(one)
        made: list[_Holder] = []
        led: dict[bytes, bytes] = {}
        joined: list[tuple[bytes, bytes]] = []
        found = []
        for first, second, (_, user, _) in zip(firsts, seconds, wanted, strict=True):
            holder = holders.get(first)
            if holder is None:
                luck = os.urandom(ID_BYTES + KEY_BYTES)
                subject = Subject(luck[:ID_BYTES], luck[ID_BYTES:])
                holder = holders[first] = _Holder(subject, subject.id, not user)
                of_person[subject.id].append(holder)
                made.append(holder)
                led[first] = subject.id
            found.append(holder.subject)
            if second is None:
                continue
            other = holders.get(second)
            if other is not None and other.person == holder.person:
                continue
            if other is not None and other.alone:
                joined.append((holder.person, other.person))
                for one in of_person.pop(other.person):
                    one.person = holder.person
                    of_person[holder.person].append(one)
            holders[second] = holder
            led[second] = holder.subject.id
        run = self._connection.executemany
        run("UPDATE subject SET person = ? WHERE person = ?", joined)
        new = ((*one.subject, one.person, one.alone) for one in made)
        run("INSERT INTO subject VALUES (?, ?, ?, ?)", sorted(new))
        run("INSERT OR REPLACE INTO name VALUES (?, ?)", sorted(led.items()))
        return found

    def _holders(self, names: Sequence[bytes]) -> dict[bytes, "_Holder"]:
        """Those who have names, by these; the same object where one has several."""
        found: dict[bytes, _Holder] = {}
        of_id: dict[bytes, _Holder] = {}
        for at in range(0, len(names), _MOST_AT_ONCE):
            some = names[at : at + _MOST_AT_ONCE]
            rows = self._connection.execute(
                "SELECT name.name, id, key, person, alone FROM name JOIN subject USING (id)"
                f" WHERE name.name IN ({','.join('?' * len(some))})",
                some,
            )
            for name, id_, key, person, alone in rows:
                found[name] = of_id.setdefault(id_, _Holder(Subject(id_, key), person, bool(alone)))
        return found


@dataclass(slots=True)
class _Holder:
    """Who has a name. `alone` says that the name came without an id."""

    subject: Subject
    person: bytes
    alone: bool


def before(tenant: str, kind: str) -> bytes:
    """What stands before a value of a tenant in what its token is of."""
    return f"{kind}:{len(tenant)}:{tenant}".encode("utf-8", "replace")


def normalised(name: str) -> str:
    """A subject's name as rows are found by it: an address of e-mail in the form in which it is an entity.

    >>> normalised("Sam@Example.com"), normalised("u-17A")
    ('sam@example.com', 'u-17A')
    """
    return unicodedata.normalize("NFKC", name).lower() if "@" in name else name


def _address(text: str) -> str:
    """An address as it is found by: as `ipaddress` writes it, without port, brackets or IPv4 inside IPv6."""
    if ":" not in text:
        return text
    text = text.rsplit("]", 1)[0].lstrip("[") if text.startswith("[") else text
    if text.count(":") == 1:
        return text.split(":")[0]
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return text
    return str(address.ipv4_mapped or address)


def _make(path: Path) -> None:
    """A new store, whole or not there."""
    try:
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        path.chmod(0o700)
        made, name = mkstemp(".new", f".{STORE}.", path)  # of its own: others may be at it too
        os.close(made)
        place = Path(name)
        try:
            with closing(sqlite3.connect(place, isolation_level=None)) as connection:
                connection.executescript(_SCHEMA)
                own = [(name, os.urandom(KEY_BYTES)) for name in ("naming", "indexing", "general")]
                connection.executemany("INSERT INTO store VALUES (?, ?)", own)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            os.link(place, path / STORE)  # never over a store that another process has made meanwhile
        finally:
            place.unlink()
        sync(path)
    except FileExistsError:
        return
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"{path}: no key store can be made there: {error}") from None
