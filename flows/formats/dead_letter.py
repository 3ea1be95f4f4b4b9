"""Dead letters: which messages are none of an event's business, and how one is written down."""

import base64
import hashlib
import json
import re
from functools import cache
from typing import Any, Final, Literal

import msgspec

from models.event import DeadLetter

REASONS: Final = (
    "empty", "malformed_json", "bad_utf8", "not_an_object", "missing_time", "bad_time", "future_time", "no_entity",
    "too_large", "too_deep", "reserved_member", "output_too_large", "bad_gzip",
)  # fmt: skip
"""The closed list of reasons."""

BODY_BYTES: Final = 64 * 1024
"""So many bytes of a message are kept."""

_SHOWN_BYTES: Final = 1024
_SHOWN_HEADERS: Final = 32

Body = Literal["redacted", "raw", "none"]

# Every quantifier is bounded or possessive, and no alternative can begin where another has failed far behind: the time
# is linear in the body, whatever the body is.
_VALUE: Final = re.compile(
    rb"(?i)(?:(?<![a-z])(?:otp|totp|pin|pass|jwt)(?![a-z])|passw(?:or)?[dt]|passphrase|passcode|kennwort|pwd|secret|token"
    rb"|authorization|cookie|credential|private[_-]?key|signature|assertion)"
    rb"[\w.\-\[\]]{0,64}+(?:\\{0,8}+[\"'])?[ \t\r\n]{0,64}+[:=][ \t\r\n]{0,64}+"
)
_SCALAR: Final = re.compile(rb"-?[\w.+]{1,64}+(?=[ \t\r\n]{0,64}+[,}\]&]|\Z)")
_QUOTED: Final = re.compile(rb"(\")(?:[^\"\\]++|\\.)*+(\"?)|(')(?:[^'\\]++|\\.)*+('?)", re.DOTALL)
# A string inside a string: it ends at its own number of backslashes and a quote, not at more of them.
_ESCAPED: Final = re.compile(rb"((\\{1,8}+)[\"'])(?:[^\"\\]++|(?!\2\")\\++\"?)*+(\2\"|)", re.DOTALL)
_RUN: Final = re.compile(rb"(?:[^\"\r\n&}\\]++|\\(?![\"']))*+")
_PIECE: Final = re.compile(rb"[\[{]|[\]}]|\"(?:[^\"\\]++|\\.)*+\"?|[^\[\]{}\"]++", re.DOTALL)
# Between `\u` or `/` and the text itself stand as many backslashes as there are strings around it.
_ESCAPE: Final = re.compile(rb"\\{1,8}+(?:u((?:[dD][89abAB][0-9a-fA-F]{2}\\{1,8}+u(?=[dD][c-fC-F]))?[0-9a-fA-F]{4})|/)")
_GZIP: Final = b"\x1f\x8b"
_JWT: Final = re.compile(rb"(?<![\w\-])eyJ[\w\-]{8,}+(?:\.[\w\-]*+){0,4}+")
_BEARER: Final = re.compile(rb"(?i)(?<![a-z])(?:bearer|basic)[ \t]{1,8}+[\w.~+/=\-]++")
_SECRET: Final = re.compile(r"eyJ[\w\-]{8,}\.[\w\-]*\.|(?i:bearer )|\$(?:2[abxy]|5|6|argon2\w{1,2}|pbkdf2[\w-]*)\$")
BLANK: Final = b"***"


def bury(
    reason: str, source: str, offset: int, index: int, message: bytes, detail: str = "", stage: str = "decode"
) -> DeadLetter:
    """The dead letter of a message that is at hand.

    Examples
    --------
    >>> bury("malformed_json", "events.ndjson", 7, 0, b"{").size
    1
    """
    return DeadLetter(
        stage=stage,
        reason=reason,
        source=source,
        offset=offset,
        index=index,
        size=len(message),
        sha256=hashlib.sha256(message).hexdigest(),
        body=message[:BODY_BYTES],
        detail=detail,
    )


def is_secret_value(value: Any) -> bool:
    """Whether a value looks like a secret, whatever it is called: a token of JWT's form, a bearer's, a password's hash.

    >>> is_secret_value("Bearer 8f3a"), is_secret_value("$2b$12$q"), is_secret_value("basic plan"), is_secret_value(7)
    (True, True, False, False)
    """
    return isinstance(value, str) and _SECRET.match(value) is not None


def is_secret_name(name: str) -> bool:
    """Whether a member of this name holds a secret, as far as a name can tell.

    >>> is_secret_name("newPassword"), is_secret_name("access_token"), is_secret_name("passed")
    (True, True, False)
    """
    return _VALUE.search(name.encode(errors="replace") + b":") is not None


def _container_end(body: bytes, at: int) -> int:
    """After the object or array at `at`, or the body's end where it is not closed."""
    depth = 0
    for match in _PIECE.finditer(body, at):
        first = match[0][:1]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
            if depth <= 0:
                return match.end()
    return len(body)


def _value_end(body: bytes, at: int) -> tuple[int, bytes]:
    """Where the value at `at` ends, and what stands for it."""
    first = body[at : at + 1]
    if first in (b"{", b"["):
        return _container_end(body, at), b'"' + BLANK + b'"'
    quoted = _QUOTED.match(body, at)
    if quoted is not None:
        return quoted.end(), (quoted[1] or quoted[3]) + BLANK + (quoted[2] or quoted[4] or b"")
    escaped = _ESCAPED.match(body, at)
    if escaped is not None:
        return escaped.end(), escaped[1] + BLANK + escaped[3]
    bare = _SCALAR.match(body, at) or _RUN.match(body, at)
    end = at if bare is None else bare.end()
    return end, BLANK if end > at else b""


def redact(body: bytes) -> bytes:
    """A message without the values of members, parameters and headers whose names look like secrets.

    Works on broken JSON, on JSON inside strings, on query parameters and header lines, in time linear in the body.
    Tokens that can be told by their own form (JWT, `Bearer ...`) are blanked wherever they stand. It **fails** to see
    a secret under a harmless name. Nothing is kept of what is compressed, nor where a third of the body is NUL bytes
    (UTF-16, UTF-32). For bodies that must not leave, `"none"` is the setting.

    Examples
    --------
    >>> redact(b'{"user":"u-1","password":"hunter2","action":"token_issue",')
    b'{"user":"u-1","password":"***","action":"token_issue",'
    """
    if body.count(0) * 3 > len(body):
        return b""
    return _BEARER.sub(BLANK, _JWT.sub(BLANK, _without(body, _VALUE)))


def _without(body: bytes, names: re.Pattern[bytes]) -> bytes:
    """A message without the values that follow what matches, also where a name is written with escapes.

    Nothing of a compressed one: it may be cut anywhere, and what is in it is not seen.
    """
    if body.startswith(_GZIP):
        return b""
    kept: list[bytes] = []
    done = 0
    match = names.search(spelled := _ESCAPE.sub(_letter, body))
    body = body if match is None else spelled
    while match is not None:
        end, blank = _value_end(body, match.end())
        kept += (body[done : match.end()], blank)
        done = end
        match = names.search(body, end)
    kept.append(body[done:])
    return b"".join(kept)


def _letter(escape: re.Match[bytes]) -> bytes:
    """What an escape stands for, if that can be a name's: no quote, no control character, no half of a character."""
    if escape[1] is None:
        return b"/"
    units = [escape[1][:4], escape[1][-4:]][: 1 + (len(escape[1]) > 4)]
    text = json.loads(b'"\\u%b"' % b"\\u".join(units))
    return text.encode() if text.isprintable() and text not in '"\\' else escape[0]


def hide(body: bytes, names: tuple[str, ...]) -> bytes:
    """A message without the values of the members of these names, whatever the message is.

    >>> hide(b'{"code_id":"abc","a":1', ("code_id",))
    b'{"code_id":"***","a":1'
    """
    return _without(body, _named(names)) if names else body


@cache
def _named(names: tuple[str, ...]) -> re.Pattern[bytes]:
    spelled = {form for name in names for form in (name, json.dumps(name, ensure_ascii=False)[1:-1])}
    words = b"|".join(re.escape(form.encode()) for form in sorted(spelled))
    return re.compile(rb"(?<![\w.\-])(?:" + words + rb")(?:\\{0,8}+[\"'])[ \t\r\n]{0,64}+[:=][ \t\r\n]{0,64}+")


def _header(name: str, value: bytes | None, body: Body) -> dict[str, str | None]:
    shown = name[:_SHOWN_BYTES]
    hidden = value is None or body == "none" or (body == "redacted" and _VALUE.search(shown.encode() + b":"))
    return {"name": shown, "value": None if hidden else base64.b64encode(value[:_SHOWN_BYTES]).decode()}  # type: ignore[index]


def encode(dead: DeadLetter, topic: str, body: Body = "redacted") -> bytes:
    """One JSON object, without a line end; the body base64, null for `"none"`. `partition` is the source's name.

    `key` (base64) and `headers` (name and base64 value of each) are the record's, null where there are none. Of both
    the first KiB of each value and at most 32 headers are kept; where the body is redacted, values of headers that
    name secrets are null. `size` and `sha256` are those of the whole message, whatever is kept of it.

    Examples
    --------
    >>> encode(bury("empty", "a.ndjson", 3, 0, b""), "audit.events")[:70]
    b'{"stage":"decode","reason":"empty","topic":"audit.events","partition":'
    """
    kept = dead.body[:BODY_BYTES]
    letter: dict[str, Any] = {
        "stage": dead.stage,
        "reason": dead.reason,
        "topic": topic,
        "partition": dead.source.removeprefix(f"{topic}/"),
        "offset": dead.offset,
        "index": dead.index,
        "key": None if dead.key is None else base64.b64encode(dead.key[:_SHOWN_BYTES]).decode(),
        "headers": [_header(name, value, body) for name, value in dead.headers[:_SHOWN_HEADERS]] or None,
        "size": dead.size,
        "sha256": dead.sha256,
        "body": None if body == "none" else base64.b64encode(redact(kept) if body == "redacted" else kept).decode(),
        "detail": dead.detail.encode("utf-8", "replace").decode(),
    }
    return msgspec.json.encode(letter)
