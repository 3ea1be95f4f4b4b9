"""S3Proxy over a folder, in one JVM: what is written through S3 lies there as files."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kafka.errors import Failed
from tests.kafka.jars import class_path, kept, listed
from tests.kafka.java import java
from tests.kafka.node import LAUNCH
from tests.kafka.ports import LOOPBACK, Port

LIST = Path(__file__).with_name("jars.txt")
IDENTITY, SECRET = "lapwing", "a-secret-of-the-tests"
_READY_S = 120.0
_SHOWN = 40
_PROPERTIES = """\
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity={identity}
s3proxy.credential={secret}
s3proxy.endpoint={url}
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={data}
"""
_LOGGING = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%level %logger %msg%n</pattern></encoder>
  </appender>
  <root level="warn"><appender-ref ref="out"/></root>
</configuration>
"""


class ObjectStore:
    """An object store on a free loopback port, its data in a temporary directory that goes with it.

    `with ObjectStore() as store:` starts it and waits until it answers; at the end it is killed. On Linux it ends with
    the thread that started it.

    Raises `Unavailable` where the machine has no Java or the jars cannot be fetched, `Damaged`, and `Failed` with the
    end of the log where it does not start.
    """

    def __init__(self) -> None:
        self._java = java()
        self._port = Port()
        self.folder = Path(tempfile.mkdtemp(prefix="lapwing-object-store-"))
        self._log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start(class_path(listed(LIST.read_text()), kept("object-store")))
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
        self._port.free()
        shutil.rmtree(self.folder, ignore_errors=True)

    def bucket(self, name: str) -> Path:
        """Make a bucket; the folder that has its objects as files."""
        folder = self.folder / "data" / name
        folder.mkdir()
        return folder

    def environment(self, secret: str = SECRET) -> dict[str, str]:
        """What a process needs to come in: credentials from the environment, as for any S3."""
        return {
            "AWS_ENDPOINT_URL": self._url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": IDENTITY, "AWS_SECRET_ACCESS_KEY": secret,
        }  # fmt: skip

    @property
    def _url(self) -> str:
        return f"http://{LOOPBACK}:{self._port.number}"

    def _start(self, jars: str) -> None:
        (self.folder / "data").mkdir()
        settings, logging = self.folder / "s3proxy.conf", self.folder / "logback.xml"
        settings.write_text(
            _PROPERTIES.format(identity=IDENTITY, secret=SECRET, url=self._url, data=self.folder / "data")
        )
        logging.write_text(_LOGGING)
        command = [
            self._java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlogback.configurationFile={logging}", f"-Djava.io.tmpdir={self.folder}",
            "-cp", jars, "org.gaul.s3proxy.Main", "--properties", str(settings),
        ]  # fmt: skip
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, cwd=self.folder
            )

    def _wait(self) -> None:
        end = time.monotonic() + _READY_S
        while time.monotonic() < end:
            if self._process is not None and self._process.poll() is not None:
                raise Failed(f"the object store stopped with {self._process.returncode}:\n{self._tail()}")
            if self._port.answers():
                return
            time.sleep(0.05)
        raise Failed(f"waited {_READY_S:.0f} s in vain for the object store:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_SHOWN:])
