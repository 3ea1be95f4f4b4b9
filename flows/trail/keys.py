"""The key store: every subject's own key, apart from the trail. Destroying one is what erases a person."""

import hmac
import ipaddress
import os
import sqlite3
import stat
import unicodedata
from collections.abc import Iterable
from contextlib import closing
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from flows.durable import sync
from flows.errors import InputError, OutputError, Refused
from flows.trail.seal import KEY_BYTES, forget

STORE: Final = "keys.sqlite"
ID_BYTES: Final = 16
VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE store (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE name (name BLOB PRIMARY KEY, id BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX name_id ON name (id);
CREATE TABLE subject (
    id BLOB PRIMARY KEY, key BLOB NOT NULL, person BLOB NOT NULL, alone INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX subject_person ON subject (person);
"""
_MOST_AT_ONCE: Final = 500
"""Parameters of one statement."""
_KEPT: Final = 1 << 18
"""Subjects in memory; one takes about 400 bytes."""


class Subject(NamedTuple):
    """Whom rows are about: the random name that they carry, and the key that seals what is personal in them."""

    id: bytes
    key: bytes


Names = tuple[str, str, str]
"""Tenant, user id, username; one of the last two may be empty."""
_NOBODY: Final = Subject(b"", b"")


class KeyStore:
    """The keys of a trail: one of each subject, and three of the store's own.

    A subject is found by an HMAC of its tenant and name, so the names themselves stand nowhere in the store. Its `id`
    is random, and is what the trail's rows carry: when the subject is destroyed, nothing leads from the name to its
    rows or back, and what its key sealed stays sealed. The name may come again later; it is then another subject.

    A person has several names: a user id, and the usernames that came with it. An event that carries both makes the
    username lead to the subject of the id. Where a username was known before without any id (failed logins, as a rule),
    what was sealed for it then belongs to the same person from now on; where it belonged to another id, it has changed
    hands, and only what comes from now on is the new one's.

    `general` is the key of what is about nobody in particular: an address without a user, say.

    The directory has mode 0700, the store 0600; a store that others can read is refused. SQLite overwrites what it
    deletes, and its journal is truncated; what the disk or a backup of the *keys* still holds is beyond it. New keys
    are durable before `subjects` returns. A new subject costs about 20 microseconds, one in memory less than one.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        own = dict(connection.execute("SELECT name, value FROM store").fetchall())
        self._naming, self._indexing = own["naming"], own["indexing"]
        self._tokens = blake2b(digest_size=ID_BYTES, key=self._indexing)
        self.general: bytes = own["general"]
        self.address = lru_cache(maxsize=_KEPT)(partial(self._token, "ip"))
        self._seen: dict[Names, Subject] = {}
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
            connection = sqlite3.connect(store, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = EXTRA")
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
        return blake2b(b"identity", digest_size=8, key=self._indexing).hexdigest()

    def token(self, tenant: str, kind: str, value: str) -> bytes:
        """What rows carry of an address ("ip"), a session or a request, to be found by: 16 bytes, the same each time.

        However an address is written, it has one token; `address` is the same of (tenant, address), kept in memory.
        """
        return self.address(tenant, value) if kind == "ip" else self._token(kind, tenant, value)

    def hasher(self, tenant: str, kind: str) -> "blake2b":
        """What makes the tokens of a tenant and kind, with `digest`, where there are many."""
        made = self._tokens.copy()
        made.update(f"{kind}:{len(tenant)}:{tenant}".encode("utf-8", "replace"))
        return made

    def find(self, tenant: str, name: str) -> list[Subject]:
        """Everything that is sealed for the person of this name; nothing where it was never seen, or was erased."""
        rows = self._connection.execute(
            "SELECT id, key FROM subject WHERE person ="
            " (SELECT person FROM subject JOIN name USING (id) WHERE name.name = ?) ORDER BY id",
            (self._name(tenant, name),),
        )
        return [Subject(*row) for row in rows]

    def subjects(self, wanted: Iterable[Names]) -> dict[Names, Subject]:
        """The subject of each (tenant, user id, username), of which one may be empty; made where it is new.

        Raises
        ------
        OutputError
            The store cannot be written.
        """
        self._notice()
        seen, found = self._seen, {}
        new: list[Names] = []
        for names in wanted:
            if names in found:
                continue
            subject = seen.get(names)
            if subject is None:
                new.append(names)
                found[names] = _NOBODY  # so that it is asked for once
            else:
                found[names] = subject
        if new:
            try:
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    for names in new:
                        found[names] = self._subject(*names)
            except sqlite3.Error as error:
                raise OutputError(f"{self.path / STORE}: {error}") from None
            if len(seen) + len(new) > _KEPT:
                seen.clear()
            seen.update((names, found[names]) for names in new)
        return found

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
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("DELETE FROM name WHERE id = ?", those)
                self._connection.executemany("DELETE FROM subject WHERE id = ?", those)
                # Whoever has the store open, such as a running archive, learns by this that its memory is out of date.
                destroyed = (self._now()[1] + 1).to_bytes(8, "big")
                self._connection.execute("INSERT OR REPLACE INTO store VALUES ('destroyed', ?)", (destroyed,))
        except sqlite3.Error as error:
            raise OutputError(f"{self.path / STORE}: {error}") from None
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
        return digest(self.hasher(tenant, kind), text.encode("utf-8", "replace"))

    def _name(self, tenant: str, name: str) -> bytes:
        """What the store knows a name by: 32 bytes that lead back to it only through this store."""
        text = f"{len(tenant)}:{tenant}{normalised(name)}"
        return hmac.digest(self._naming, text.encode("utf-8", "replace"), "sha256")

    def _subject(self, tenant: str, user: str, username: str) -> Subject:
        """One subject, inside a transaction."""
        if not user or not username or user == username:
            name = self._name(tenant, user or username)
            return self._holder(name)[0] or self._made(name, alone=not user)
        by_id, by_name = self._name(tenant, user), self._name(tenant, username)
        subject, person, _ = self._holder(by_id)
        subject = subject or self._made(by_id, alone=False)
        person = person or subject.id
        other, others_person, alone = self._holder(by_name)
        if other is None or others_person != person:
            if other is not None and alone:
                self._connection.execute("UPDATE subject SET person = ? WHERE person = ?", (person, others_person))
            self._connection.execute("INSERT OR REPLACE INTO name VALUES (?, ?)", (by_name, subject.id))
        return subject

    def _holder(self, name: bytes) -> tuple[Subject | None, bytes, bool]:
        row = self._connection.execute(
            "SELECT id, key, person, alone FROM subject JOIN name USING (id) WHERE name.name = ?", (name,)
        ).fetchone()
        return (Subject(row[0], row[1]), row[2], bool(row[3])) if row else (None, b"", False)

    def _made(self, name: bytes, *, alone: bool) -> Subject:
        luck = os.urandom(ID_BYTES + KEY_BYTES)
        subject = Subject(luck[:ID_BYTES], luck[ID_BYTES:])
        self._connection.execute("INSERT INTO subject VALUES (?, ?, ?, ?)", (*subject, subject.id, alone))
        self._connection.execute("INSERT INTO name VALUES (?, ?)", (name, subject.id))
        return subject


def digest(hasher: "blake2b", value: bytes) -> bytes:
    """The token of a value in UTF-8."""
    own = hasher.copy()
    own.update(value)
    return own.digest()


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
        place = path / f".{STORE}.new"
        place.unlink(missing_ok=True)
        place.touch(mode=0o600)
        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
            own = [(name, os.urandom(KEY_BYTES)) for name in ("naming", "indexing", "general")]
            connection.executemany("INSERT INTO store VALUES (?, ?)", own)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        os.link(place, path / STORE)  # never over a store that another process has made meanwhile
        place.unlink()
        sync(path)
    except FileExistsError:
        return
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"{path}: no key store can be made there: {error}") from None
