"""A web request appends to every chain, reads its tenants' entries only, and gets at nothing else of the trail."""

from __future__ import annotations

import pytest
from django.db import ProgrammingError, connection, transaction

from audit.models import AuditEntry
from audit.trail import Actor, record
from eventcenter.row_security import scoped
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db


def test_entry_is_appended_to_any_chain_and_only_own_ones_are_seen_when_a_request_is_served() -> None:
    acme, _ = TenantFactory(slug="acme"), TenantFactory(slug="globex")
    for chain in ("globex", "platform"):
        record(chain, Actor("system:test"), "a.b", "c:1")

    with scoped({acme.pk}):
        made = [record(chain, Actor("user:eva"), "a.b", "c:2") for chain in ("acme", "globex", "platform")]
        seen = list(AuditEntry.objects.all())

    assert seen == made[:1]
    assert [entry.position for entry in made] == [1, 2, 2]
    assert AuditEntry.objects.count() == 5


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_auditentry SELECT * FROM audit_auditentry",
        "UPDATE audit_auditentry SET actor = 'x'",
        "DELETE FROM audit_auditentry",
        "TRUNCATE audit_auditentry",
        "ALTER TABLE audit_auditentry DISABLE TRIGGER USER",
        "DELETE FROM audit_audithead",
        "SELECT * FROM audit_streamcursor",
        "UPDATE audit_streamcursor SET position = 0",
        "CREATE OR REPLACE FUNCTION audit_chain_last(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_statement_is_refused_when_a_request_is_served(statement: str) -> None:
    acme = TenantFactory(slug="acme")
    record("acme", Actor("system:test"), "a.b", "c:1")

    with (
        scoped({acme.pk}),
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    assert AuditEntry.objects.get().actor == "system:test"
