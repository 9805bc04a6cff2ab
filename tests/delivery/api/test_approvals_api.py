from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from delivery.models import Approval, ApprovalKind, Delivery
from eventcenter.access.roles import Permission, Role
from subscriptions.models import Tenant
from tests.delivery.approvals.desk import approver, asked, disabled_by_system, escalated, operator
from tests.eventcenter.sender import new_sender
from tests.factories import ApiKeyFactory, DeliveryFactory, TenantFactory, UserFactory, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]
URL = "/internal/events/approvals"


@pytest.fixture
def tenant() -> Tenant:
    made: Tenant = TenantFactory(slug="acme")
    return made


def session(tenant: Tenant | None, *roles: Role) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory(roles=[(tenant, role) for role in roles]))
    return client


def key(tenant: Tenant, *scopes: Permission, **values: Any) -> Client:
    made = ApiKeyFactory(tenant=tenant, scopes=[scope.value for scope in scopes], **values)
    return Client(raise_request_exception=False, headers={"authorization": f"Bearer {text_of(made)}"})


def post(client: Client, path: str = "", body: Any = None) -> Any:
    return client.post(f"{URL}{path}", json.dumps(body), content_type="application/json")


def of(tenant: Tenant) -> Delivery:
    return escalated(subscription__endpoint__tenant=tenant)


def body_of(delivery: Delivery, **changes: Any) -> dict[str, Any]:
    return {"kind": "delivery.replay", "target": str(delivery.pk), "reason": "It is back."} | changes


def problem(response: Any, status: int) -> dict[str, str]:
    """Field → message."""
    told = json.loads(response.content)
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), told
    return {error["field"]: error["message"] for error in told.get("errors", ())}


def test_key_asks_and_a_person_decides(tenant: Tenant) -> None:
    delivery = of(tenant)
    program = key(tenant, Permission.VIEW, Permission.REPLAY)
    response = post(program, body=body_of(delivery))
    made = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"{URL}/{made['id']}"
    assert (made["state"], made["tenant"], made["target"]) == ("requested", "acme", f"delivery:{delivery.pk}")
    assert made["arguments"] == {"delivery": str(delivery.pk), "replays": 0}
    again = post(program, body=body_of(delivery, reason="Again."))
    assert (again.status_code, again.json()["id"]) == (200, made["id"])
    problem(post(program, f"/{made['id']}/approve", {"reason": "Me."}), 403)
    decided = post(session(tenant, Role.APPROVER), f"/{made['id']}/approve", {"reason": "Seen it."}).json()
    assert (decided["state"], decided["decision_reason"]) == ("approved", "Seen it.")
    assert Delivery.objects.get().replays == 1
    assert problem(post(session(tenant, Role.APPROVER), f"/{made['id']}/reject", {"reason": "No."}), 409) == {}


def test_maker_of_the_key_cannot_decide(tenant: Tenant) -> None:
    user = UserFactory(roles=[(tenant, Role.APPROVER)])
    program = key(tenant, Permission.REPLAY, created_by=user)
    made = post(program, body=body_of(of(tenant))).json()
    client = Client()
    client.force_login(user)
    problem(post(client, f"/{made['id']}/approve", {"reason": "Yes."}), 403)
    assert Approval.objects.get().state == "requested"


def test_endpoint_comes_back_by_the_api(tenant: Tenant) -> None:
    endpoint = disabled_by_system(tenant)
    asking = {"kind": "endpoint.resume", "target": str(endpoint.pk), "reason": "They restarted it."}
    made = post(session(tenant, Role.OPERATOR), body=asking).json()
    assert post(session(tenant, Role.APPROVER), f"/{made['id']}/approve", {"reason": "Yes."}).status_code == 200
    endpoint.refresh_from_db()
    assert endpoint.state == "enabled"


def test_it_is_rejected_withdrawn_or_found_to_be_impossible(tenant: Tenant) -> None:
    first, second = session(tenant, Role.OPERATOR), session(tenant, Role.APPROVER)
    ids = [post(first, body=body_of(of(tenant))).json()["id"] for _ in range(3)]
    assert post(second, f"/{ids[0]}/reject", {"reason": "No."}).json()["state"] == "rejected"
    problem(post(second, f"/{ids[1]}/withdraw"), 403)
    assert first.post(f"{URL}/{ids[1]}/withdraw").json()["state"] == "withdrawn"
    Delivery.objects.update(replays=3)
    told = post(second, f"/{ids[2]}/approve", {"reason": "Yes."}).json()
    assert (told["state"], told["outcome"]) == ("failed", "It was replayed meanwhile.")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "x"}, "kind"),
        ({"kind": None}, "kind"),
        ({"target": 3}, "target"),
        ({"target": "x" * 40}, "target"),
        ({"target": "a\0"}, "target"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_field_is_named(tenant: Tenant, change: dict[str, Any], field: str) -> None:
    client = session(tenant, Role.OPERATOR)
    assert list(problem(post(client, body=body_of(of(tenant), **change)), 400)) == [field]
    assert not Approval.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"'])
def test_body_that_is_no_object_is_refused(tenant: Tenant, body: bytes) -> None:
    client = session(tenant, Role.OPERATOR, Role.APPROVER)
    approval = asked(ApprovalKind.DELIVERY_REPLAY, of(tenant).pk, operator(tenant))
    for path in ("", f"/{approval.pk}/approve", f"/{approval.pk}/reject"):
        problem(client.post(f"{URL}{path}", body, content_type="application/json"), 400)
    problem(client.post(URL, b"x", content_type="text/plain"), 415)
    problem(client.post(URL, b"{}", content_type="application/json", CONTENT_LENGTH=str(6 * 1024 * 1024)), 413)


def test_what_needs_nobody_or_is_not_there_is_told(tenant: Tenant) -> None:
    client = session(tenant, Role.OPERATOR)
    plain, foreign = DeliveryFactory(dead=True, subscription__endpoint__tenant=tenant), escalated()
    problem(post(client, body=body_of(plain)), 409)
    problem(post(client, body=body_of(foreign)), 404)
    problem(post(client, body=body_of(plain, target=str(uuid4()))), 404)
    problem(post(session(tenant, Role.VIEWER), body=body_of(of(tenant))), 403)
    assert not Approval.objects.exists()


def test_another_tenants_are_not_there(tenant: Tenant) -> None:
    foreign = escalated()
    approval = asked(ApprovalKind.DELIVERY_REPLAY, foreign.pk, operator(foreign.tenant))
    client = session(tenant, Role.OPERATOR, Role.APPROVER)
    assert client.get(URL).json() == {"items": [], "next": None}
    problem(client.get(f"{URL}/{approval.pk}"), 404)
    for action in ("approve", "reject", "withdraw"):
        problem(post(client, f"/{approval.pk}/{action}", {"reason": "x"}), 404)
    problem(Client().get(URL), 401)
    approval.refresh_from_db()
    assert approval.state == "requested"


def test_list_is_filtered_and_goes_on(tenant: Tenant, django_assert_num_queries: Any) -> None:
    client = session(None, Role.VIEWER)
    rows = [
        Approval.objects.create(
            tenant=tenant,
            kind="delivery.replay",
            target=f"delivery:{uuid4()}",
            state="expired",
            expires_at="2026-01-01T00:00Z",
        )
        for _ in range(52)
    ]
    with django_assert_num_queries(4):  # session, user, roles; rows with their tenants
        answer = client.get(f"{URL}?tenant=acme&state=expired&kind=delivery.replay")
    first = answer.json()
    assert [item["id"] for item in first["items"]] == [str(row.pk) for row in reversed(rows[2:])]
    assert answer["Link"] == f'<{first["next"]}>; rel="next"'
    older = client.get(first["next"]).json()
    assert ([item["id"] for item in older["items"]], older["next"]) == (
        [str(row.pk) for row in reversed(rows[:2])],
        None,
    )
    assert client.get(f"{URL}?tenant=nobody").json()["items"] == []
    for query in ("state=x", "before=x", "colour=red", "tenant=a%00"):
        assert list(problem(client.get(f"{URL}?{query}"), 400)) == [query.partition("=")[0]]


def test_approvers_by_the_platform_decide_everywhere(tenant: Tenant) -> None:
    approval = asked(ApprovalKind.DELIVERY_REPLAY, of(tenant).pk, operator(tenant))
    assert approver(None).may(Permission.APPROVE, tenant.pk)
    assert post(session(None, Role.APPROVER), f"/{approval.pk}/approve", {"reason": "Yes."}).status_code == 200


def test_publish_key_asks_and_sees_only_that(tenant: Tenant) -> None:
    sender, client = new_sender(tenant.slug), Client()
    others = asked(ApprovalKind.DELIVERY_REPLAY, of(tenant).pk, operator(tenant))
    body = json.dumps(body_of(of(tenant))).encode()
    headers = sender.sign(body)
    answers = [client.post(URL, body, content_type="application/json", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert len({answer.json()["id"] for answer in answers}) == 1
    listed = client.get(URL, headers=sender.sign(b"")).json()["items"]
    assert [item["id"] for item in listed] == [answers[0].json()["id"]]
    problem(client.get(f"{URL}/{others.pk}", headers=sender.sign(b"")), 404)
    yes = json.dumps({"reason": "Yes."}).encode()
    path = answers[0]["Location"]
    refused = client.post(f"{path}/approve", yes, content_type="application/json", headers=sender.sign(yes))
    problem(refused, 403)
    withdrawn = client.post(f"{path}/withdraw", b"", content_type="application/json", headers=sender.sign(b""))
    assert withdrawn.json()["state"] == "withdrawn"


def test_answer_is_json_whatever_is_accepted_and_has_a_tag(tenant: Tenant) -> None:
    approval = asked(ApprovalKind.DELIVERY_REPLAY, of(tenant).pk, operator(tenant))
    client = session(tenant, Role.VIEWER)
    answers = [client.get(path, headers={"accept": "image/png"}) for path in (URL, f"{URL}/{approval.pk}")]
    assert {(answer.status_code, answer["Content-Type"]) for answer in answers} == {(200, "application/json")}
    again = client.get(f"{URL}/{approval.pk}", headers={"if-none-match": answers[1]["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
