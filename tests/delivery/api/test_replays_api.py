from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEntry
from delivery.api import intake
from delivery.models import ReplayJob
from delivery.replays import run, service
from delivery.replays.criteria import Criteria
from eventcenter.access.roles import Role
from eventcenter.models import IdempotencyKey
from tests.delivery.replays.desk import ACTOR, many_dead, one, replays_of, running
from tests.eventcenter.sender import Sender, new_sender
from tests.factories import EndpointFactory, SubscriptionFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
URL = "/internal/events/replays"


class Caller:
    """Signs with a publish key, or carries a session."""

    def __init__(self, sender: Sender | None, client: Client) -> None:
        self.sender = sender
        self.client = client

    def post(self, path: str = "", body: Any = None, **signing: Any) -> Any:
        sent = b"" if body is None else json.dumps(body).encode()
        headers = self.sender.sign(sent, **signing) if self.sender else {}
        return self.client.post(f"{URL}{path}", sent, content_type="application/json", headers=headers)

    def get(self, path: str = "") -> Any:
        headers = self.sender.sign(b"") if self.sender else {}
        return self.client.get(f"{URL}{path}", headers=headers)


@pytest.fixture
def key() -> Caller:
    """Of the tenant acme."""
    return Caller(new_sender("acme"), Client())


@pytest.fixture
def staff() -> Caller:
    client = Client()
    client.force_login(UserFactory(username="eva"))
    return Caller(None, client)


def acme_dead(key: Caller, count: int) -> Any:
    """Dead deliveries of the key's own tenant."""
    tenant = TenantFactory._meta.model.objects.get(slug="acme")
    return many_dead(count, SubscriptionFactory(endpoint=EndpointFactory(tenant=tenant, slug="ci-cd")))


def problem(response: Any, status: int) -> dict[str, str]:
    """Field → message, of a refusal that made no job."""
    body = json.loads(response.content)
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), body
    assert not ReplayJob.objects.exists()
    return {error["field"]: error["message"] for error in body.get("errors", ())}


# --- Create ---


def test_a_keys_replay_is_counted_and_started_in_its_own_tenant(key: Caller) -> None:
    rows = acme_dead(key, 3)
    foreign = one(dead=True)
    response = key.post(body={"endpoint": "ci-cd", "rate_per_s": 20, "reason": "database restored"})
    made = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"{URL}/{made['id']}"
    assert (made["state"], made["total"], made["total_is_exact"], made["rate_per_s"]) == ("running", 3, True, 20)
    assert made["description"] == "dead, of acme / ci-cd"
    assert made["actions"] == ["pause", "cancel"]
    run.step(timezone.now() + timedelta(seconds=1))
    assert replays_of([*rows, foreign]) == [1, 1, 1, 0]
    entry = AuditEntry.objects.get(action="replay.started")
    assert (entry.chain, entry.actor) == ("acme", f"key:{key.sender.key_id if key.sender else ''}")
    assert entry.details["reason"] == "database restored"


def test_dry_run_counts_and_shows_some_and_can_be_started(key: Caller) -> None:
    rows = acme_dead(key, 7)
    made = key.post(body={"status": ["dead"], "dry_run": True}).json()
    assert (made["state"], made["total"]) == ("draft", 7)
    assert [item["id"] for item in made["sample"]] == [str(row.pk) for row in rows[:5]]
    assert made["sample"][0]["type"] == "plugin.release.published"
    assert AuditEntry.objects.get().action == "replay.drafted"
    run.step(timezone.now() + timedelta(seconds=1))
    assert sum(replays_of(rows)) == 0
    started = key.post(f"/{made['id']}/start")
    assert (started.status_code, started.json()["state"]) == (200, "running")


def test_staff_replays_across_tenants(staff: Caller) -> None:
    many_dead(2)
    many_dead(2)
    made = staff.post(body={"status": ["dead"]}).json()
    assert (made["total"], made["tenant"], made["actor"]) == (4, None, "user:eva")
    assert set(AuditEntry.objects.values_list("chain", flat=True)) == {"platform"}


def test_slugs_become_ids_that_outlive_a_new_name(staff: Caller) -> None:
    rows = many_dead(1)
    of = rows[0].subscription
    data = {"tenant": of.tenant.slug, "endpoint": of.endpoint.slug, "subscription": of.slug}
    made = staff.post(body=data).json()
    assert made["criteria"] == {
        "tenant": of.tenant_id,
        "endpoint": of.endpoint_id,
        "subscription": of.pk,
        "status": ["dead"],
    }
    assert (made["tenant"], made["total"]) == (of.tenant.slug, 1)


@pytest.mark.parametrize(
    ("body", "field", "takes"),
    [
        ({}, "body", "at least one of"),
        ([], "body", "object"),
        ({"status": ["retrying"]}, "status", "only what has ended"),
        ({"status": "dead", "rate_per_s": 0}, "rate_per_s", "0.1"),
        ({"status": "dead", "rate_per_s": "NaN"}, "rate_per_s", "takes a number"),
        ({"status": "dead", "reason": "x" * 501}, "reason", "500"),
        ({"status": "dead", "dry_run": "perhaps"}, "dry_run", "true or false"),
        ({"since": "now"}, "since", "ISO 8601"),
        ({"colour": "red"}, "colour", "not known"),
        ({"tenant": "", "ids": "x"}, "ids", "list"),
    ],
)
@pytest.mark.parametrize("who", ["key", "staff"])
def test_wrong_field_is_named(request: pytest.FixtureRequest, who: str, body: Any, field: str, takes: str) -> None:
    response = request.getfixturevalue(who).post(body=body)
    errors = problem(response, 400)
    assert list(errors) == [field]
    assert takes in errors[field]


@pytest.mark.parametrize("slug", ["nowhere", "a\0b", "é"])
def test_unknown_slug_is_named(key: Caller, slug: str) -> None:
    errors = problem(key.post(body={"endpoint": slug, "subscription": slug}), 404)
    assert errors == {"endpoint": "is not known in the tenant", "subscription": "is not known in the tenant"}


def test_unknown_tenant_is_named(staff: Caller) -> None:
    assert problem(staff.post(body={"tenant": "nobody"}), 404) == {"tenant": "is not known"}
    assert problem(staff.post(body={"tenant": 99_999}), 404) == {"tenant": "is not known"}
    assert problem(staff.post(body={"endpoint": 999_999_999}), 404) == {"endpoint": "is not known"}
    assert "needs a tenant" in problem(staff.post(body={"endpoint": "ci-cd"}), 400)["endpoint"]


def test_body_that_is_no_json_is_refused(key: Caller) -> None:
    assert key.sender is not None
    headers = key.sender.sign(b"{")
    problem(key.client.post(URL, b"{", content_type="application/json", headers=headers), 400)


def test_oversize_body_is_refused_before_it_is_read(staff: Caller) -> None:
    response = staff.client.post(URL, b"{}", content_type="application/json", CONTENT_LENGTH=str(6 * 1024 * 1024))
    problem(response, 413)


def test_repeated_call_is_answered_with_the_job_that_it_made(key: Caller) -> None:
    acme_dead(key, 2)
    first = key.post(body={"status": "dead"}, msg_id="msg_once").json()
    again = key.post(body={"status": "dead"}, msg_id="msg_once")
    assert (again.status_code, again.json()["id"]) == (201, first["id"])
    assert ReplayJob.objects.count() == 1
    other = key.post(body={"status": "dead"}, msg_id="msg_twice").json()
    assert other["id"] != first["id"]
    assert not IdempotencyKey.objects.filter(ingested_at=None).exists(), "nothing of it is on its way through the bus"


def test_refused_call_may_be_mended_under_its_id(key: Caller) -> None:
    problem(key.post(body={"status": "dead", "rate_per_s": -1}, msg_id="msg_1"), 400)
    assert key.post(body={"status": "dead"}, msg_id="msg_1").status_code == 201


def test_key_of_a_call_cannot_meet_an_events() -> None:
    assert "\0" in intake.KEY_SPACE


# --- Who may ---


def test_key_reaches_no_other_tenant(key: Caller) -> None:
    foreign = many_dead(1)[0]
    assert "tenant" in problem(key.post(body={"tenant": foreign.tenant.slug}), 404)
    assert "tenant" in problem(key.post(body={"tenant": foreign.tenant_id}), 404)
    assert "endpoint" in problem(key.post(body={"endpoint": foreign.endpoint_id}), 404)
    assert key.post(body={"ids": [str(foreign.pk)]}).json()["total"] == 0
    run.step(timezone.now() + timedelta(seconds=1))
    assert replays_of([foreign]) == [0]


def test_key_sees_and_moves_its_own_tenants_jobs_only(key: Caller) -> None:
    foreign = running(Criteria(tenant_id=many_dead(1)[0].tenant_id))
    across = running(Criteria(statuses=("dead",)))
    assert key.get().json() == {"items": [], "next": None}
    for job in (foreign, across):
        assert key.get(f"/{job.pk}").status_code == 404
        assert key.post(f"/{job.pk}/cancel").status_code == 404
    assert set(ReplayJob.objects.values_list("state", flat=True)) == {"running"}


@pytest.mark.parametrize(("method", "path"), [("get", ""), ("post", ""), ("get", "/id"), ("post", "/id/cancel")])
def test_nobody_is_let_in_without_a_signature_or_session(method: str, path: str) -> None:
    job = running(Criteria(tenant_id=many_dead(1)[0].tenant_id))
    response = getattr(Client(), method)(URL + path.replace("id", str(job.pk)), content_type="application/json")
    assert response.status_code == 401
    assert ReplayJob.objects.get().state == "running"


def test_wrong_signature_is_refused_even_with_a_session(staff: Caller) -> None:
    sender = new_sender("acme")
    signed = sender.sign(b'{"status": "dead"}')
    response = staff.client.post(URL, b'{"status": "all"}', content_type="application/json", headers=signed)
    problem(response, 401)


def test_session_needs_a_role_and_the_csrf_token() -> None:
    client = Client()
    client.force_login(UserFactory(roles=()))
    problem(client.post(URL, {"status": "dead"}, content_type="application/json"), 403)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(UserFactory())
    problem(strict.post(URL, {"status": "dead"}, content_type="application/json"), 403)


# --- List, look, move ---


def test_list_is_newest_first_and_goes_on(staff: Caller, django_assert_num_queries: Any) -> None:
    row = many_dead(1)[0]
    jobs = [service.draft(Criteria(tenant_id=row.tenant_id), ACTOR) for _ in range(52)]
    with django_assert_num_queries(5):  # session, user, roles; jobs with their tenants; the tenants' names
        page = staff.get().json()
    assert [item["id"] for item in page["items"]] == [str(job.pk) for job in reversed(jobs[2:])]
    assert page["next"] == f"{URL}?before={jobs[2].pk}"
    older = staff.client.get(page["next"]).json()
    assert [item["id"] for item in older["items"]] == [str(job.pk) for job in reversed(jobs[:2])]
    assert older["next"] is None


def test_signature_without_a_body_is_good_for_one_call(key: Caller) -> None:
    acme_dead(key, 1)
    job_id = key.post(body={"status": "dead"}).json()["id"]
    assert key.sender is not None
    headers = key.sender.sign(b"")
    assert key.client.get(f"{URL}/{job_id}", headers=headers).status_code == 200
    again = key.client.post(f"{URL}/{job_id}/cancel", content_type="application/json", headers=headers)
    assert (again.status_code, ReplayJob.objects.get().state) == (401, "running")


def test_what_was_signed_for_another_call_moves_nothing(key: Caller) -> None:
    acme_dead(key, 1)
    assert key.sender is not None
    body = json.dumps({"status": "dead"}).encode()
    headers = key.sender.sign(body)
    job_id = key.client.post(URL, body, content_type="application/json", headers=headers).json()["id"]
    moved = key.client.post(f"{URL}/{job_id}/cancel", body, content_type="application/json", headers=headers)
    assert (moved.status_code, ReplayJob.objects.get().state) == (400, "running")


def test_person_of_one_tenant_replays_there_only() -> None:
    own, foreign = many_dead(1)[0], many_dead(1)[0]
    client = Client()
    client.force_login(UserFactory(roles=[(own.tenant, Role.OPERATOR), (foreign.tenant, Role.VIEWER)]))
    eva = Caller(None, client)
    assert eva.post(body={"status": "dead"}).json()["tenant"] == own.tenant.slug
    assert eva.post(body={"tenant": foreign.tenant.slug}).status_code == 403
    job = running(Criteria(tenant_id=foreign.tenant_id))
    assert eva.get(f"/{job.pk}").status_code == 200
    assert eva.post(f"/{job.pk}/cancel").status_code == 403


def test_job_is_moved_and_a_move_that_is_not_possible_says_why(key: Caller) -> None:
    acme_dead(key, 1)
    path = f"/{key.post(body={'status': 'dead'}).json()['id']}"
    states = [key.post(f"{path}/{action}").json()["state"] for action in ("pause", "resume", "cancel")]
    assert states == ["paused", "running", "cancelled"]
    refused = key.post(f"{path}/resume")
    assert (refused.status_code, refused["Content-Type"]) == (409, "application/problem+json")
    assert refused.json()["detail"] == "It is cancelled; only what is paused can be told to resume."
    assert key.get(path).json()["state"] == "cancelled"


def test_unknown_job_and_action_are_not_found(staff: Caller) -> None:
    assert staff.get(f"/{uuid4()}").status_code == 404
    assert staff.post(f"/{uuid4()}/pause").status_code == 404
    assert staff.post(f"/{uuid4()}/explode").status_code == 404
