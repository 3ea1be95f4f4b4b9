"""The client of each type of destination."""

from collections.abc import Callable
from typing import Any, Final

from flows.connectors.destinations.answer import Client
from flows.connectors.destinations.elasticsearch import ElasticsearchClient
from flows.connectors.destinations.syslog import SyslogClient
from flows.forward_block import Destination, Elasticsearch, Syslog

_CLIENTS: Final[dict[type, Callable[[Any], Client]]] = {Elasticsearch: ElasticsearchClient, Syslog: SyslogClient}


def client(one: Destination) -> Client:
    """A client, which connects when it has something to send.

    Raises
    ------
    UsageError
        A secret or a certificate is not where the configuration says.
    """
    return _CLIENTS[type(one)](one)
