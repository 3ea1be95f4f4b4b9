"""Jars of a server: a pinned list, fetched once for all clones, and used only while each is the one of the list."""

import hashlib
import os
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.kafka.errors import Damaged, Unavailable

LIST = Path(__file__).with_name("jars.txt")
MIRROR = "LAPWING_MAVEN"
"""Names the environment variable with the address of another Maven repository than the central one."""
_TRIES = 3


class Jar(NamedTuple):
    """One line of the list."""

    group: str
    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"


def listed(text: str) -> list[Jar]:
    """The jars of a list: `group:artifact:version sha256` a line, `#` begins a comment.

    >>> listed("# the broker\\norg.example:jar:1.0 ab12\\n")
    [Jar(group='org.example', name='jar', version='1.0', sha256='ab12')]
    """
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [Jar(*coordinates.split(":"), sha256) for coordinates, sha256 in lines]


def kept(what: str = "kafka") -> Path:
    """The folder of the user's cache that keeps the jars from one clone to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "lapwing" / what


def class_path(jars: list[Jar] | None = None, folder: Path | None = None) -> str:
    """A class path, the broker's if none is named, every jar in place and checked.

    `Unavailable` or `Damaged` if one cannot be had.
    """
    jars = listed(LIST.read_text()) if jars is None else jars
    folder = folder or kept()
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as several:
        warnings.simplefilter("ignore", ResourceWarning)  # jgo leaves a refused answer open
        return os.pathsep.join(several.map(lambda jar: str(_in_place(jar, folder)), jars))


def _in_place(jar: Jar, folder: Path) -> Path:
    path = folder / jar.file
    if path.exists() and _sha256(path) == jar.sha256:
        return path
    # Whole and checked before it has its name: whoever else fetches it, or stopped half-way, does not matter.
    with tempfile.TemporaryDirectory(prefix="partial-", dir=folder) as part:
        fetched = _fetched(jar, Path(part))
        got = _sha256(fetched)
        if got != jar.sha256:
            raise Damaged(f"{jar} is damaged: its SHA-256 is {got}, the list says {jar.sha256}")
        os.replace(fetched, path)
    return path


def _fetched(jar: Jar, folder: Path) -> Path:
    from jgo.maven import MavenContext
    from requests import RequestException

    mirror = os.environ.get(MIRROR)
    context = MavenContext(
        repo_cache=folder, local_repos=[], remote_repos={"mirror": mirror} if mirror else None, timeout=30
    )
    artifact = context.project(jar.group, jar.name).at_version(jar.version).artifact()
    failed = ""
    for _ in range(_TRIES):
        try:
            return Path(artifact.resolve())
        except (RequestException, RuntimeError) as error:
            failed = str(error)
            if artifact.cached_path:
                artifact.cached_path.unlink(missing_ok=True)
    raise Unavailable(f"{jar} cannot be fetched: {failed}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
