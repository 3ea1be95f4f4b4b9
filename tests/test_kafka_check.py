"""`lapwing check --connect` against a real broker; what it prints is run with Kafka's own commands."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import lapwing, run, said
from tests.kafka.endpoint import Endpoint
from tests.kafka.fixture import here
from tests.kafka.jars import class_path
from tests.kafka.java import java
from tests.kafka.secured import SecuredBroker
from tests.kafka_admin import deleted, group_offsets
from tests.kafka_runs import Site, eventually
from tests.test_kafka_start import events, scored

COMPACT = {"cleanup.policy": "compact"}
GOOD = {"latest": COMPACT, "verdicts": COMPACT, "markers": COMPACT, "scored": {"max.message.bytes": "2000000"}}
CLASSES = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
}


def checked(site: Site, code: int, *words: str, **how: Any) -> dict[str, Any]:
    """What the command finds, as JSON."""
    done = lapwing("check", site.path, "--connect", "--json", *words, **how)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["connect"]
    return found


def pasted(lacks: list[dict[str, str]], administrator: Endpoint) -> None:
    """Run the commands, as whoever administers the broker."""
    for lack in lacks:
        program, option, _, *words = shlex.split(lack["command"])
        assert option == "--bootstrap-server"
        if words[0] == "--command-config":
            words = words[2:]
        command = [java(), "-cp", class_path(), CLASSES[program], option, administrator.bootstrap, *words]
        done = run(*command)
        assert done.returncode == 0, (lack, done.stdout, done.stderr)


def asked(site: Site) -> dict[str, str]:
    """The topics that a run has to do with."""
    return {key: name for key, name in site.topics.items() if key != "forward_dead_letters"}


def test_nothing_is_missing(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2, settings=GOOD)
    found = checked(site, 0)
    assert (found["missing"], found["advice"]) == ([], [])
    assert found["topics"] == dict.fromkeys(asked(site).values(), 2)
    done = lapwing("check", site.path, "--connect")
    assert done.returncode == 0
    assert done.stdout.decode().endswith("# nothing is missing\n")
    assert site.read("markers") == []


def test_what_is_missing_is_made_by_what_is_printed(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(
        kafka, tmp_path, 3, 4, counts={"markers": 2, "scored": 2}, settings={"alerts": {"max.message.bytes": "9000"}},
        config='[[destination]]\ntype = "syslog"\naddress = "siem.example:6514"',
    )  # fmt: skip
    deleted(kafka, *(site.topics[key] for key in ("windows", "latest", "forward_dead_letters")))
    found = checked(site, 3)
    assert [lack["what"] for lack in found["missing"]] == [
        f"no topic {site.topics['latest']}",
        f"no topic {site.topics['windows']}",
        f"no topic {site.topics['forward_dead_letters']}",
        f"topic {site.topics['alerts']} takes messages of 9000 bytes at most, and needs 65536",
        f"topic {site.topics['markers']} has cleanup.policy delete, and loses what it is for without compact",
        f"topic {site.topics['markers']} has 2 partitions, and kafka.sinks = 4 needs as many",
    ]
    told = [lack["what"] for lack in found["advice"]]
    verdicts = f"topic {site.topics['verdicts']}"
    assert told[0] == f"{verdicts} has cleanup.policy delete, and loses what it is for without compact"
    assert told[1].startswith(f"topic {site.topics['scored']} has 2 partitions, {site.events} 3: ")
    assert told[2].startswith(f"topic {site.topics['scored']} takes messages of 1048588 bytes at most: ")
    done = lapwing("check", site.path, "--connect")
    assert done.returncode == 3
    assert said(done.stderr) == [f"lapwing: 6 things are missing at {kafka.bootstrap}"]
    commands = [line for line in done.stdout.decode().splitlines() if line.startswith("kafka-")]
    assert commands == [lack["command"] for lack in found["missing"] + found["advice"]]
    pasted(found["missing"] + found["advice"], kafka)
    eventually(lambda: {*site.topics.values()} <= kafka.names(), "the topics are there")
    found = checked(site, 0)
    assert (found["missing"], found["advice"]) == ([], [])
    assert found["topics"] == {name: 4 if key == "markers" else 3 for key, name in site.topics.items()}
    site.produce(events(range(6), 2))
    site.run()
    assert scored(site) == list(range(6))


def test_without_a_topic_of_verdicts_a_run_goes(kafka: Endpoint, tmp_path: Path) -> None:
    """Whoever updates has none; it is made by what is printed."""
    site = Site(kafka, tmp_path, 2, settings=GOOD)
    deleted(kafka, site.topics["verdicts"])
    found = checked(site, 0)
    assert found["missing"] == []
    assert [lack["what"] for lack in found["advice"]] == [f"no topic {site.topics['verdicts']}"]
    site.produce(events(range(3)))
    site.run()
    assert scored(site) == [0, 1, 2]
    pasted(found["advice"], kafka)
    eventually(lambda: site.topics["verdicts"] in kafka.names(), "the topic is there")
    assert checked(site, 0)["advice"] == []


def test_a_running_flow_is_not_disturbed(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, settings=GOOD)
    site.produce(events(range(5)))
    with site.running("--start", "earliest") as process:
        eventually(lambda: group_offsets(kafka, site.prefix, site.events) == {0: 5}, "it is at the end")
        assert checked(site, 0)["missing"] == []
        assert group_offsets(kafka, site.prefix, site.events) == {0: 5}
        site.produce(events(range(5, 9)))
        eventually(lambda: scored(site) == list(range(9)), "it goes on")
        process.terminate()
        assert process.wait(60) == 0


def test_no_broker_is_one_line(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.write(bootstrap="127.0.0.1:1", startup_timeout="2s")
    done = lapwing("check", site.path, "--connect")
    assert done.returncode == 1
    (line,) = said(done.stderr)
    assert line.startswith("lapwing: Kafka at 127.0.0.1:1: no answer within 2s (")


def test_files_alone_need_no_broker(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[input]\npath = "events.ndjson"\n[output]\npath = "out"\n')
    done = lapwing("check", file, "--connect")
    assert done.returncode == 2
    (line,) = said(done.stderr)
    assert line.startswith("lapwing: nothing to connect to: ")


@pytest.fixture(scope="module")
def guarded() -> Iterator[SecuredBroker]:
    """A broker that asks for permission."""
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "transaction.max.timeout.ms": "90000",
    }
    with here(SecuredBroker, config=config) as broker:
        yield broker


def test_permissions_are_named_and_given_by_what_is_printed(
    guarded: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, settings = Endpoint(guarded.bootstrap), guarded.scram.settings
    site = Site(plain, tmp_path, 1, 1, settings=GOOD)
    password = str(settings["sasl.password"])
    monkeypatch.setenv("LAPWING_TEST_PASSWORD", password)
    site.write(
        bootstrap=guarded.scram.bootstrap, security="sasl_ssl", ca_file=str(guarded.certificates.authority),
        username="lapwing", password_env="LAPWING_TEST_PASSWORD",
    )  # fmt: skip
    found = checked(site, 3)
    told = [lack["what"] for lack in found["missing"]]
    written = [
        f"topic {site.topics[key]} (whether there is one is not known)"
        for key in asked(site)
        if key not in ("events", "verdicts")
    ]
    assert told == [
        f"User:lapwing may not DescribeConfigs, Read on topic {site.events} (whether there is one is not known)",
        *(f"User:lapwing may not DescribeConfigs, Write on {name}" for name in written[:-1]),
        f"User:lapwing may not DescribeConfigs, Read, Write on {written[-1]}",
        f"User:lapwing may not Read on group {site.prefix}",
        f"User:lapwing may not Write on transactional ids that begin with {site.prefix}-",
    ]
    assert [lack["what"] for lack in found["advice"]] == [
        f"User:lapwing may not DescribeConfigs, Read, Write on topic {site.topics['verdicts']} "
        "(whether there is one is not known)"
    ], "no run needs it"
    assert password not in json.dumps(found)
    pasted(found["missing"][1:], plain)

    def lacking() -> list[str]:
        done = lapwing("check", site.path, "--connect", "--json")
        return [lack["what"] for lack in json.loads(done.stdout)["connect"]["missing"]]

    eventually(lambda: lacking() == told[:1], "only the topic of events is closed")
    pasted(found["missing"][:1], plain)
    eventually(lambda: lacking() == [], "all is open")
    site.produce(events(range(4)))
    done: subprocess.CompletedProcess[bytes] = site.lapwing("--start", "earliest", "--until", "end")
    assert done.returncode == 0, done.stderr
    assert scored(site) == list(range(4))


def test_what_forward_and_the_canary_may_not_is_named_too(
    guarded: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, settings = Endpoint(guarded.bootstrap), guarded.scram.settings
    more = '[canary]\ntenant = "canary"\n[[destination]]\ntype = "syslog"\nid = "siem"\naddress = "siem.example:6514"'
    site = Site(plain, tmp_path, 1, 1, settings=GOOD, config=more)
    monkeypatch.setenv("LAPWING_TEST_PASSWORD", str(settings["sasl.password"]))
    monkeypatch.setenv("LAPWING_CANARY_KEY", "ab" * 32)
    site.write(
        bootstrap=guarded.scram.bootstrap, security="sasl_ssl", ca_file=str(guarded.certificates.authority),
        username="lapwing", password_env="LAPWING_TEST_PASSWORD",
    )  # fmt: skip
    found = checked(site, 3)["missing"]
    for key, operations in (("events", "Read, Write"), ("alerts", "Read, Write"), ("suppressed", "Read, Write"),
                            ("scored", "Write"), ("forward_dead_letters", "Write")):  # fmt: skip
        what = f"topic {site.topics[key]} (whether there is one is not known)"
        assert f"User:lapwing may not DescribeConfigs, {operations} on {what}" in [lack["what"] for lack in found]
    assert f"User:lapwing may not Read on group {site.prefix}.forward.siem" in [lack["what"] for lack in found]
    pasted(found, plain)
    eventually(lambda: lapwing("check", site.path, "--connect").returncode == 0, "all is open")


def test_a_timeout_that_the_brokers_do_not_allow_is_named(guarded: SecuredBroker, tmp_path: Path) -> None:
    site = Site(Endpoint(guarded.bootstrap), tmp_path, 1, settings=GOOD, keys={"transaction_timeout": "2m"})
    (lack,) = checked(site, 3)["missing"]
    assert lack["what"].startswith("kafka.transaction_timeout = 2m is longer than the brokers allow: ")
    site.write(transaction_timeout="90s")
    assert checked(site, 0)["missing"] == []


def test_a_wrong_password_is_one_line_without_it(
    guarded: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(Endpoint(guarded.bootstrap), tmp_path, 1, settings=GOOD)
    monkeypatch.setenv("LAPWING_TEST_PASSWORD", "guessed-by-somebody")
    site.write(
        bootstrap=guarded.scram.bootstrap, security="sasl_ssl", ca_file=str(guarded.certificates.authority),
        username="lapwing", password_env="LAPWING_TEST_PASSWORD", startup_timeout="5s",
    )  # fmt: skip
    done = lapwing("check", site.path, "--connect")
    assert done.returncode == 1
    (line,) = said(done.stderr)
    assert "Authentication failed" in line
    assert b"guessed" not in done.stdout + done.stderr
