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

    A secret's path is followed as far as there are nodes that are read, and one step on. None where that does not do,
    so that secrets must be blanked before anything is found: one is itself read, or its path begins with any member.

    >>> found = watched((("debug", "cookie"), ("target", "*", "key")), [(), ("debug",), ("target",)])
    >>> [(path, found[path].rule, *found[path].words) for path in sorted(found)]
    [((), 0), (('debug',), 0), (('debug', 'cookie'), 4), (('target',), 2, 'key')]
    >>> watched((("debug", "cookie"),), [(), ("debug",), ("debug", "cookie")]) is None
    True
    """
    rules: dict[Path, Watch] = {}
    known = frozenset(read)
    for secret in filter(None, secrets):
        if secret[0] == ANY or any(_covers(secret, path) for path in known):
            return None
        for path, rule in _followed(secret, known, ()):
            before = rules.get(path, Watch(INTO, frozenset()))
            words = {secret[-1]} if rule in (LIST, END) else set()
            rules[path] = Watch(max(rule, before.rule), before.words | words)
    return rules


def _followed(secret: Path, known: frozenset[Path], above: Path) -> Iterator[tuple[Path, int]]:
    """What to look at for a secret below `above`, which is read."""
    step, rest = secret[0], secret[1:]
    end = ANYTHING if secret[-1] == ANY else END
    if step == ANY:
        elements = [path for path in known if path and path[:-1] == above and place(path[-1]) is not None]
        if not elements or not rest or any(path[-1] == LAST for path in elements):
            yield above, end
            return
        yield above, LIST
        for path in elements:
            yield from _followed(rest, known, path)
        return
    path = (*above, step)
    yield above, INTO
    if rest and path in known:
        yield from _followed(rest, known, path)
    else:
        yield path, end if rest else SECRET


def _covers(secret: Path, path: Path) -> bool:
    """Whether a value at a path is a secret, or in one."""
    return len(secret) <= len(path) and all(step in (ANY, own) for step, own in zip(secret, path, strict=False))
