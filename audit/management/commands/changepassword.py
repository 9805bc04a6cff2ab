from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.management.commands.changepassword import Command as ChangePassword
from django.db import transaction

from audit.trail import PLATFORM_CHAIN, Actor, record

ACTOR = Actor("system:changepassword")


class Command(ChangePassword):
    """Django's, with the audit trail."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        users = get_user_model()._default_manager
        with transaction.atomic():
            before = dict(users.values_list("pk", "password"))
            said = super().handle(*args, **options)
            for pk, password in users.values_list("pk", "password"):
                if before.get(pk) != password:
                    record(PLATFORM_CHAIN, ACTOR, "user.password_set", f"user:{pk}")
        return said
