"""A real rsyslogd in the foreground, with a configuration, a directory and ports of its own."""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from tests.kafka.ports import LOOPBACK, Port

PROGRAM = "rsyslogd"
_READY_S = 60.0
_CONFIG = """\
global(
  workDirectory="{folder}"
  maxMessageSize="256k"
  parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="{folder}/authority.pem"
  defaultNetstreamDriverCertFile="{folder}/server.pem"
  defaultNetstreamDriverKeyFile="{folder}/server.key"
)
module(load="imtcp")
template(name="parsed" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="procid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
  property(outname="raw" name="rawmsg" format="jsonf")
}}
ruleset(name="kept") {{ action(type="omfile" file="{folder}/received.ndjson" template="parsed") }}
input(type="imtcp" address="{host}" port="{tcp}" ruleset="kept")
input(
  type="imtcp" address="{host}" port="{tls}" ruleset="kept"
  streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon"
)
"""


class Rsyslog:
    """Receives RFC 5424 over TCP and over TLS, and writes what it understood of each message as a line of JSON.

    It is ended by its id, its files go with it. Debian's packages are rsyslog and rsyslog-openssl.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lapwing-rsyslog-"))
        self._tcp, self._tls = Port(), Port()
        authority = trustme.CA()
        self.authority = self.folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        server = authority.issue_cert(LOOPBACK)
        server.private_key_pem.write_to_path(str(self.folder / "server.key"))
        (self.folder / "server.pem").write_bytes(b"".join(each.bytes() for each in server.cert_chain_pems))
        self.received = self.folder / "received.ndjson"
        self.received.touch()
        self._config = self.folder / "rsyslog.conf"
        self._config.write_text(
            _CONFIG.format(folder=self.folder, host=LOOPBACK, tcp=self._tcp.number, tls=self._tls.number)
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def tcp(self) -> tuple[str, int]:
        """Where it listens in clear."""
        return LOOPBACK, self._tcp.number

    @property
    def tls(self) -> tuple[str, int]:
        """Where it listens with the certificate of `authority`."""
        return LOOPBACK, self._tls.number

    def __enter__(self) -> Self:
        program = shutil.which(PROGRAM) or f"/usr/sbin/{PROGRAM}"
        with (self.folder / "said.log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-n", "-f", str(self._config), "-i", str(self.folder / "pid")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self._until(lambda: self._tcp.answers() and self._tls.answers(), "it listens")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and remove its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for port in (self._tcp, self._tls):
            port.free()
        shutil.rmtree(self.folder, ignore_errors=True)

    def messages(self, at_least: int) -> list[dict[str, Any]]:
        """What it has written, once it has written as many."""
        self._until(lambda: self._lines() >= at_least, f"{at_least} messages have come")
        return [json.loads(line) for line in self.received.read_bytes().split(b"\n")[:-1]]

    def _lines(self) -> int:
        return self.received.read_bytes().count(b"\n")

    def _until(self, holds: Any, what: str) -> None:
        end = time.monotonic() + _READY_S
        while not holds():
            said = (self.folder / "said.log").read_text(errors="replace")
            assert self._process is not None
            assert self._process.poll() is None, f"rsyslogd stopped:\n{said}"
            assert time.monotonic() < end, f"waited {_READY_S:.0f} s in vain until {what}; {self._lines()} came\n{said}"
            time.sleep(0.02)
