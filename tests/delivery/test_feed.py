from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from config.celery import app
from delivery import feed
from delivery.models import FeedItem
from delivery.tasks import delete_old_feed_items
from tests.factories import EndpointFactory, event_id_at

pytestmark = pytest.mark.django_db


def lines_aged(*days: float) -> list[FeedItem]:
    endpoint = EndpointFactory()
    now = timezone.now()
    return [
        FeedItem.objects.create(
            id=event_id_at(now - timedelta(days=age)),
            tenant=endpoint.tenant,
            endpoint=endpoint,
            event_id=event_id_at(now),
            type="plugin.release.published",
            subject="payments-gateway",
            summary=f"{age} days old",
        )
        for age in days
    ]


def test_lines_past_retention_go_and_younger_ones_stay(settings: Settings) -> None:
    settings.RETENTION_DAYS_FEED = 30
    lines_aged(29.9, 0, 30.1, 300)
    assert feed.delete_old(timezone.now()) == 2
    assert sorted(FeedItem.objects.values_list("summary", flat=True)) == ["0 days old", "29.9 days old"]


def test_many_lines_go_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "DELETE_STEP_ROWS", 2)
    lines_aged(40, 41, 42, 43, 44, 1)
    assert feed.delete_old(timezone.now()) == 5
    assert FeedItem.objects.count() == 1


def test_one_call_deletes_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "DELETE_STEP_ROWS", 2)
    monkeypatch.setattr(feed, "DELETE_MOST_STEPS", 2)
    lines_aged(40, 41, 42, 43, 44)
    assert feed.delete_old(timezone.now()) == 4
    assert FeedItem.objects.get().summary == "40 days old"


def test_beat_knows_the_task() -> None:
    assert delete_old_feed_items.name in {entry["task"] for entry in app.conf.beat_schedule.values()}
