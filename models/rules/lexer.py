"""From the text of an expression to tokens that know their column."""

import re
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 4096
"""Bytes of UTF-8 in an expression."""
MAX_TEXT: Final = 256
"""Bytes of UTF-8 in a string of an expression."""

WORD, STRING, NUMBER, ADDRESS, SYMBOL, END = "word", "string", "number", "address", "symbol", "end"

_QUAD: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_TOKEN: Final = re.compile(
    rf"""(?P<space>[ \t\r\n]+)
    |(?P<address>(?:{_QUAD}(?![0-9A-Za-z_.:])|(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:.]+)(?:/[0-9]{{1,3}})?)
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_.:]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<symbol>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)  # fmt: skip
_CHUNK: Final = re.compile(r"[^ \t\r\n(),\[\]\"']+|.", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SIMPLE: Final = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "t": "\t", "r": "\r"}


class ExpressionError(ValueError):
    """What is wrong with an expression, and where: columns count characters from 1.

    >>> str(ExpressionError(14, "expected a number, got 'abc'"))
    "at column 14: expected a number, got 'abc'"
    """

    def __init__(self, column: int, text: str) -> None:
        super().__init__(f"at column {column}: {text}")
        self.column = column


@dataclass(slots=True, frozen=True)
class Token:
    """A piece of an expression: `text` as it is written, `value` of a string without quotes and escapes."""

    kind: str
    text: str
    column: int
    value: str = ""

    def shown(self) -> str:
        """The token as it may stand in a message: quoted, escaped, short.

        >>> Token(WORD, "abc", 1).shown(), Token(END, "", 4).shown()
        ("'abc'", 'the end')
        """
        if self.kind == END:
            return "the end"
        text = self.value if self.kind == STRING else self.text
        return ascii(text if len(text) <= 40 else text[:37] + "...")


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, END at its end.

    Raises
    ------
    ExpressionError
        At the first character that begins no token, at a string without end or with a bad escape, and if the text
        is longer than MAX_BYTES.

    >>> [token.text for token in tokens("status >= 500")]
    ['status', '>=', '500', '']
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ExpressionError(1, f"an expression has at most {MAX_BYTES} bytes")
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _no_token(text, at)
        kind, piece = match.lastgroup or "", match[0]
        if kind == STRING:
            found.append(Token(STRING, piece, at + 1, _unquoted(piece, at + 1)))
        elif kind != "space":
            found.append(Token(kind, piece, at + 1))
        at = match.end()
    found.append(Token(END, "", len(text) + 1))
    return found


def _no_token(text: str, at: int) -> ExpressionError:
    c = text[at]
    if c in "\"'":
        return ExpressionError(at + 1, "a string without its closing quote")
    match = _CHUNK.match(text, at)
    chunk = match[0] if match else c
    fix = {"=": "; write == to compare", "&": "; write and", "|": "; write or", "!": "; write not or !="}.get(c, "")
    if c in "0123456789-.":
        return ExpressionError(at + 1, f"expected a number or an address, got {Token(WORD, chunk, 0).shown()}")
    return ExpressionError(at + 1, f"unexpected {Token(WORD, chunk[:1] if fix else chunk, 0).shown()}{fix}")


def _unquoted(piece: str, column: int) -> str:
    """A string's value."""

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2] not in _SIMPLE:
            where = column + 1 + match.start()
            raise ExpressionError(where, f"unknown escape {match[0]!a}; a backslash itself is written twice")
        return _SIMPLE[match[2]]

    value = _ESCAPE.sub(one, piece[1:-1])
    try:
        value = value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ExpressionError(column, "half of a surrogate pair is no character") from None
    if len(value.encode()) > MAX_TEXT:
        raise ExpressionError(column, f"a string has at most {MAX_TEXT} bytes")
    return value
