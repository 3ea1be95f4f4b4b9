"""Where numba keeps compiled kernels, and whether these kernels have been compiled there before."""

import atexit
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import models


def prepare() -> Path:
    """A folder for compiled kernels that can be written. To be called before anything imports numba.

    In order: NUMBA_CACHE_DIR, the package's own folder, the user's cache folder, and at worst a temporary folder that
    goes with the process, so that a read-only installation costs compilation at every start but never a failure.
    """
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    if wanted and _writable(Path(wanted)):
        return Path(wanted)
    package = Path(models.__file__).parent / "kernels" / "__pycache__"
    if _writable(package):
        return package
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "lapwing"
    if not _writable(folder):
        folder = Path(tempfile.mkdtemp(prefix="lapwing-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


def announce(say: Callable[[str], None]) -> Callable[[], None]:
    """Say that kernels will be compiled if no run before has done so; give what to call once they are.

    A run that ends well leaves a mark with the fingerprint of the sources, of numba, Python and the processor beside
    the compiled kernels: delete the one and the other is gone too. A mark that cannot be written is no fault.
    """
    folder = prepare()
    mark = folder / f"lapwing-{_fingerprint()}.compiled"
    if mark.exists():
        return lambda: None
    say("compiling kernels, once for this installation (about a minute) ...")

    def settle() -> None:
        try:
            for old in folder.glob("lapwing-*.compiled"):
                old.unlink()
            mark.touch()
        except OSError as error:
            say(f"the next run will compile again: {error.strerror}")

    return settle


def _fingerprint() -> str:
    root = Path(models.__file__).parent
    digest = blake2b(digest_size=8)
    for part in (version("numba"), sys.version, platform.machine(), platform.processor()):
        digest.update(part.encode() + b"\0")
    for source in sorted(root.rglob("*.py")):
        text = source.read_bytes()
        if b"njit" in text:
            digest.update(str(source.relative_to(root)).encode() + b"\0" + text + b"\0")
    return digest.hexdigest()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
