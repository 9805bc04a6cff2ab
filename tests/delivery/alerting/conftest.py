from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.fakes.pagerduty import PagerDuty
from tests.fakes.smtp import MailServer

SMTP = "django.core.mail.backends.smtp.EmailBackend"  # the test runner puts another in its place


@pytest.fixture
def pagerduty(settings: Settings) -> Iterator[PagerDuty]:
    with PagerDuty() as running:
        settings.PAGERDUTY_EVENTS_URL = running.url
        yield running


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = SMTP, "127.0.0.1"
    settings.DEFAULT_FROM_EMAIL = "Event Center <events@example.com>"
    with MailServer() as running:
        settings.EMAIL_PORT = running.port
        yield running
