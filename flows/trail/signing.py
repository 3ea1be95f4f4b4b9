"""The keys that sign a trail's checkpoints: where they lie, how they change, and whom a verifier believes."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from flows import durable
from flows.errors import InputError
from flows.trail.checkpoints import KEY, Checkpoint, Expired, KeyChange
from flows.trail.note_table import Note, NoteTable, Witness
from flows.trail.notes import BadNote, Verifier, sign, signers

SECRET: Final = "signing.pem"
NEXT: Final = "signing.next.pem"
PUBLIC: Final = "public-keys.txt"
_LOCK: Final = "signing.lock"


class Trusted(NamedTuple):
    """A key that is believed: for what is signed from a time on, until another took its place (None: not yet)."""

    key: Verifier
    begin: int
    end: int | None


def fault(note: Note, said: Checkpoint | Expired, trusted: Mapping[bytes, Trusted]) -> str | None:
    """What is wrong with a note's signature; nothing where a key has signed it that was the one to sign then."""
    try:
        by = signers(note.note, {id_: one.key for id_, one in trusted.items()})
    except BadNote as error:
        return str(error)
    if said.trail != by[0].name:
        return "it is another trail's"
    spans = [(trusted[key.id].begin, trusted[key.id].end) for key in by]
    if all(said.time < begin for begin, _ in spans):
        return "it was signed with a key that was not there yet by then"
    if not any(begin <= said.time and (end is None or said.time <= end) for begin, end in spans):
        return "it was signed with a key that had been replaced by then"
    return None


class SigningKeys:
    """The signing key in a trail's key directory, beside the list of the public keys that it has had.

    Keys change only through `rotated`: the key before signs the new one, and is destroyed.
    """

    def __init__(self, folder: Path, trail: str) -> None:
        self._folder, self.trail = folder, trail

    @contextmanager
    def held(self) -> Iterator[None]:
        """While it lasts nobody else signs or changes keys."""
        with open(os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def secret(self) -> Ed25519PrivateKey:
        """The key that signs now.

        Raises
        ------
        InputError
            There is none, or it is no Ed25519 key.
        """
        return _load(self._folder / SECRET)

    def current(self, table: NoteTable, witness: Witness | None, time: int) -> Ed25519PrivateKey:
        """The key that signs now, an interrupted change finished first. Within `held`; raises as `begin`.

        The trail may name the next key already, and what the old one signs after that is believed by nobody.
        """
        if (self._folder / NEXT).exists():
            self._change(table, witness, time)
        return self.secret()

    def begin(self, table: NoteTable, witness: Witness | None, time: int) -> None:
        """Make the first key if the trail has none; finish a change that was interrupted. Within `held`.

        Raises
        ------
        InputError
            The trail's keys are others than those here.
        OutputError
            Nothing can be written.
        """
        if (self._folder / NEXT).exists():
            self._change(table, witness, time)
        known = self._known(table)
        if not known:
            if not (self._folder / SECRET).exists():
                self._write(SECRET, Ed25519PrivateKey.generate())
            key = self.secret()
            first = KeyChange(self.trail, Verifier.of(self.trail, key), time)
            publish([Note(KEY, sign(first.text(), self.trail, [key]))], table, witness)
        elif Verifier.of(self.trail, self.secret()) not in known:
            raise InputError(f"{self._folder / SECRET}: not the key that signs this trail")
        self._list(Verifier.of(self.trail, self.secret()))

    def rotated(self, table: NoteTable, witness: Witness | None, time: int) -> Verifier:
        """Put a new key in the place of the present one. Within `held`, after `begin`.

        Raises
        ------
        InputError
            There is no key.
        OutputError
            Nothing can be written; `begin` then says which of both it is.
        """
        self._write(NEXT, Ed25519PrivateKey.generate())
        return self._change(table, witness, time)

    def _change(self, table: NoteTable, witness: Witness | None, time: int) -> Verifier:
        """Go over to the next key; said twice where a crash came between."""
        old, new = self.secret(), _load(self._folder / NEXT)
        change = KeyChange(self.trail, Verifier.of(self.trail, new), time)
        publish([Note(KEY, sign(change.text(), self.trail, [old, new]))], table, witness)
        self._list(change.key)
        try:
            (self._folder / NEXT).replace(self._folder / SECRET)
            durable.sync(self._folder)
        except OSError as error:
            raise durable.cannot_write(self._folder / SECRET, error) from None
        return change.key

    def _known(self, table: NoteTable) -> list[Verifier]:
        """The keys that the trail names, oldest first."""
        found = [change for note in table.notes() if note.what == KEY and (change := _change(note)) is not None]
        return list(dict.fromkeys(change.key for change in sorted(found, key=lambda change: change.time)))

    def public(self) -> list[Verifier]:
        """The keys that have signed here, oldest first; raises as `secret`."""
        return read_public_keys(self._folder / PUBLIC)

    def _list(self, key: Verifier) -> None:
        """Keep the public key with those before."""
        known = self.public() if (self._folder / PUBLIC).exists() else []
        if key in known:
            return
        try:
            durable.write(self._folder / PUBLIC, "".join(f"{one.text}\n" for one in [*known, key]).encode())
        except OSError as error:
            raise durable.cannot_write(self._folder / PUBLIC, error) from None

    def _write(self, name: str, key: Ed25519PrivateKey) -> None:
        path = self._folder / name
        try:
            draft = path.with_suffix(".tmp")
            draft.unlink(missing_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            durable.sync(self._folder)
        except OSError as error:
            raise durable.cannot_write(path, error) from None


def believed(notes: Iterable[Note], given: Iterable[Verifier]) -> tuple[dict[bytes, Trusted], list[str]]:
    """The keys that are believed, by their ids, and what is wrong with the others.

    Those that are given are; without any, the oldest that the trail itself names. So is every key that a believed one
    has signed while it was the one that signs.
    """
    changes: list[tuple[KeyChange, Note]] = []
    wrong = []
    for note in notes:
        found = _change(note)
        if found is None:
            wrong.append("a change of keys cannot be read")
        else:
            changes.append((found, note))
    changes.sort(key=lambda each: each[0].time)
    anchors = list(given) or [change.key for change, _ in changes[:1]]
    trusted = {key.id: Trusted(key, -(1 << 62), None) for key in anchors}
    last: bytes | None = None
    for change, note in changes:
        own = {change.key.id: change.key}
        try:
            signers(note.note, own)
            vouching = {id_: one.key for id_, one in trusted.items() if id_ != change.key.id}
            if change.key.id not in trusted:
                signers(note.note, {id_: key for id_, key in vouching.items() if id_ == last or last is None})
        except BadNote:
            wrong.append(f"key {change.key.id.hex()} of {change.text().split(chr(10))[2][5:]} is vouched for by nobody")
            continue
        if last is not None and last != change.key.id:
            trusted[last] = trusted[last]._replace(end=change.time)
        if change.key.id != last:
            trusted[change.key.id] = Trusted(change.key, change.time, None)
        last = change.key.id
    return trusted, wrong


def read_public_keys(path: Path) -> list[Verifier]:
    """The keys of a file, one a line.

    Raises
    ------
    InputError
        It cannot be read, or has none.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [Verifier.parse(line) for line in lines]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not text'})") from None
    except BadNote as error:
        raise InputError(f"{path}: {error}") from None
    if not found:
        raise InputError(f"{path}: there is no key in it")
    return found


def publish(notes: list[Note], table: NoteTable, witness: Witness | None) -> None:
    """To the second place first: what is in the trail is then there too."""
    if witness is not None:
        witness.append(notes)
    table.append(notes)


def _change(note: Note) -> KeyChange | None:
    try:
        found = note.read()
    except BadNote:
        return None
    return found if isinstance(found, KeyChange) else None


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such key") from None
    except (OSError, ValueError, TypeError):
        raise InputError(f"{path}: cannot be read as a key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: not an Ed25519 key")
    return key
