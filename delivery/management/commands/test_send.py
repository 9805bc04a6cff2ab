from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.trail import Actor
from delivery.sample_send import DEFAULT_TYPE, CannotSendError, send_test
from subscriptions.models import Endpoint

ACTOR = Actor("system:test_send")


class Command(BaseCommand):
    help = (
        "Send one sample event to an endpoint, now, with its own settings, and print what came of it. "
        "Example: manage.py test_send artisan-cloud/ci-cd"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("endpoint", metavar="TENANT/ENDPOINT", help="Their slugs.")
        parser.add_argument("--type", default=DEFAULT_TYPE, help=f"The sample's event type; {DEFAULT_TYPE} by itself.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, _, slug = options["endpoint"].partition("/")
        endpoint = Endpoint.objects.select_related("tenant").filter(tenant__slug=tenant, slug=slug).first()
        if endpoint is None:
            raise CommandError(f"There is no endpoint {options['endpoint']}.")
        try:
            sent = send_test(endpoint, ACTOR, options["type"])
        except CannotSendError as error:
            raise CommandError(str(error)) from None
        if not sent.is_delivered:
            raise CommandError(f"{sent.words}\n{sent.shown_body}".rstrip())
        self.stdout.write(f"{sent.words}\n{sent.shown_body}".rstrip())
