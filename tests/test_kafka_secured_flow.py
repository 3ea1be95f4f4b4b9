"""The flow over TLS, with a password or a certificate; a secret is nowhere to be read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import lapwing, said
from tests.kafka.records import Record
from tests.kafka.secured import SecuredBroker
from tests.kafka_runs import Site

EVENTS = [Record(b'{"id": "e%d", "time": 1795410000000, "user": "u"}' % k, partition=k % 2) for k in range(40)]


@pytest.fixture
def ways(secured_kafka: SecuredBroker, tmp_path: Path) -> dict[str, tuple[dict[str, Any], dict[str, str], str]]:
    """The keys of `[kafka]`, the environment and the secret, for each way in."""
    scram, own = secured_kafka.scram.settings, secured_kafka.certificates
    password = str(scram["sasl.password"])
    file = tmp_path / "password"
    file.write_text(f"{password}\n")
    login = {"security": "sasl_ssl", "ca_file": str(own.authority)}
    return {
        "password in the environment": (
            login | {"username": "lapwing", "password_env": "LAPWING_TEST_PASSWORD"},
            {"LAPWING_TEST_PASSWORD": password},
            password,
        ),
        "password in a file": (
            login | {"username_env": "LAPWING_TEST_USER", "password_file": str(file)},
            {"LAPWING_TEST_USER": "lapwing"},
            password,
        ),
        "certificate": (
            {
                "security": "ssl",
                "ca_file": str(own.authority),
                "certificate_file": str(own.client),
                "key_file": str(own.key),
                "key_password_env": "LAPWING_TEST_KEY",
            },
            {"LAPWING_TEST_KEY": own.password},
            own.password,
        ),
    }


def _site(broker: SecuredBroker, folder: Path, keys: Mapping[str, Any]) -> Site:
    return Site(broker.mutual if keys["security"] == "ssl" else broker.scram, folder, keys=keys)


@pytest.mark.parametrize("way", ["password in the environment", "password in a file", "certificate"])
def test_who_may_is_let_in_and_his_secret_is_not_told(
    secured_kafka: SecuredBroker, ways: dict[str, Any], way: str, tmp_path: Path
) -> None:
    keys, environment, secret = ways[way]
    site = _site(secured_kafka, tmp_path, keys)
    site.produce(EVENTS)
    done = site.lapwing("--start", "earliest", "--until", "end", env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    assert len(site.read("scored")) == len(EVENTS)
    shown = lapwing("config", "--all", "--config", site.path, env=os.environ | environment)
    checked = lapwing("check", site.path, env=os.environ | environment)
    told = done.stdout + done.stderr + shown.stdout + shown.stderr + checked.stdout + checked.stderr
    told += b"".join(path.read_bytes() for path in site.state.rglob("*") if path.is_file())
    assert secret.encode() not in told


def test_a_wrong_password_is_one_line_that_says_so(
    secured_kafka: SecuredBroker, ways: dict[str, Any], tmp_path: Path
) -> None:
    keys, _, _ = ways["password in the environment"]
    site = _site(secured_kafka, tmp_path, keys | {"startup_timeout": "5s"})
    done = site.lapwing("--start", "earliest", env=os.environ | {"LAPWING_TEST_PASSWORD": "guessed-pass"})
    assert done.returncode == 1
    (line,) = said(done.stderr)
    assert "Authentication failed" in line
    assert "guessed-pass" not in line


def test_secrets_that_are_not_there_are_all_named(secured_kafka: SecuredBroker, tmp_path: Path) -> None:
    keys = {"security": "sasl_ssl", "username_env": "LAPWING_NO_USER", "password_env": "LAPWING_NO_PASSWORD"}
    site = Site(secured_kafka.scram, tmp_path, keys=keys)
    done = site.lapwing("--start", "earliest")
    assert done.returncode == 2
    assert {"LAPWING_NO_USER", "LAPWING_NO_PASSWORD"} <= set(done.stderr.decode().replace(",", " ").split())
