"""The directory that OpenSearch runs from: its jars by module, and its configuration."""

import os
from pathlib import Path

from tests.kafka.jars import class_path, kept, listed
from tests.kafka.ports import LOOPBACK

LISTS = Path(__file__).with_name("jars")
SERVER = LISTS / "server.txt"
MODULES = {
    "ingest-common": ("org.opensearch.ingest.common.IngestCommonModulePlugin", "lang-painless"),
    "lang-mustache": ("org.opensearch.script.mustache.MustacheModulePlugin", ""),
    "lang-painless": ("org.opensearch.painless.PainlessModulePlugin", ""),
    "transport-netty4": ("org.opensearch.transport.Netty4ModulePlugin", ""),
}
"""What a module is, and which other it extends. Each has a list of jars of its name."""
_SETTINGS = """\
cluster.name: lapwing-tests
node.name: one
discovery.type: single-node
network.host: {host}
http.port: {http}
transport.port: {transport}
path.data: {home}/data
path.logs: {home}/logs
# A full disk of the machine is none of a test's business.
cluster.routing.allocation.disk.threshold_enabled: false
# What a mapping does not foresee is an error here, never an index by surprise.
action.auto_create_index: false
# For Windows' consoles only, and in need of native code.
bootstrap.ctrlhandler: false
"""
_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%p][%c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def version() -> str:
    """The version of the jars that are listed."""
    return next(jar.version for jar in listed(SERVER.read_text()) if jar.name == "opensearch")


def lay(home: Path, http: int, transport: int) -> str:
    """Fill a new directory and give the class path. `Unavailable` or `Damaged` if a jar cannot be had."""
    for name, (plugin, extended) in MODULES.items():
        module = home / "modules" / name
        module.mkdir(parents=True)
        for jar in _jars(LISTS / f"{name}.txt").split(os.pathsep):
            (module / Path(jar).name).symlink_to(jar)
        # Its own archive would bring this file; the jars of a module do not hold it.
        (module / "plugin-descriptor.properties").write_text(
            f"name={name}\ndescription={name}\nversion={version()}\nopensearch.version={version()}\n"
            f"java.version=21\nclassname={plugin}\nextended.plugins={extended}\nhas.native.controller=false\n"
        )
    for name in ("config", "data", "lib", "logs"):
        (home / name).mkdir()
    settings = _SETTINGS.format(host=LOOPBACK, http=http, transport=transport, home=home)
    (home / "config" / "opensearch.yml").write_text(settings)
    (home / "config" / "log4j2.properties").write_text(_LOGGING)
    return _jars(SERVER)


def _jars(of: Path) -> str:
    return class_path(listed(of.read_text()), kept("opensearch"))
