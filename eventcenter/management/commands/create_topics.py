from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException
from django.core.management.base import BaseCommand, CommandError

from eventcenter.bus import create_topics


class Command(BaseCommand):
    help = "Make the Kafka topics that are missing. Example: manage.py create_topics"

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = create_topics()
        except KafkaException as error:
            raise CommandError(f"Kafka refused: {error}. Is KAFKA_BOOTSTRAP_SERVERS right?") from None
        self.stdout.write(f"made {', '.join(made)}" if made else "all topics are there")
