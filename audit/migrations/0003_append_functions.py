from __future__ import annotations

from typing import ClassVar

from django.db import migrations

# Who may not see or insert entries (the web's role sees its tenants' rows only) appends by these two: they run with the
# rights of the table's owner, name every object in full and find nothing in a schema that somebody else may write to.
# plpgsql and volatile: each statement has a snapshot of its own, so what is read after the lock was committed before it.
APPEND_SQL = """
CREATE FUNCTION audit_chain_last(in_chain text, OUT last_position bigint, OUT last_digest bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit.chain'), hashtext(in_chain));
    SELECT e.position, e.digest INTO last_position, last_digest
        FROM public.audit_auditentry e WHERE e.chain = in_chain ORDER BY e.position DESC LIMIT 1;
    last_position := coalesce(last_position, 0);
    last_digest := coalesce(last_digest, decode(repeat('00', 32), 'hex'));
END $$;

CREATE FUNCTION audit_append(
    in_chain text, in_position bigint, in_at timestamptz, in_actor text, in_actor_user_id integer, in_address text,
    in_action text, in_target text, in_details jsonb, in_previous bytea, in_digest bytea
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
    new_id bigint;
BEGIN
    SELECT * INTO last FROM public.audit_chain_last(in_chain);
    IF in_position IS DISTINCT FROM last.last_position + 1 OR in_previous IS DISTINCT FROM last.last_digest THEN
        RAISE EXCEPTION 'audit chain % stands at position %: an entry for position % does not follow it',
            in_chain, last.last_position, in_position USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF length(in_digest) IS DISTINCT FROM 32 THEN
        RAISE EXCEPTION 'an audit digest has 32 bytes' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    INSERT INTO public.audit_auditentry
        (chain, position, at, actor, actor_user_id, address, action, target, details, previous, digest)
    VALUES (in_chain, in_position, in_at, in_actor, in_actor_user_id, in_address, in_action, in_target, in_details,
        in_previous, in_digest)
    RETURNING id INTO new_id;
    RETURN new_id;
END $$;
"""
APPEND_REVERSE = """
DROP FUNCTION audit_append(text, bigint, timestamptz, text, integer, text, text, text, jsonb, bytea, bytea);
DROP FUNCTION audit_chain_last(text);
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0002_append_only")]
    operations: ClassVar = [migrations.RunSQL(APPEND_SQL, APPEND_REVERSE)]
