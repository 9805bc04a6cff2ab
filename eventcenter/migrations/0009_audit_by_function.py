from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from eventcenter.row_security import WEB_ROLE

# A web request reads its tenants' entries and appends by the functions of audit's migration 0003, which hold the chain
# together. Heads and cursors are not its business: who could delete a head could hide that a chain was cut.
APART_SQL = f"""
REVOKE INSERT, UPDATE, DELETE ON audit_auditentry FROM {WEB_ROLE};
REVOKE ALL ON audit_audithead, audit_streamcursor FROM {WEB_ROLE};
"""
APART_REVERSE = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON audit_auditentry, audit_audithead, audit_streamcursor TO {WEB_ROLE};
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("audit", "0004_heads_and_cursors"),
        ("eventcenter", "0008_adapters"),
    ]
    operations: ClassVar = [migrations.RunSQL(APART_SQL, APART_REVERSE)]
