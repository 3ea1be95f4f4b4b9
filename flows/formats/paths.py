"""Paths into a parsed JSON object, as a declared mapping writes them: `client.ip`, `targets[0].id`, `"a.b"[*].c`."""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Step: TypeAlias = str | int | None
"""A member's name, a place in a list (below zero from its end), or None for any member or element."""
Steps: TypeAlias = tuple[Step, ...]

MOST_STEPS: Final = 16
MOST_ANY: Final = 2
"""So many `*` may stand in a path: each is a loop within the one before."""
MOST_ELEMENTS: Final = 64
"""So many elements or members are looked at for a `*`."""
LONGEST: Final = 512

_STEP: Final = re.compile(
    r"(?P<dot>\.)?(?:\[(?P<place>\*|-?\d{1,4})\]|(?P<any>\*)|\"(?P<quoted>(?:[^\"\\]|\\[\"\\])*)\"|(?P<bare>[^.\[\]\"*\s]+))"
)


def parse(text: str) -> Steps:
    """The steps of a path.

    A dot parts members, `[0]` is an element (`[-1]` the last), `*` or `[*]` any; a name that has a dot, a bracket, a
    space or a `*` of its own stands in double quotes.

    Raises
    ------
    ValueError
        If it is no path; says where it stops being one.

    >>> parse('user."e.mail"'), parse("targets[0].id"), parse("changes[*].field")
    (('user', 'e.mail'), ('targets', 0, 'id'), ('changes', None, 'field'))
    """
    if len(text) > LONGEST:
        raise ValueError(f"Expected a path of at most {LONGEST} characters")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        bracket = found is not None and found["place"] is not None
        if found is None or (found["dot"] is not None) != (bool(steps) and not bracket):
            break
        at = found.end()
        if bracket or found["any"]:
            steps.append(None if "*" in (found["place"], found["any"]) else int(found["place"]))
        else:
            steps.append(found["bare"] or re.sub(r"\\(.)", r"\1", found["quoted"], flags=re.DOTALL))
    if at < len(text) or not steps:
        where = f" at character {at + 1}" if text else ""
        raise ValueError(f'Expected a path such as client.ip, targets[0].id or "a.b".c{where}')
    if len(steps) > MOST_STEPS or steps.count(None) > MOST_ANY:
        raise ValueError(f"Expected a path of at most {MOST_STEPS} steps, at most {MOST_ANY} of them *")
    return tuple(steps)


def spell(steps: Steps) -> str:
    """A path's text, which `parse` reads again.

    >>> spell(("user", "e.mail", 0, None))
    'user."e.mail"[0].*'
    """
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        name = "*" if step is None else step
        if step is not None and re.fullmatch(r"[^.\[\]\"*\s]+", name) is None:
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        text += ("." if text else "") + name
    return text


def getter(steps: Steps) -> Callable[[Any], Any]:
    """What finds the value at a path: None where there is none, or only null or an empty string.

    Behind a `*` the first value that there is counts. Never raises, whatever the object.

    >>> getter(parse("targets[*].id"))({"targets": [{"name": "x"}, {"id": "u-1"}, {"id": "u-2"}]})
    'u-1'
    """
    if None in steps:
        return lambda value: _search(value, steps, 0)
    if len(steps) == 1 and isinstance(steps[0], str):
        name = steps[0]

        def member(value: Any) -> Any:
            found = value.get(name) if isinstance(value, dict) else None
            return None if found == "" else found

        return member

    def walk(value: Any) -> Any:
        for step in steps:
            if isinstance(value, dict):
                value = value.get(step)
            else:
                value = _element(value, step)
            if value is None:
                return None
        return None if value == "" else value

    return walk


def _element(value: Any, step: Step) -> Any:
    if isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
        return value[step]
    return None


def _search(value: Any, steps: Steps, at: int) -> Any:
    while at < len(steps) and steps[at] is not None:
        value = value.get(steps[at]) if isinstance(value, dict) else _element(value, steps[at])
        at += 1
    if at == len(steps):
        return None if value == "" else value
    inner = [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for one in inner[:MOST_ELEMENTS]:
        found = _search(one, steps, at + 1)
        if found is not None:
            return found
    return None
