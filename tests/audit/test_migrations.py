"""The trail's migrations go back and forth, and entries stand through it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from audit.models import AuditEntry
from tests.audit.tampering import written


@pytest.mark.django_db
def test_functions_and_tables_are_there_again_when_the_migrations_went_back_and_forth() -> None:
    written("acme", 2)
    MigrationExecutor(connection).migrate([("eventcenter", "0008_adapters"), ("audit", "0002_append_only")])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_proc WHERE proname IN ('audit_append', 'audit_chain_last')")
        assert cursor.fetchone() == (0,)

    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())

    written("acme", 1)
    assert list(AuditEntry.objects.values_list("position", flat=True).order_by("position")) == [1, 2, 3]
