from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from eventcenter.row_security import HIDE_PARTITIONS, WEB_ROLE, protect, protect_by_tenant, unprotect

# The role is the cluster's, not the database's: another database may have made it already, and keeps it.
ROLE_SQL = f"""
DO $$
BEGIN
    CREATE ROLE {WEB_ROLE} NOLOGIN NOINHERIT;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role % is missing and this user may not make it; let an administrator run: CREATE ROLE %; GRANT % TO %',
            '{WEB_ROLE}', '{WEB_ROLE}', '{WEB_ROLE}', current_user;
END $$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, '{WEB_ROLE}', 'MEMBER') THEN
        EXECUTE format('GRANT {WEB_ROLE} TO %I', current_user);
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO {WEB_ROLE};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {WEB_ROLE};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {WEB_ROLE};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {WEB_ROLE};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {WEB_ROLE};
"""
ROLE_REVERSE = f"DROP OWNED BY {WEB_ROLE};"

OWN_SLUGS = "(SELECT slug FROM subscriptions_tenant)"  # as far as the policy on that table lets see
RULES = {
    "eventcenter_rejectedevent": f"tenant_slug IN {OWN_SLUGS}",
    "eventcenter_outboxmessage": f"split_part(key, '|', 1) IN {OWN_SLUGS}",
    "audit_auditentry": f"chain IN {OWN_SLUGS}",
    "subscriptions_endpointsecret": "endpoint_id IN (SELECT id FROM subscriptions_endpoint)",
}
BY_TENANT = (
    "eventcenter_event",
    "eventcenter_publishkey",
    "eventcenter_apikey",
    "eventcenter_membership",
    "subscriptions_endpoint",
    "subscriptions_subscription",
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("audit", "0002_append_only"),
        ("eventcenter", "0003_access"),
        ("subscriptions", "0002_governance"),
    ]
    operations: ClassVar = [
        migrations.RunSQL(ROLE_SQL, ROLE_REVERSE),
        migrations.RunSQL(HIDE_PARTITIONS, migrations.RunSQL.noop),
        migrations.RunSQL(protect_by_tenant("subscriptions_tenant", "id"), unprotect("subscriptions_tenant")),
        *[migrations.RunSQL(protect_by_tenant(table), unprotect(table)) for table in BY_TENANT],
        *[migrations.RunSQL(protect(table, rule), unprotect(table)) for table, rule in RULES.items()],
    ]
