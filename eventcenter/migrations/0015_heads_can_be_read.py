from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from eventcenter.row_security import WEB_ROLE, protect, unprotect

# The page of the trail shows where a chain was last signed, and verifies it against that. Reading hides nothing; writing and
# deleting stay the signer's.
READ_SQL = f"GRANT SELECT ON audit_audithead TO {WEB_ROLE};"
READ_REVERSE = f"REVOKE SELECT ON audit_audithead FROM {WEB_ROLE};"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0005_reading_indexes"), ("eventcenter", "0014_search")]
    operations: ClassVar = [
        migrations.RunSQL(
            protect("audit_audithead", "chain IN (SELECT slug FROM subscriptions_tenant)"),
            unprotect("audit_audithead"),
        ),
        migrations.RunSQL(READ_SQL, READ_REVERSE),
    ]
