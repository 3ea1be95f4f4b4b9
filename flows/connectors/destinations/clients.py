"""The client of each type of destination."""

from collections.abc import Callable
from typing import Any, Final

from flows.connectors.destinations.answer import Client
from flows.connectors.destinations.elasticsearch import ElasticsearchClient
from flows.connectors.destinations.sentinel import SentinelClient
from flows.connectors.destinations.splunk_hec import SplunkHecClient
from flows.connectors.destinations.sumo_logic import SumoLogicClient
from flows.connectors.destinations.syslog import SyslogClient
from flows.connectors.destinations.webhook import WebhookClient
from flows.forward_block import Destination, Elasticsearch, Sentinel, SplunkHec, SumoLogic, Syslog, Webhook

_CLIENTS: Final[dict[type, Callable[[Any], Client]]] = {
    SplunkHec: SplunkHecClient,
    SumoLogic: SumoLogicClient,
    Elasticsearch: ElasticsearchClient,
    Syslog: SyslogClient,
    Sentinel: SentinelClient,
    Webhook: WebhookClient,
}


def client(one: Destination) -> Client:
    """A client, which connects when it has something to send.

    Raises
    ------
    UsageError
        A secret or a certificate is not where the configuration says.
    """
    return _CLIENTS[type(one)](one)
