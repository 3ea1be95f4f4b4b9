"""Processes that begin where a prepared one stands: with all imported and the kernels loaded.

That costs a process seconds before its first line, and the tests start a thousand of them. Each is a process like
another, with an id, signals, files and an end of its own, and a child of who asked for it; it is only forked from one
that waits instead of being loaded. What a start itself must show (the console script, an environment that holds before
the first import, a limit) is a test with `tests.command.run`.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_SET_CHILD_SUBREAPER = 36
_READ_AT_IMPORT = ("NUMBA_", "PYTHON", "XDG_", "HOME", "MALLOC_", "LD_")
_SET_BY_ALL = "NUMBA_CACHE_DIR"
"""Whoever imports the kernels sets it, to the same for all."""
_BEFORE = {**os.environ}
"""As it is before a test changes it."""


class Prepared(subprocess.Popen[Any]):
    """`Popen` of the console script or of `python -m MODULE` without options of Python, without its start."""

    def _execute_child(
        self, args: Sequence[str], executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any,
        startupinfo: Any, creationflags: Any, shell: Any, p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int,
        errread: int, errwrite: int, *_: Any,
    ) -> None:  # fmt: skip
        if executable or preexec_fn or pass_fds or shell:
            raise ValueError("this is for subprocess.Popen")
        given = ((p2cread, 0), (c2pwrite, 1), (errwrite, 2))
        files = [own if other == -1 else other for other, own in given]
        job = {"words": [*map(str, args)], "folder": str(cwd or os.getcwd()), "environment": {**(env or os.environ)}}
        self.pid = _waiting().fork(job, files)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


def started(words: Sequence[str], **how: Any) -> "subprocess.Popen[Any]":
    """A process, forked from the prepared one unless its environment has what is read before `main` begins.

    It is started where this is no Linux.
    """
    env = how.get("env") or os.environ
    forked = sys.platform == "linux" and _early(env) == _early(_BEFORE)
    return (Prepared if forked else subprocess.Popen)(words, **how)


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value for key, value in environment.items() if key.startswith(_READ_AT_IMPORT) and key != _SET_BY_ALL
    }  # fmt: skip


class _Waiting:
    """The process that waits to be forked."""

    def __init__(self) -> None:
        self._one = threading.Lock()
        self._channel, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prepared", str(other.fileno())], pass_fds=[other.fileno()], cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=_BEFORE,
            )  # fmt: skip
        atexit.register(self._end)

    def fork(self, job: dict[str, Any], files: list[int]) -> int:
        """The id of a new process, a child of this one."""
        with self._one, os.fdopen(os.memfd_create("job"), "w+b") as content:
            content.write(json.dumps(job).encode())
            content.flush()
            _adopt(True)
            try:
                socket.send_fds(self._channel, [b"\0"], [content.fileno(), *files])
                pid = int.from_bytes(self._channel.recv(8), "big")
            finally:
                _adopt(False)
        assert pid, "the prepared process is gone"
        return pid

    def _end(self) -> None:
        self._channel.close()
        self._process.wait()


@cache
def _waiting() -> _Waiting:
    return _Waiting()


def _adopt(wanted: bool) -> None:
    """Whether processes that lose their parent become children of this one."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def prepare() -> None:
    """Import what commands import, and load the kernels."""
    import flows

    for module in pkgutil.walk_packages(flows.__path__, "flows."):
        importlib.import_module(module.name)
    from flows.config import load
    from flows.kernels_cache import load_numba
    from flows.parts import rehearse

    load_numba()
    rehearse(load(str(ROOT / "deploy" / "kernels.toml")))
    gc.collect()
    gc.freeze()


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each who asks; in the child gives what it is to be, here `None` once nobody asks any more."""
    while True:
        message, files, _, _ = socket.recv_fds(channel, 1, 4)
        if not message:
            return None
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: those of OpenBLAS know of forks
            between = os.fork()
            if between == 0 and (child := os.fork()):
                os.write(writing, child.to_bytes(8, "big"))
                os._exit(0)  # and so the child becomes one of who asked
        os.close(writing)
        if between == 0:
            os.close(reading)
            channel.close()
            return _become(files)
        os.waitpid(between, 0)
        channel.sendall(os.read(reading, 8))
        for file in (reading, *files):
            os.close(file)


def _become(files: list[int]) -> dict[str, Any]:
    content, *standard = files
    size = os.fstat(content).st_size
    job: dict[str, Any] = json.loads(os.pread(content, size, 0))
    for own, file in enumerate(standard):
        os.dup2(file, own)
    for file in files:
        os.close(file)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    time.tzset()
    tempfile.tempdir = None
    return job


def _main(words: list[str]) -> None:
    """What the words begin, in this process, to its end."""
    code: Any = None
    try:
        if words[1:2] == ["-m"]:
            sys.argv = words[2:]
            runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        else:
            from flows.cli import main

            sys.argv = words
            main()
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            raise
    # As the interpreter ends, but for taking apart all that was imported: that would copy it first.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    prepare()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        wanted = _serve(asked)
    if wanted is None:
        os._exit(0)
    _main(wanted["words"])
