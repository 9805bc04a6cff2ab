from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from delivery.models import WorkOrder
from eventcenter.access.roles import Permission, Role
from subscriptions.models import Tenant
from tests.delivery.approvals.desk import person
from tests.eventcenter.sender import new_sender
from tests.factories import ApiKeyFactory, DeliveryFactory, TenantFactory, UserFactory, text_of

pytestmark = pytest.mark.django_db
URL = "/internal/events/work-orders"


@pytest.fixture
def tenant() -> Tenant:
    made: Tenant = TenantFactory(slug="acme")
    return made


@pytest.fixture
def ops(tenant: Tenant) -> Client:
    return session(tenant, Role.OPERATOR)


def session(tenant: Tenant | None, *roles: Role) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory(roles=[(tenant, role) for role in roles]))
    return client


def post(client: Client, path: str = "", body: Any = None) -> Any:
    sent = b"" if body is None else json.dumps(body).encode()
    return client.post(f"{URL}{path}", sent, content_type="application/json")


def problem(response: Any, status: int) -> dict[str, str]:
    """Field → message."""
    told = json.loads(response.content)
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), told
    return {error["field"]: error["message"] for error in told.get("errors", ())}


def opened(client: Client, **body: Any) -> dict[str, Any]:
    response = post(client, body={"tenant": "acme", "title": "Look"} | body)
    assert response.status_code == 201, response.content
    made: dict[str, Any] = response.json()
    assert response["Location"] == f"{URL}/{made['id']}"
    return made


def test_it_is_opened_worked_on_and_closed(ops: Client, tenant: Tenant) -> None:
    delivery = DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant)
    person(tenant, Role.OPERATOR, username="tom")
    links = [{"kind": "delivery", "id": str(delivery.pk)}]
    response = post(ops, body={"title": "Look", "body": "It died.", "severity": "critical", "links": links})
    made = response.json()
    assert (response.status_code, made["tenant"], made["origin"], made["state"]) == (201, "acme", "delivery", "open")
    assert made["links"][0]["words"] == f"{delivery.event.subject} → {delivery.endpoint.slug}"
    assert (made["outcome"], made["actions"]) == (None, ["start", "close"])
    path = f"/{made['id']}"
    assert post(ops, f"{path}/start").json()["state"] == "in_progress"
    assert post(ops, f"{path}/assign", {"assignee": "tom"}).json()["assignee"] == "tom"
    assert post(ops, f"{path}/assign", {"assignee": None}).json()["assignee"] is None
    assert post(ops, f"{path}/comments", {"text": "They are told."}).json()["timeline"][-1]["text"] == "They are told."
    assert post(ops, f"{path}/stop").json()["state"] == "open"
    closed = post(ops, f"{path}/close", {"outcome": "replayed", "text": "All got it."}).json()
    assert (closed["state"], closed["outcome"], closed["actions"]) == ("closed", "replayed", ["reopen"])
    assert post(ops, f"{path}/reopen").json()["outcome"] is None
    assert ops.get(f"{URL}{path}").json()["state"] == "open"
    problem(post(ops, f"{path}/stop"), 409)


def test_key_works_with_the_scope_operate(tenant: Tenant) -> None:
    def program(*scopes: Permission) -> Client:
        key = ApiKeyFactory(tenant=tenant, scopes=[scope.value for scope in scopes])
        return Client(headers={"authorization": f"Bearer {text_of(key)}"})

    made = opened(program(Permission.VIEW, Permission.OPERATE))
    assert made["opened_by"].startswith("key:ak_")
    problem(post(program(Permission.VIEW), f"/{made['id']}/start"), 403)
    problem(post(program(Permission.VIEW), body={"tenant": "acme", "title": "x"}), 403)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": 3}, "title"),
        ({"body": "x" * 4_001}, "body"),
        ({"severity": "awful"}, "severity"),
        ({"tenant": "nobody"}, "tenant"),
        ({"tenant": None}, "tenant"),
        ({"links": [{"kind": "x", "id": str(uuid4())}]}, "links.0.kind"),
        ({"links": [{"kind": "alert", "id": str(uuid4())}]}, "alert"),
        ({"links": "x"}, "links"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_field_is_named(ops: Client, change: dict[str, Any], field: str) -> None:
    assert list(problem(post(ops, body={"tenant": "acme", "title": "Look"} | change), 400)) == [field]
    assert not WorkOrder.objects.exists()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("close", {"outcome": "x"}, "outcome"),
        ("close", {}, "outcome"),
        ("assign", {"assignee": "nobody-at-all"}, "assignee"),
        ("assign", {}, "assignee"),
        ("comments", {"text": " "}, "text"),
        ("comments", {"text": "a\0"}, "text"),
        ("links", {"kind": "delivery", "id": "x"}, "id"),
        ("links", {"kind": "delivery", "id": str(uuid4())}, "id"),
    ],
)
def test_wrong_field_of_a_change_is_named(ops: Client, path: str, body: dict[str, Any], field: str) -> None:
    made = opened(ops)
    assert field in problem(post(ops, f"/{made['id']}/{path}", body), 400)
    assert ops.get(f"{URL}/{made['id']}").json() == made


def test_another_tenants_are_not_there(ops: Client) -> None:
    other = TenantFactory(slug="other")
    foreign = WorkOrder.objects.create(tenant=other, title="x", opened_by="user:x")
    delivery = DeliveryFactory(dead=True, subscription__endpoint__tenant=other)
    assert ops.get(URL).json() == {"items": [], "next": None}
    problem(ops.get(f"{URL}/{foreign.pk}"), 404)
    for path in ("start", "stop", "reopen", "close", "assign", "comments", "links"):
        problem(post(ops, f"/{foreign.pk}/{path}", {"text": "x"}), 404)
    assert "tenant" in problem(post(ops, body={"tenant": "other", "title": "x"}), 400)
    links = [{"kind": "delivery", "id": str(delivery.pk)}]
    assert "links" in problem(post(ops, body={"title": "x", "links": links}), 400)
    assert "delivery" in problem(post(ops, body={"tenant": "acme", "title": "x", "links": links}), 400)
    problem(Client().get(URL), 401)
    assert WorkOrder.objects.count() == 1


def test_list_is_filtered_and_goes_on(ops: Client, tenant: Tenant, django_assert_num_queries: Any) -> None:
    rows = WorkOrder.objects.bulk_create(
        WorkOrder(tenant=tenant, title=f"{number}", opened_by="user:eva") for number in range(52)
    )
    with django_assert_num_queries(4):  # session, user, roles; rows with their tenants and assignees
        answer = ops.get(f"{URL}?state=unfinished&severity=warning&tenant=acme")
    first = answer.json()
    assert [item["id"] for item in first["items"]] == [str(row.pk) for row in reversed(rows[2:])]
    assert answer["Link"] == f'<{first["next"]}>; rel="next"'
    older = ops.get(first["next"]).json()
    assert ([item["id"] for item in older["items"]], older["next"]) == (
        [str(row.pk) for row in reversed(rows[:2])],
        None,
    )
    assert ops.get(f"{URL}?state=closed").json()["items"] == []
    assert ops.get(f"{URL}?assignee=tom").json()["items"] == []
    for query in ("state=x", "severity=x", "before=x", "colour=red"):
        assert list(problem(ops.get(f"{URL}?{query}"), 400)) == [query.partition("=")[0]]


def test_publish_key_gets_nothing(ops: Client, tenant: Tenant) -> None:
    sender, client = new_sender(tenant.slug), Client()
    made = opened(ops)
    problem(client.get(URL, headers=sender.sign(b"")), 403)
    problem(client.get(f"{URL}/{made['id']}", headers=sender.sign(b"")), 404)
    problem(client.post(f"{URL}/{made['id']}/start", b"", "application/json", headers=sender.sign(b"")), 404)
    body = json.dumps({"tenant": "acme", "title": "x"}).encode()
    problem(client.post(URL, body, content_type="application/json", headers=sender.sign(body)), 403)
    assert [(order.title, order.state) for order in WorkOrder.objects.all()] == [("Look", "open")]


def test_answer_is_json_whatever_is_accepted_and_has_a_tag(ops: Client) -> None:
    path = f"{URL}/{opened(ops)['id']}"
    answers = [ops.get(address, headers={"accept": "image/png"}) for address in (URL, path)]
    assert {(answer.status_code, answer["Content-Type"]) for answer in answers} == {(200, "application/json")}
    headers = {"if-none-match": answers[1]["ETag"]}
    assert ops.get(path, headers=headers).status_code == 304
    post(ops, f"{path.removeprefix(URL)}/start")
    assert ops.get(path, headers=headers).json()["state"] == "in_progress"
