"""The runbook's page: for those who are signed in, safe, and with the anchors that alerts link to."""

from __future__ import annotations

import pytest
from django.test import Client

from delivery.alerting.kinds import KINDS
from delivery.console.runbook import to_html
from tests import factories


@pytest.mark.django_db
def test_page_has_the_section_of_every_kind_when_signed_in() -> None:
    client = Client()
    client.force_login(factories.UserFactory())
    page = client.get("/runbook").content.decode()

    for kind in KINDS.values():
        assert f'<h2 id="{kind.runbook}">' in page
    assert '<a href="/admin/delivery/breaker/"><code>/admin/delivery/breaker/</code></a>' in page


@pytest.mark.django_db
def test_page_asks_to_sign_in_when_a_stranger_comes() -> None:
    response = Client().get("/runbook")

    assert (response.status_code, response.headers["Location"]) == (302, "/sign-in?next=/runbook")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>x()</script>", "&lt;script&gt;"),
        ("[x](javascript:x())", "<p>[x](javascript:x())</p>"),
        ("`/no-such-page`", "<p><code>/no-such-page</code></p>"),
        ("## What, me?", '<h2 id="what-me">'),
    ],
)
def test_text_is_safe_when_it_is_hostile(text: str, shown: str) -> None:
    assert shown in to_html(text)
