"""Which records may hold a secret, by what is found in them anyway: most hold none, and need no walk for it."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from flows.formats.blank import ANY, Paths
from flows.formats.reads import LAST, Path, place
from models.kernels.exposed import ANYTHING, END, INTO, LIST, SECRET


class Watch(NamedTuple):
    """The rule for what stands at a node (`models.kernels.exposed`), and the names that secrets in it end with."""

    rule: int
    words: frozenset[str]


def watched(secrets: Paths, read: Collection[Path]) -> dict[Path, Watch] | None:
    """What to look at for secrets beside the nodes that are read.

    A secret's path is followed as far as something below is read, and one step on: into a value that is read as a whole
    nothing looks, as records that differ in it would seem alike then. None where that does not do, so that secrets must
    be blanked before anything is found: one is itself read, or its path begins with any member.

    >>> read = [(), ("debug",), ("debug", "id"), ("target",)]
    >>> found = watched((("debug", "cookie"), ("target", "*", "key"), ("target", "pin")), read)
    >>> [(path, found[path].rule, *sorted(found[path].words)) for path in sorted(found)]
    [((), 0), (('debug',), 0), (('debug', 'cookie'), 4), (('target',), 2, 'key', 'pin')]
    >>> watched((("debug", "cookie"),), [(), ("debug",), ("debug", "cookie")]) is None
    True
    """
    rules: dict[Path, Watch] = {}
    known = frozenset(read)
    inner = frozenset({(), *(path[:-1] for path in known if path)})
    for secret in filter(None, secrets):
        if secret[0] == ANY or any(_covers(secret, path) for path in known):
            return None
        for path, rule in _followed(secret, known, inner, ()):
            before = rules.get(path, Watch(INTO, frozenset()))
            words = {secret[-1]} if rule in (LIST, END) else set()
            rules[path] = Watch(max(rule, before.rule), before.words | words)
    return rules


def _followed(secret: Path, known: frozenset[Path], inner: frozenset[Path], above: Path) -> Iterator[tuple[Path, int]]:
    """What to look at for a secret below `above`."""
    step, rest = secret[0], secret[1:]
    end = ANYTHING if secret[-1] == ANY else END
    if above not in inner:
        yield above, end
    elif step == ANY:
        elements = [path for path in known if path and path[:-1] == above and place(path[-1]) is not None]
        if not elements or not rest or any(path[-1] == LAST for path in elements):
            yield above, end
            return
        yield above, LIST
        for path in elements:
            yield from _followed(rest, known, inner, path)
    else:
        yield above, INTO
        if rest:
            yield from _followed(rest, known, inner, (*above, step))
        else:
            yield (*above, step), SECRET


def _covers(secret: Path, path: Path) -> bool:
    """Whether a value at a path is a secret, or in one."""
    return len(secret) <= len(path) and all(step in (ANY, own) for step, own in zip(secret, path, strict=False))
