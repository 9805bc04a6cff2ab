"""The guide's commands, run one after the other by a shell against a running server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from audit.models import AuditEntry
from subscriptions.models import Endpoint, Subscription
from tests.docs.test_readme import FENCE
from tests.factories import ApiKeyFactory, EventFactory, TenantFactory, text_of

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "rest.md").read_text()
TIMEOUT_S = 60


@pytest.mark.django_db(transaction=True)
def test_every_command_of_the_guide_works_when_they_are_run_in_order(live_server: LiveServer) -> None:
    acme = TenantFactory(slug="acme")
    EventFactory(tenant=acme, subject="payments-gateway")
    script = "set -euo pipefail\n" + "\n".join(block["text"] for block in FENCE.finditer(GUIDE))
    env = {**os.environ, "EVENT_CENTER": live_server.url, "API_KEY": text_of(ApiKeyFactory(tenant=acme))}
    done = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"matched":1' in done.stdout
    assert Endpoint.objects.get().slug == "ci"
    assert Subscription.everything.get().archived_at
    assert AuditEntry.objects.filter(action="endpoint.secret_revoked").exists()
