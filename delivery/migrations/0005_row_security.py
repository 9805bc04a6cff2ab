from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from eventcenter.row_security import HIDE_PARTITIONS, protect, protect_by_tenant, unprotect

BY_TENANT = (
    "delivery_delivery",
    "delivery_deliverycounter",
    "delivery_breaker",
    "delivery_replayjob",
    "delivery_feeditem",
    "delivery_alert",
)
RULES = {
    "delivery_attempt": "EXISTS (SELECT 1 FROM delivery_delivery d WHERE d.id = delivery_id)",
    "delivery_ordereddelivery": "subscription_id IN (SELECT id FROM subscriptions_subscription)",
}


class Migration(migrations.Migration):
    dependencies: ClassVar = [("delivery", "0004_governance"), ("eventcenter", "0004_row_security")]
    operations: ClassVar = [
        migrations.RunSQL(HIDE_PARTITIONS, migrations.RunSQL.noop),
        *[migrations.RunSQL(protect_by_tenant(table), unprotect(table)) for table in BY_TENANT],
        *[migrations.RunSQL(protect(table, rule), unprotect(table)) for table, rule in RULES.items()],
    ]
