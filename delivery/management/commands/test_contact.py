from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.trail import Actor
from delivery.alerting.calling import Result
from delivery.alerting.contacts import send_test
from delivery.models import AlertContact

ACTOR = Actor("system:test_contact")


class Command(BaseCommand):
    help = (
        "Call a contact for nothing: a page and its end, at once, and print the answer. "
        "Example: manage.py test_contact 'Ops on call'"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="The contact's name.")
        parser.add_argument("--tenant", default="", help="Its tenant's slug; without: the platform's contact.")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = AlertContact.objects.select_related("tenant").filter(name=options["name"])
        contact = rows.filter(tenant__slug=options["tenant"]).first() if options["tenant"] else _platform(rows)
        if contact is None:
            raise CommandError(f"There is no contact {options['name']!r}{_place(options['tenant'])}.")
        answer = send_test(contact, ACTOR)
        if answer.result is not Result.SENT:
            raise CommandError(answer.words)
        self.stdout.write(answer.words)


def _platform(rows: Any) -> AlertContact | None:
    found: AlertContact | None = rows.filter(tenant=None).first()
    return found


def _place(tenant: str) -> str:
    return f" in the tenant {tenant!r}" if tenant else " of the platform; name its tenant by --tenant"
