"""A publish key's secret is rotated while pipelines go on; a lost encryption key is an outage, not a bug."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from audit.trail import Actor
from eventcenter import data_keys
from eventcenter.models import PublishKey
from eventcenter.publish_keys import ROTATION_OVERLAP, open_secret, rotate_publish_key
from tests.eventcenter.sealing import seal_directly
from tests.eventcenter.sender import Sender, accepted, event, kept, new_sender, refused
from tests.factories import PublishKeyFactory, SuperuserFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("event_types", "topic")]
EVA = Actor("user:eva")


def test_both_secrets_publish_for_a_day_when_the_key_is_rotated() -> None:
    before = new_sender()
    key = PublishKey.objects.get()
    made = key.secret_created_at

    after = Sender(before.key_id, rotate_publish_key(key, EVA))

    accepted(before.structured(event()))
    accepted(after.structured(event()))
    key.refresh_from_db()
    assert key.previous_expires_at is not None
    assert timedelta(0) <= timezone.now() + ROTATION_OVERLAP - key.previous_expires_at < timedelta(minutes=1)
    assert key.secret_created_at > made
    assert open_secret(key) == after.secret
    entry = AuditEntry.objects.get(action="publish_key.rotated")
    assert (entry.chain, entry.actor, entry.target) == ("acme", "user:eva", f"publish_key:{before.key_id}")


def test_old_secret_is_refused_when_its_day_is_over() -> None:
    before = new_sender()
    after = Sender(before.key_id, rotate_publish_key(PublishKey.objects.get(), EVA))
    PublishKey.objects.update(previous_expires_at=timezone.now())

    refused(before.structured(event()), 401, "unauthorized")
    accepted(after.structured(event()))


def test_oldest_secret_ends_when_the_key_is_rotated_twice() -> None:
    oldest, key = new_sender(), PublishKey.objects.get()
    old = Sender(oldest.key_id, rotate_publish_key(key, EVA))
    new = Sender(oldest.key_id, rotate_publish_key(key, EVA))

    refused(oldest.structured(event()), 401, "unauthorized")
    accepted(old.structured(event()))
    accepted(new.structured(event()))


def test_call_is_answered_503_and_nothing_kept_when_the_secret_cannot_be_opened(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ENCRYPTION_KEYS = (("lost", b"l" * 32),)
    sender = new_sender()
    settings.ENCRYPTION_KEYS = (("new", b"n" * 32),)
    data_keys.forget()

    answer = sender.structured(event())

    refused(answer, 503, "unavailable")
    assert answer["Retry-After"] == "60"
    said = [record.message for record in caplog.records]
    assert {"publish_key.unreadable", "api.secret_unreadable"} <= set(said)
    settings.ENCRYPTION_KEYS = (("new", b"n" * 32), ("lost", b"l" * 32))
    accepted(sender.structured(event()))
    assert kept()[0] == 1


def test_call_is_accepted_when_only_the_other_of_two_secrets_can_be_opened(settings: Settings) -> None:
    before = new_sender()
    rotate_publish_key(PublishKey.objects.get(), EVA)
    settings.ENCRYPTION_KEYS = (("lost", b"l" * 32), *settings.ENCRYPTION_KEYS)
    PublishKey.objects.update(sealed_secret=seal_directly("whsec_gone", "publish-secret"))
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[1:]

    accepted(before.structured(event()))


def test_new_secret_is_shown_once_when_it_is_rotated_in_the_admin(client: Client) -> None:
    client.force_login(SuperuserFactory(username="eva"))
    key = PublishKeyFactory()
    page = reverse("admin:eventcenter_publishkey_changelist")

    text = client.post(page, {"action": "rotate_selected", "_selected_action": [key.pk]}, follow=True).content.decode()

    key.refresh_from_db()
    secret = open_secret(key)
    assert secret in text
    again = client.get(reverse("admin:eventcenter_publishkey_change", args=[key.pk])).content.decode()
    assert secret not in again
    assert "the one before is good until" in again
    assert "due in 364 days" in again
