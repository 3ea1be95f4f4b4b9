"""Signed notes: text with Ed25519 signatures below it, as transparency logs write them (C2SP signed-note)."""

import base64
import hashlib
from binascii import Error
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LONGEST: Final = 1 << 22
"""Characters of a note that are read."""
_ED25519: Final = b"\x01"
_ID_BYTES: Final = 4
_DASH: Final = "\u2014"


class BadNote(Exception):
    """It is no signed note, or nobody who is trusted has signed it."""


class Verifier(NamedTuple):
    """A public key with the name that its signatures carry.

    Its text is `name+id+key`: the id eight hexadecimal digits (which the name and the key give), the key base64.
    """

    name: str
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """A key from its text.

        Raises
        ------
        BadNote
            It is none, or of another kind than Ed25519.

        Examples
        --------
        >>> text = Verifier("lapwing/7", bytes(32)).text
        >>> text
        'lapwing/7+ef901484+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
        >>> Verifier.parse(text).name
        'lapwing/7'
        """
        try:
            name, id_, key = text.strip().split("+", 2)
            raw = base64.b64decode(key, validate=True)
        except (ValueError, Error):
            raise BadNote("not a public key: NAME+ID+KEY") from None
        found = cls(name, raw[1:])
        if raw[:1] != _ED25519 or len(raw) != 33 or not _is_name(name) or found.id.hex() != id_:
            raise BadNote("not an Ed25519 public key, or its id is not its own")
        return found

    @classmethod
    def of(cls, name: str, key: Ed25519PrivateKey) -> Self:
        """The public half of a key."""
        return cls(name, key.public_key().public_bytes_raw())

    @property
    def id(self) -> bytes:
        """What a signature names its key by."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:_ID_BYTES]

    @property
    def text(self) -> str:
        """The key as people pass it on."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"


def sign(text: str, name: str, keys: Iterable[Ed25519PrivateKey]) -> str:
    """A note: lines of text, an empty one, and a signature by each key.

    Raises
    ------
    ValueError
        It is longer than what is read.
    """
    lines = []
    for key in keys:
        signature = Verifier.of(name, key).id + key.sign(text.encode())
        lines.append(f"{_DASH} {name} {base64.b64encode(signature).decode()}\n")
    note = f"{text}\n{''.join(lines)}"
    if len(note) > LONGEST:
        raise ValueError(f"a note of {len(note):,} characters, which nobody would read")
    return note


def text_of(note: str) -> str:
    """What a note says, whoever has signed it.

    Raises
    ------
    BadNote
        It is none.
    """
    return _parts(note)[0]


def signers(note: str, trusted: Mapping[bytes, Verifier]) -> list[Verifier]:
    """Which of some keys, by their ids, have signed a note; signatures of unknown keys are passed over.

    Raises
    ------
    BadNote
        It is no note, none of them has signed it, or a signature of one is false.
    """
    text, signatures = _parts(note)
    found = []
    for name, raw in signatures:
        key = trusted.get(raw[:_ID_BYTES])
        if key is None or key.name != name:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.key).verify(raw[_ID_BYTES:], text.encode())
        except InvalidSignature:
            raise BadNote(f"the signature of key {key.id.hex()} is false") from None
        found.append(key)
    if not found:
        raise BadNote("no trusted key has signed it")
    return found


def _parts(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    body, gap, below = note.rpartition("\n\n")
    if not gap or not below.endswith("\n") or len(note) > LONGEST:
        raise BadNote("not a signed note")
    signatures = []
    for line in below[:-1].split("\n"):
        try:
            dash, name, signature = line.split(" ")
            raw = base64.b64decode(signature, validate=True)
        except (ValueError, Error):
            raise BadNote("not a signed note") from None
        if dash != _DASH or not _is_name(name) or len(raw) <= _ID_BYTES:
            raise BadNote("not a signed note")
        signatures.append((name, raw))
    return f"{body}\n", signatures


def _is_name(name: str) -> bool:
    return bool(name) and not any(c.isspace() or c == "+" for c in name)
