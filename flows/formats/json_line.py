"""JSON that is one line for every reader."""

from typing import Any, Final

import msgspec

_ESCAPES: Final = (
    (b"\n", b" "),
    (b"\r", b" "),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
    (b"\xef\xbb\xbf", b"\\ufeff"),
)


def one_line(text: bytes) -> bytes:
    r"""Valid JSON on one line, its meaning the same. The line separators of Unicode become escapes: some split there.

    >>> one_line('{"a":\n"b\u2028"}'.encode())
    b'{"a": "b\\u2028"}'
    """
    for raw, escape in _ESCAPES:
        text = text.replace(raw, escape)
    return text


def json_line(found: Any) -> bytes:
    """An object as JSON, on one line.

    >>> json_line({"a": 1})
    b'{"a":1}'
    """
    return one_line(msgspec.json.encode(found))
