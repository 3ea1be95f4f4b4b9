"""Reading JSON objects that others wrote: a member of the wrong type is as good as none, and nothing raises."""

import unicodedata
from itertools import islice
from typing import Any, Final

import msgspec

MOST_CHANGES: Final = 64
"""Changes taken from one event; more say nothing new about it."""

Record = dict[str, Any]

_NO_MEMBERS: Final[Record] = {}
_NO_ENTRIES: Final[list[Any]] = []
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_SECRET: Final = (
    "passw", "pwd", "secret", "token", "credential", "privatekey", "private_key", "recovery", "otp", "cookie", "hash",
    "salt", "assertion", "key", "answer",
)  # fmt: skip

_SECRET_NAMES: Final = frozenset({"pin", "sott", "value", "code", "ticket", "configuration"})


def members(record: Record, name: str) -> Record:
    """The object under a name, empty where there is none. It must not be written to.

    >>> members({"actor": {"id": "u-1"}}, "actor"), members({"actor": 7}, "actor")
    ({'id': 'u-1'}, {})
    """
    value = record.get(name)
    return value if type(value) is dict else _NO_MEMBERS


def under(record: Any, *path: str) -> Any:
    """What stands under a name in the object under another, and so on; None where there is no such.

    >>> under({"city": {"names": {"en": "Basel"}}}, "city", "names", "en"), under({"city": 7}, "city", "names")
    ('Basel', None)
    """
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def entries(record: Record, name: str) -> list[Any]:
    """The list under a name, empty where there is none. It must not be written to.

    >>> entries({"target": [1]}, "target"), entries({"target": None}, "target")
    ([1], [])
    """
    value = record.get(name)
    return value if type(value) is list else _NO_ENTRIES


def text(record: Record, name: str) -> str:
    """The string under a name, empty where there is none.

    >>> text({"type": "LOGIN"}, "type"), text({"type": ["LOGIN"]}, "type")
    ('LOGIN', '')
    """
    value = record.get(name)
    return value if type(value) is str else ""


def code(record: Record, name: str) -> str:
    """A code that platforms write as a string or as a number, as a string.

    >>> code({"resultType": 50126}, "resultType"), code({"resultType": "0"}, "resultType")
    ('50126', '0')
    """
    value = record.get(name)
    if type(value) is str:
        return value
    return str(value) if type(value) is int and -(10**12) < value < 10**12 else ""


def normal(value: Any) -> Any:
    """A user's name as the user entity has it, whatever member it stands in; anything else as it is.

    >>> normal("Sam@Example.com"), normal("\\uff33am"), normal(7)
    ('sam@example.com', 'sam', 7)
    """
    if type(value) is not str or len(value) > 1024:
        return value
    return value.lower() if value.isascii() else unicodedata.normalize("NFKC", value).lower()


def utc(value: Any) -> Any:
    """A time of a platform that writes UTC, with its offset where a store on the way has dropped it.

    >>> utc("2024-01-01 10:00:00.5"), utc("2024-01-01T10:00:00+02:00"), utc(1700000000)
    ('2024-01-01 10:00:00.5Z', '2024-01-01T10:00:00+02:00', 1700000000)
    """
    if type(value) is not str or not value or value[-1] == "Z" or "+" in value or "-" in value[19:]:
        return value
    return value + "Z" if 19 <= len(value) <= 40 and value[-1].isdigit() else value


def parsed(value: Any) -> Any:
    """The JSON value inside a string, None where it holds none.

    >>> parsed('{"email":"a@x"}'), parsed("{")
    ({'email': 'a@x'}, None)
    """
    if type(value) is not str:
        return None
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def is_secret(path: str) -> bool:
    """Whether a member of this name may hold a secret: then its values are never kept.

    >>> is_secret("user.password"), is_secret("email")
    (True, False)
    """
    name = path.lower()
    return name.rpartition(".")[2] in _SECRET_NAMES or any(word in name for word in _SECRET)


def change(path: str, old: Any = None, new: Any = None) -> Record:
    """A change of a profile; values that may be secret are left out, and so are absent ones.

    >>> change("email", "a@x", "b@x"), change("password", None, "hunter2")
    ({'path': 'email', 'old': 'a@x', 'new': 'b@x'}, {'path': 'password'})
    """
    changed: Record = {"path": path}
    if not is_secret(path):
        if old is not None:
            changed["old"] = old
        if new is not None:
            changed["new"] = new
    return changed


def fields(profile: Any) -> list[Record]:
    """What a profile was set to, as changes: scalars at most one object deep.

    >>> fields({"email": "b@x", "attributes": {"city": "Gent"}, "credentials": [{"value": "hunter2"}]})
    [{'path': 'email', 'new': 'b@x'}, {'path': 'attributes.city', 'new': 'Gent'}, {'path': 'credentials'}]
    """
    if type(profile) is not dict:
        return []
    changes: list[Record] = []
    for name, value in profile.items():
        if type(value) is dict and value and not is_secret(name):
            changes += [change(f"{name}.{inner}", None, plain(of)) for inner, of in islice(value.items(), MOST_CHANGES)]
        else:
            changes.append(change(name, None, plain(value)))
        if len(changes) >= MOST_CHANGES:
            break
    return changes[:MOST_CHANGES]


def plain(value: Any) -> Any:
    """A scalar, or a list of one as platforms write attributes, else None: containers may hold secrets.

    >>> plain(["Gent"]), plain({"value": "hunter2"})
    ('Gent', None)
    """
    if type(value) is list and len(value) == 1:
        value = value[0]
    return value if type(value) in _SCALARS else None


def spelled(record: Record, names: dict[str, str]) -> Record:
    """A record whose members a store on the way has put into lower case, with the platform's own names.

    >>> spelled({"eventtype": "user.session.start"}, {"eventtype": "eventType"})
    {'eventType': 'user.session.start'}
    """
    return {names.get(name, name): value for name, value in record.items()}
