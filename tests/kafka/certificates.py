"""Keys and certificates for one broker and its clients, as PEM files: no keytool, no stores."""

import secrets
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.kafka.ports import LOOPBACK

USER = "lapwing"


class Certificates:
    """A certificate authority with a certificate for a broker on loopback and one for the client `lapwing`.

    Everything is new and in `folder`. The broker's key is plain, the client's has a password.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        authority = trustme.CA()
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self.broker = folder / "broker.pem"
        broker = authority.issue_cert(LOOPBACK)
        self.broker.write_bytes(_key(broker, NoEncryption()) + _chain(broker))
        client = authority.issue_cert(f"{USER}@example.com", common_name=USER)
        self.client = folder / "client.pem"
        self.client.write_bytes(_chain(client))
        self.password = secrets.token_urlsafe(16)
        self.key = folder / "client.key"
        self.key.write_bytes(_key(client, BestAvailableEncryption(self.password.encode())))

    @property
    def settings(self) -> dict[str, str]:
        """What a client needs to show its certificate, in librdkafka's words."""
        return {
            "ssl.ca.location": str(self.authority),
            "ssl.certificate.location": str(self.client),
            "ssl.key.location": str(self.key),
            "ssl.key.password": self.password,
        }


def _key(leaf: trustme.LeafCert, encryption: KeySerializationEncryption) -> bytes:
    # Kafka reads PKCS#8 only.
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(each.bytes() for each in leaf.cert_chain_pems)
