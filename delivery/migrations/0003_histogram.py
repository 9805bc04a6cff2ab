from __future__ import annotations

from typing import ClassVar

from django.db import migrations

# `bounds` ascending, one bucket more than bounds; NULL values are not counted.
HISTOGRAM_SQL = """
CREATE FUNCTION delivery_histogram(measured float8[], bounds float8[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    counts bigint[] := array_fill(0::bigint, ARRAY[cardinality(bounds) + 1]);
    one float8;
    place integer;
BEGIN
    FOREACH one IN ARRAY measured LOOP
        CONTINUE WHEN one IS NULL;
        place := width_bucket(one, bounds) + 1;
        counts[place] := counts[place] + 1;
    END LOOP;
    RETURN counts;
END $$;
CREATE FUNCTION delivery_add(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    FOR place IN 1 .. cardinality(b) LOOP
        a[place] := coalesce(a[place], 0) + b[place];
    END LOOP;
    RETURN a;
END $$;
"""
HISTOGRAM_REVERSE = """
DROP FUNCTION delivery_histogram(float8[], float8[]);
DROP FUNCTION delivery_add(bigint[], bigint[]);
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("delivery", "0002_config_revision")]
    operations: ClassVar = [migrations.RunSQL(HISTOGRAM_SQL, HISTOGRAM_REVERSE)]
