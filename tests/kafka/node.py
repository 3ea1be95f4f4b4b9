"""One broker and controller in one JVM."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kafka.errors import Failed
from tests.kafka.java import java
from tests.kafka.ports import LOOPBACK, Port

LAUNCH = Path(__file__).with_name("launch.py")
_SHOWN = 40
_QUICK = ("-XX:TieredStopAtLevel=1",)
"""A third less work until it is up."""
_STARTER = ThreadPoolExecutor(1, "kafka-starter")
"""Linux ends a broker with the thread that started it. This one lives as long as the process, its caller may not."""


class Node:
    """A broker of a cluster. Its ports stay its own from one start to the next; every process is ended by its id."""

    def __init__(self, number: int, folder: Path, class_path: str, ports: dict[str, Port]) -> None:
        self.number = number
        self.folder = folder
        self.ports = ports
        """By the listener's name."""
        self.log = folder / "server.log"
        self._class_path = class_path
        self._properties = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, listener: str) -> str:
        return f"{LOOPBACK}:{self.ports[listener].number}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def format(self, cluster_id: str, properties: dict[str, str], *words: str) -> None:
        """Write the configuration and an empty data directory. `Failed` says why it could not."""
        self.folder.mkdir()
        (self.folder / "hosts").write_text(f"{LOOPBACK} localhost\n")
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        command = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config", str(self._properties)]
        done = subprocess.run(
            [*self._java("64m", *_QUICK), *command, *words], capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            raise Failed(f"node {self.number} could not be formatted:\n{done.stdout}{done.stderr}")

    def start(self, heap: str, *, lasting: bool = False) -> None:
        """Begin the process; it is not ready yet. One that is `lasting` compiles itself better, and for longer."""
        assert self.pid is None, f"node {self.number} runs already"
        command = [*self._java(heap, *([] if lasting else _QUICK)), "kafka.Kafka", str(self._properties)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), *command]
        with self.log.open("ab") as log:
            begin = _STARTER.submit(
                subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
            self._process = begin.result()

    def listens(self) -> bool:
        """Whether each of its ports answers."""
        return all(port.answers() for port in self.ports.values())

    def check(self) -> None:
        """`Failed`, with the end of the log, if the process has stopped by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise Failed(f"node {self.number} stopped with {self._process.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_SHOWN:]) if self.log.exists() else ""

    def stop(self, wait_s: float = 20.0) -> None:
        """SIGTERM: the broker hands over its partitions and closes its files. Killed if that lasts too long.

        It does for a node whose quorum is gone.
        """
        self._end(signal.SIGTERM, wait_s)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL, 60.0)

    def free(self) -> None:
        """Give up the ports."""
        for port in self.ports.values():
            port.free()

    def _end(self, by: signal.Signals, wait_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(by)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _java(self, heap: str, *options: str) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger."
        return [
            java(), *options, f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
            "-Djava.net.preferIPv4Stack=true",
            f"-Djdk.net.hosts.file={self.folder / 'hosts'}",  # names are looked up nowhere else
            f"{quiet}defaultLogLevel=info", f"{quiet}log.org.apache.kafka.common.config.AbstractConfig=warn",
            f"{quiet}showDateTime=true", f"{quiet}dateTimeFormat=HH:mm:ss.SSS",
            "-Dlog4j.provider=org.apache.logging.log4j.simple.internal.SimpleProvider",  # only log4j's API is there
            "-cp", self._class_path,
        ]  # fmt: skip
