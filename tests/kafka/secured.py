"""A broker that lets nobody in without a password or a certificate."""

import secrets
from collections.abc import Mapping

from tests.kafka.certificates import USER, Certificates
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import Endpoint

_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class SecuredBroker(Cluster):
    """One node that also listens for clients with a password over TLS (`scram`) and with a certificate (`mutual`).

    Both are the user `lapwing`. The plain listeners stay, for who administers the broker: they are the user ANONYMOUS.
    With `config` an authorizer can be asked for, so that `lapwing` needs ACLs:

        authorizer.class.name = org.apache.kafka.metadata.authorizer.StandardAuthorizer
        super.users = User:ANONYMOUS
    """

    def __init__(self, *, config: Mapping[str, str] | None = None) -> None:
        super().__init__(1, config=config, listeners={"SCRAM": "SASL_SSL", "MUTUAL": "SSL"})
        self.certificates = Certificates(self.folder / "certificates")
        password = secrets.token_urlsafe(16)
        self.users = ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={password}]")
        self.config = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates.broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates.authority),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": _LOGIN,
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        } | self.config
        self.scram = Endpoint(
            self.addresses("SCRAM"),
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": USER,
                "sasl.password": password,
                "ssl.ca.location": str(self.certificates.authority),
            },
        )
        self.mutual = Endpoint(self.addresses("MUTUAL"), {"security.protocol": "SSL", **self.certificates.settings})
