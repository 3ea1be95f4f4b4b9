"""Over TLS the right client is let in, by password or certificate, and nobody else."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.kafka.certificates import Certificates
from tests.kafka.fixture import here
from tests.kafka.records import Record, produce, read
from tests.kafka.secured import SecuredBroker

PLAIN_USER = "User:lapwing"


def refused(client) -> KafkaError:
    """Why a client is not let in."""
    errors: list[KafkaError] = []
    producer = Producer(client | {"error_cb": errors.append, "reconnect.backoff.ms": 500})
    while not errors:
        producer.poll(1)
    with pytest.raises(KafkaException):
        producer.list_topics(timeout=2)
    return errors[0]


def without(client, *settings):
    return {key: value for key, value in client.items() if key not in settings}


@pytest.mark.parametrize("way", ["scram", "mutual"])
def test_who_is_known_writes_and_reads(secured_kafka, way):
    endpoint = getattr(secured_kafka, way)
    topic = endpoint.topic(way)
    produce(endpoint.client(), topic, [Record(b"in", headers=(("h", b"v"),))])
    assert [(each.value, each.headers) for each in read(endpoint.client(), topic)] == [(b"in", (("h", b"v"),))]


@pytest.mark.parametrize("wrong", [{"sasl.password": "guessed"}, {"sasl.username": "somebody"}])
def test_a_wrong_password_or_user_is_refused(secured_kafka, wrong):
    assert refused(secured_kafka.scram.client(**wrong)).code() == KafkaError._AUTHENTICATION


def test_a_client_without_a_certificate_is_refused(secured_kafka):
    client = without(
        secured_kafka.mutual.client(), "ssl.certificate.location", "ssl.key.location", "ssl.key.password"
    )  # fmt: skip
    assert "certificate" in refused(client).str()


def test_a_certificate_from_another_authority_is_refused(secured_kafka, tmp_path):
    stranger = Certificates(tmp_path / "stranger").settings
    stranger["ssl.ca.location"] = secured_kafka.mutual.settings["ssl.ca.location"]
    assert "certificate" in refused(secured_kafka.mutual.client(**stranger)).str()


def test_a_broker_from_another_authority_is_not_trusted(secured_kafka, tmp_path):
    other = str(Certificates(tmp_path / "other").authority)
    error = refused(secured_kafka.scram.client(**{"ssl.ca.location": other}))
    assert error.code() == KafkaError._SSL
    assert "verify failed" in error.str()


def test_a_key_with_a_wrong_password_is_no_key(secured_kafka):
    with pytest.raises(KafkaException, match=r"ssl\.key\.location"):
        Producer(secured_kafka.mutual.client(**{"ssl.key.password": "guessed"}))


def test_with_an_authorizer_the_user_needs_permission():
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with here(SecuredBroker, config=config) as broker:
        topic = broker.topic("guarded")
        produce(broker.client(), topic, [Record(b"by the administrator")])
        for endpoint in (broker.scram, broker.mutual):
            with pytest.raises(KafkaException) as caught:
                produce(endpoint.client(), topic, [Record(b"not allowed")])
            assert caught.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        allowed = AclBinding(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, PLAIN_USER, "*",
            AclOperation.WRITE, AclPermissionType.ALLOW,
        )  # fmt: skip
        admin = AdminClient(broker.client())
        admin.create_acls([allowed])[allowed].result(60)
        produce(broker.scram.client(), topic, [Record(b"allowed")])
        produce(broker.mutual.client(), topic, [Record(b"allowed too")])
        assert [each.value for each in read(broker.client(), topic)] == [
            b"by the administrator", b"allowed", b"allowed too",
        ]  # fmt: skip
