from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from waffle.management.commands.waffle_flag import Command as WaffleFlag

from audit.trail import PLATFORM_CHAIN, Actor, record
from eventcenter.flags import Flag
from eventcenter.models import FeatureFlag

ACTOR = Actor("system:waffle_flag")


class Command(WaffleFlag):
    """django-waffle's command with tenants and the audit trail."""

    help = "Change a feature flag. Example: manage.py waffle_flag audit-streaming --tenant acme --append"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        text = (
            "Turn on the flag for this tenant's slug (repeatable). Takes the place of the list unless --append is used."
        )
        parser.add_argument("--tenant", action="append", default=[], help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        slugs, name = options.pop("tenant"), options["name"]
        if options["list_flags"] or not name:
            super().handle(*args, **options)
            return
        if name not in list(Flag):
            raise CommandError(f"There is no flag {name}. Known: {', '.join(Flag)}.")
        with transaction.atomic():
            before = _values(name)
            append = options["append"]
            super().handle(*args, **options)
            if slugs:
                self._set_tenants(FeatureFlag.objects.get(name=name), slugs, append)
            _record(name, before, _values(name))

    def _set_tenants(self, flag: FeatureFlag, slugs: list[str], append: bool) -> None:
        tenants = flag.tenants.model.objects.filter(slug__in=slugs)
        unknown = sorted(set(slugs) - {tenant.slug for tenant in tenants})
        if unknown:
            raise CommandError(f"Tenant {', '.join(unknown)} does not exist")
        if append:
            flag.tenants.add(*tenants)
        else:
            flag.tenants.set(tenants)
        self.stdout.write(f"Setting tenant(s): {slugs}")

    def log_flag_to_stdout(self, flag: Any) -> None:
        super().log_flag_to_stdout(flag)
        self.stdout.write(f"TENANTS: {list(flag.tenants.values_list('slug', flat=True))}\n")


def _values(name: str) -> dict[str, object]:
    """What the audit trail tells of a flag; locked until the transaction ends."""
    flag = FeatureFlag.objects.select_for_update().filter(name=name).first()
    if flag is None:
        return {}
    return {"everyone": flag.everyone, "tenants": sorted(flag.tenants.values_list("slug", flat=True))}


def _record(name: str, before: dict[str, object], after: dict[str, object]) -> None:
    changed = sorted(field for field in after if before.get(field) != after[field] or not before)
    if changed:
        details: dict[str, object] = {field: [before.get(field), after[field]] for field in changed}
        action = f"feature_flag.{'changed' if before else 'created'}"
        record(PLATFORM_CHAIN, ACTOR, action, f"feature_flag:{name}", details | {"fields": changed})
