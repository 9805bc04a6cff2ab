"""The Kafka channel: a topic of one of the clusters that the deployment names. Tenants name no hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.conf import settings

from subscriptions.channels.base import ChannelSpec, Field
from subscriptions.models import Channel

# Apache Kafka, org.apache.kafka.common.internals.Topic: legal characters and length.
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
KEYS = ("partition", "subject", "none")


def check_cluster(value: str) -> str | None:
    if value in settings.KAFKA_CHANNEL_CLUSTERS:
        return None
    return f"the cluster must be one of {', '.join(settings.KAFKA_CHANNEL_CLUSTERS)}"


def check_topic(value: str) -> str | None:
    """Our own events topic is refused on every cluster: names of clusters do not tell which of them are the same."""
    if not _TOPIC.fullmatch(value) or value in (".", ".."):
        return "a topic's name is 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'"
    if value == settings.KAFKA_EVENTS_TOPIC:
        return "this topic carries the events themselves: a delivery to it would come back for ever"
    return None


def _destination(config: Mapping[str, object]) -> str:
    return f"kafka://{config.get('cluster') or 'bus'}/{config.get('topic') or ''}"


SPEC = ChannelSpec(
    channel=Channel.KAFKA,
    content_modes=True,
    fields=(
        Field(
            "cluster",
            "Cluster",
            "choice",
            default="bus",
            help="Named by the deployment in KAFKA_CHANNEL_CLUSTERS; bus is the Event Center's own.",
            choices=tuple(settings.KAFKA_CHANNEL_CLUSTERS),
            check=check_cluster,
        ),
        Field("topic", "Topic", help="It must exist; it is not created.", check=check_topic),
        Field(
            "key",
            "Message key",
            "choice",
            required=False,
            default="partition",
            help="partition: the event's partition key, so that its events stay in order; subject; none: spread evenly.",
            choices=KEYS,
        ),
    ),
    destination=_destination,
)
