from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from eventcenter.row_security import protect_by_tenant, unprotect

TABLE = "eventcenter_featureflag_tenants"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("eventcenter", "0006_flag_rows")]
    operations: ClassVar = [migrations.RunSQL(protect_by_tenant(TABLE), unprotect(TABLE))]
