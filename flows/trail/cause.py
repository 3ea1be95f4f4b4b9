"""What a library says of a failure, in one line that a person can act on."""

import re
from typing import Final

_LONGEST: Final = 300
_STEP: Final = re.compile(r"\s*(?:\x1b\[\d+m)?↳(?:\x1b\[\d+m)?\s*")
"""Between an error of the object store and what caused it."""
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")


def cause(error: Exception) -> str:
    """What failed, and the first cause of it, in one line of a bearable length.

    What an object store answers is quoted by its message alone: the rest may repeat what was signed with a secret key.

    >>> cause(OSError("Generic S3 error\\n ↳ GET http://... \\n  ↳ 404 Not Found\\n   ↳ <Error>"
    ...     "<Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>"))
    'Generic S3 error (404 Not Found: The bucket does not exist)'
    >>> cause(OSError("Generic S3 error\\n ↳ tcp connect error\\n  ↳ Connection refused (os error 111)"))
    'Generic S3 error (Connection refused (os error 111))'
    >>> cause(ValueError("one\\ntwo")), cause(ValueError())
    ('one', 'ValueError')
    """
    failed, *steps = _STEP.split(str(error))
    said = _first_line(failed) or type(error).__name__
    if steps:
        *before, last = steps
        if last.lstrip().startswith(("<", "{")):
            message = _MESSAGE.search(last)
            last = ": ".join(filter(None, (before[-1] if before else "", message and message[1])))
        if last := _first_line(last):
            said = f"{said} ({last})"
    return said[:_LONGEST]


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")
