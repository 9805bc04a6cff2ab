from __future__ import annotations

from typing import ClassVar

from django.db import migrations

# Whoever changes configuration, by whatever path (admin, REST, YAML, SQL), bumps the revision in the same transaction.
WATCHED = (
    "subscriptions_tenant",
    "subscriptions_endpoint",
    "subscriptions_endpointsecret",
    "subscriptions_subscription",
    "eventcenter_eventtype",
)
REVISION_SQL = """
INSERT INTO eventcenter_configrevision (id, revision) VALUES (1, 1);
CREATE FUNCTION eventcenter_bump_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO eventcenter_configrevision (id, revision) VALUES (1, 1)
        ON CONFLICT (id) DO UPDATE SET revision = eventcenter_configrevision.revision + 1;
    RETURN NULL;
END $$;
""" + "".join(
    f"CREATE TRIGGER config_revision AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION eventcenter_bump_revision();\n"
    for table in WATCHED
)
REVISION_REVERSE = "".join(f"DROP TRIGGER config_revision ON {table};\n" for table in WATCHED) + (
    "DROP FUNCTION eventcenter_bump_revision();\nDELETE FROM eventcenter_configrevision;"
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("delivery", "0001_initial"),
        ("eventcenter", "0001_initial"),
        ("subscriptions", "0001_initial"),
    ]
    operations: ClassVar = [migrations.RunSQL(REVISION_SQL, REVISION_REVERSE)]
