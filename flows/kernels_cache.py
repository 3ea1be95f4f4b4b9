"""Where numba keeps compiled kernels, and whether these kernels have been compiled there before."""

import atexit
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import models
from flows.durable import place

_FOLDER = "lapwing-kernels-"
_KEPT = 3
_COMPLETE = "complete"


def prepare() -> Path:
    """The folder of these kernels' compiled form, made if need be. Imported numba looks for it in NUMBA_CACHE_DIR.

    It is named by a fingerprint of all that is compiled in (sources, numba, Python, processor): numba itself only looks
    at a function's own file, and would go on with code that an edited constant or callee has made wrong. It lies in, in
    this order: NUMBA_CACHE_DIR, the package's own folder, the user's cache folder, and at worst a temporary folder
    that goes with the process. numba refuses a folder that it cannot write to: where the package's own is complete and
    read-only, as in an image, the chosen folder begins as a copy of it, and nothing is compiled. A read-only
    installation without compiled kernels costs compilation at every start but never a failure.
    The last three fingerprints are kept.
    """
    folder = _base() / (_FOLDER + _fingerprint())
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if not folder.exists():
        with suppress(OSError):
            _begin(folder, _package() / folder.name)
            old = sorted(folder.parent.glob(_FOLDER + "*"), key=lambda path: path.stat().st_mtime)
            for path in old[:-_KEPT]:
                shutil.rmtree(path, ignore_errors=True)
    return folder


def _begin(folder: Path, shipped: Path) -> None:
    """Make a folder, as a copy of what came with the package if that is complete."""
    if (shipped / _COMPLETE).exists():
        place(folder, partial(_copy, shipped))
    else:
        folder.mkdir(parents=True, exist_ok=True)


def _copy(shipped: Path, to: Path) -> None:
    """The bytes alone: what is read-only where it comes from must be writable here."""
    for one in filter(Path.is_file, shipped.rglob("*")):
        copy = to / one.relative_to(shipped)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one, copy)


def _package() -> Path:
    return Path(models.__file__).parent / "kernels" / "__pycache__"


def _base() -> Path:
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    if wanted:
        # A parent process may have prepared already.
        chosen = Path(wanted).parent if Path(wanted).name.startswith(_FOLDER) else Path(wanted)
        if _writable(chosen):
            return chosen
    if _writable(_package()):
        return _package()
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "lapwing"
    if _writable(home):
        return home
    temporary = Path(tempfile.mkdtemp(prefix="lapwing-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary


def announce(say: Callable[[str], None]) -> Callable[[], None]:
    """Say that kernels will be compiled if no run before has done so; give what to call once they are."""
    mark = prepare() / _COMPLETE
    if mark.exists():
        return lambda: None
    say("compiling kernels, once for this installation (a minute or two) ...")

    def settle() -> None:
        try:
            mark.touch()
        except OSError as error:
            say(f"the next run will compile again: {error.strerror}")

    return settle


def compiled() -> bool:
    """Whether a run before has compiled all kernels."""
    return (prepare() / _COMPLETE).exists()


def load_numba() -> None:
    """Import what numba otherwise imports with the first call of a kernel (most of a second)."""
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


@cache
def _fingerprint() -> str:
    root = Path(models.__file__).parent
    digest = blake2b(digest_size=8)
    for part in (version("numba"), sys.version, platform.machine(), platform.processor()):
        digest.update(part.encode() + b"\0")
    for source in [root / "base.py", *sorted((root / "kernels").glob("*.py"))]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
