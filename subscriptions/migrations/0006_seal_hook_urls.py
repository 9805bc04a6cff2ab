from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.db import migrations

from eventcenter.cipher import encrypt

# A Slack hook's URL is itself the secret: it goes to the endpoint's credentials, of which a Slack endpoint had none before.
TEMPLATE = "slack"
HOOK_URL = "hook_url"
PURPOSE = "endpoint-credentials"


def seal_urls(apps: Any, schema_editor: Any) -> None:
    """In the form of before data keys, so that no other table is needed; rotate_encryption_key seals it anew."""
    name, key = settings.ENCRYPTION_KEYS[0]
    for row in apps.get_model("subscriptions", "Endpoint").objects.filter(template=TEMPLATE, sealed_credentials=None):
        scheme, _, rest = row.url.partition("://")
        box = encrypt(key, json.dumps({HOOK_URL: row.url}).encode(), PURPOSE.encode())
        row.sealed_credentials = name.encode() + b":" + box
        row.url = f"{scheme}://{rest.split('/')[0]}/…"
        row.save(update_fields=["url", "sealed_credentials"])
    for record in apps.get_model("subscriptions", "AppliedSpec").objects.filter(values__plain__template=TEMPLATE):
        record.values["plain"]["url"] = ""
        record.save(update_fields=["values"])


def open_urls(apps: Any, schema_editor: Any) -> None:
    from eventcenter.crypto import unseal

    for row in apps.get_model("subscriptions", "Endpoint").objects.filter(template=TEMPLATE):
        opened = json.loads(unseal(bytes(row.sealed_credentials), PURPOSE)) if row.sealed_credentials else {}
        if HOOK_URL in opened:
            row.url, row.sealed_credentials = opened[HOOK_URL], None
            row.save(update_fields=["url", "sealed_credentials"])


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0005_signing"),
        ("eventcenter", "0010_data_keys"),
    ]

    operations = [migrations.RunPython(seal_urls, open_urls)]
