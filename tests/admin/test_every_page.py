"""Whatever is registered with the admin: it is found, it can be searched and filtered, and its cost does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.audited_admin import ReadOnlyAdmin
from tests.admin.rows import maker_of
from tests.factories import SuperuserFactory

pytestmark = pytest.mark.django_db

FEW, MORE = 3, 12
# Written down, so that a log cannot become editable by a change of its base class alone. Approvals and work orders are
# changed in the console.
LOGS = {
    "audit.AuditEntry",
    "delivery.Alert",
    "delivery.Approval",
    "delivery.Delivery",
    "delivery.Escalation",
    "delivery.FeedItem",
    "delivery.ReplayJob",
    "delivery.WorkOrder",
    "eventcenter.Event",
    "eventcenter.EventType",
    "eventcenter.RejectedEvent",
}
# Too few, or too much alike, to be filtered.
UNFILTERED = {"auth.Group"}


def pages() -> Iterator[Any]:
    for model, page in admin.site._registry.items():
        yield pytest.param(page, id=model._meta.label)


every_page = pytest.mark.parametrize("page", list(pages()))


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="root"))
    return client


def url(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def cost_of(client: Client, address: str) -> int:
    client.get(address)  # what a process keeps between requests is kept now
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def test_logs_are_registered() -> None:
    assert {model._meta.label for model in admin.site._registry} >= LOGS


@every_page
def test_list_has_search_filters_and_a_bounded_cost(root: Client, page: ModelAdmin[Any]) -> None:
    model, make = page.model, maker_of(page.model)
    assert page.search_fields
    assert page.list_filter or model._meta.label in UNFILTERED
    for _ in range(FEW):
        make()
    few = cost_of(root, url(model, "changelist"))
    for _ in range(MORE - FEW):
        make()
    assert cost_of(root, url(model, "changelist")) <= few


@every_page
def test_search_and_each_filter_answer(root: Client, page: ModelAdmin[Any]) -> None:
    made = maker_of(page.model)()
    for text in ("no-such-thing", str(made.pk), "0199f2a4-7c1e-7d3b-9a55-3f1e9c0d2b47", "ffffffff-" * 4, "%", "\0"):
        assert root.get(url(page.model, "changelist"), {"q": text}).status_code == 200
    answer = root.get(url(page.model, "changelist"))
    for spec in answer.context["cl"].filter_specs:
        for choice in spec.choices(answer.context["cl"]):
            assert root.get(url(page.model, "changelist") + choice.get("query_string", "?")).status_code == 200


@every_page
def test_page_of_a_row_opens_at_the_same_cost_whatever_else_there_is(root: Client, page: ModelAdmin[Any]) -> None:
    made = maker_of(page.model)()
    address = url(page.model, "change", made.pk)
    alone = cost_of(root, address)
    for _ in range(FEW):
        maker_of(page.model)()
    assert cost_of(root, address) <= alone
    history = root.get(url(page.model, "history", made.pk))
    assert history.status_code == 200


@every_page
def test_log_is_read_only_when_a_superuser_asks(root: Client, page: ModelAdmin[Any]) -> None:
    model = page.model
    if model._meta.label not in LOGS:
        assert not isinstance(page, ReadOnlyAdmin) or page.actions
        return
    made = maker_of(model)()
    before = list(model._default_manager.order_by("pk").values())
    for name, given in (("change", {"_save": "Save"}), ("delete", {"post": "yes"})):
        assert root.post(url(model, name, made.pk), given).status_code == 403
    assert root.get(url(model, "add")).status_code == 403
    assert root.post(url(model, "add"), {}).status_code == 403
    ticked = {"action": "delete_selected", "_selected_action": [str(made.pk)], "post": "yes"}
    root.post(url(model, "changelist"), ticked)
    assert list(model._default_manager.order_by("pk").values()) == before
    assert b'name="_save"' not in root.get(url(model, "change", made.pk)).content
