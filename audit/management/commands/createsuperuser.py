from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.management.commands.createsuperuser import Command as CreateSuperuser
from django.db import transaction

from audit.trail import PLATFORM_CHAIN, Actor, record

ACTOR = Actor("system:createsuperuser")


class Command(CreateSuperuser):
    """Django's, with the audit trail."""

    def handle(self, *args: Any, **options: Any) -> None:
        users = get_user_model()._default_manager
        with transaction.atomic():
            before = set(users.values_list("pk", flat=True))
            super().handle(*args, **options)
            for made in users.exclude(pk__in=before):
                details: dict[str, object] = {"username": made.get_username(), "is_superuser": True}
                record(PLATFORM_CHAIN, ACTOR, "user.created", f"user:{made.pk}", details)
