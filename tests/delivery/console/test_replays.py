from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import Actor, record
from delivery.models import Breaker, Delivery, ReplayAction, ReplayJob, ReplayState
from delivery.replays import run, service
from delivery.replays.criteria import OPEN, Criteria, gap
from eventcenter.access.roles import Role
from eventcenter.models import Heartbeat
from tests.delivery.replays.desk import ACTOR, many_dead, one, replays_of, running
from tests.factories import DeliveryFactory, EndpointFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST, NEW, DELIVERIES = "/console/replays", "/console/replays/new", "/console/deliveries"
CANCEL = "/console/deliveries/cancel"
LIVE = {"HX-Request": "true", "HX-Target": "live"}
LIST_QUERIES = (
    9  # session, user, roles; jobs; the filter's tenants; due keys; names of tenants and endpoints; alerts that fire
)
NOON = datetime(2025, 11, 5, 12, tzinfo=UTC)


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory(username="eva"))
    return client


def text_of(response: Any, status: int = 200) -> str:
    assert response.status_code == status
    return str(response.content.decode())


def fields_of(text: str, url: str = "/console/replays/new") -> dict[str, list[str]]:
    """What the new replay's form would send as it stands."""
    form = text.split(f'action="{url}"', 1)[1].split("</form>", 1)[0]
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input [^>]+>", form):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and value and ('type="checkbox"' not in tag or "checked" in tag) and name[1] != "csrfmiddlewaretoken":
            found.setdefault(name[1], []).append(unescape(value[1]))
    for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', form, re.DOTALL):
        found[name] = re.findall(r'<option value="([^"]*)" selected', options) or [""]
    return found


def previewed(ops: Client, query: str, **changes: Any) -> ReplayJob:
    """The draft that the form makes when it is sent as the URL prefills it."""
    sent = fields_of(text_of(ops.get(f"{NEW}?{query}"))) | changes
    response = ops.post(NEW, sent)
    job = ReplayJob.objects.get()
    assert response.headers["Location"] == f"{LIST}/{job.pk}", response.content.decode()
    return job


# --- A new one ---


def test_form_is_prefilled_by_the_lists_filter() -> None:
    row = many_dead(3)[0]
    client = Client()
    client.force_login(UserFactory())
    job = previewed(
        client, f"tenant={row.tenant.slug}&subscriber=subscription-{row.subscription_id}&status=dead&status=retrying"
    )
    back = job.criteria.pop("back")
    assert job.criteria == {"tenant": row.tenant_id, "subscription": row.subscription_id, "status": ["dead"]}
    assert back == f"tenant={row.tenant.slug}&subscriber=subscription-{row.subscription_id}&status=dead&status=retrying"
    assert (job.state, job.total, job.actor) == ("draft", 3, f"user:{UserFactory._meta.model.objects.get().username}")


def test_dead_are_taken_when_the_filter_names_no_ended_state(ops: Client) -> None:
    assert fields_of(text_of(ops.get(f"{NEW}?status=pending")))["status"] == ["dead"]


def test_selection_takes_the_ticked_rows_alone(ops: Client) -> None:
    rows = many_dead(4)
    query = f"tenant={rows[0].tenant.slug}&pick=selected&id={rows[1].pk}&id={rows[3].pk}&id=nonsense"
    job = previewed(ops, query)
    assert job.criteria == {
        "ids": [str(rows[1].pk), str(rows[3].pk)],
        "status": ["delivered", "dead", "cancelled"],
        "back": f"tenant={rows[0].tenant.slug}",
    }
    assert job.total == 2
    assert f'href="{DELIVERIES}?tenant={rows[0].tenant.slug}"' in text_of(ops.get(f"{LIST}/{job.pk}"))


def test_select_all_sends_the_filter_and_not_the_ids(ops: Client) -> None:
    rows = many_dead(4)
    job = previewed(ops, f"subscriber=endpoint-{rows[0].endpoint_id}&pick=all&id={rows[1].pk}")
    assert "ids" not in job.criteria
    assert job.total == 4


def test_hint_is_given_when_nothing_was_ticked(ops: Client) -> None:
    assert "Nothing was selected" in text_of(ops.get(f"{NEW}?pick=selected"))


def test_event_is_carried_over(ops: Client) -> None:
    row = one(delivered=True)
    job = previewed(ops, f"event={row.event_id}")
    assert job.criteria == {"event": str(row.event_id), "status": ["delivered", "dead", "cancelled"]}
    assert job.total == 1


def test_gap_is_carried_over(ops: Client) -> None:
    row = many_dead(1)[0]
    job = previewed(ops, f"endpoint={row.endpoint_id}&gap=1&since=2025-11-05T12:00:00.75%2B00:00")
    assert job.criteria == gap(row.endpoint_id, NOON).as_data() | {"tenant": row.tenant_id}


def test_gap_begins_with_the_failing_when_the_link_names_no_time(ops: Client) -> None:
    endpoint = EndpointFactory()
    page = f"{NEW}?endpoint={endpoint.pk}&gap=1"
    assert fields_of(text_of(ops.get(page))).get("ended_since") is None
    record(endpoint.tenant.slug, Actor("system:worker"), "endpoint.disabled", f"endpoint:{endpoint.pk}")
    disabled_at = AuditEntry.objects.get().at
    assert fields_of(text_of(ops.get(page)))["ended_since"] == [f"{disabled_at:%Y-%m-%dT%H:%M:%S}"]
    details: dict[str, object] = {"failing_since": NOON.isoformat()}
    record(endpoint.tenant.slug, Actor("system:worker"), "endpoint.disabled", f"endpoint:{endpoint.pk}", details)
    assert fields_of(text_of(ops.get(page)))["ended_since"] == ["2025-11-05T12:00:00"]
    Breaker.objects.create(
        endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, failing_since=NOON + timedelta(days=1)
    )
    assert fields_of(text_of(ops.get(page)))["ended_since"] == ["2025-11-06T12:00:00"]


def test_another_like_it_is_prefilled_by_the_job(ops: Client) -> None:
    row = many_dead(1)[0]
    criteria = Criteria(endpoint_id=row.endpoint_id, types=("a.b", "c"), since=NOON, until=NOON + timedelta(days=400))
    first = service.draft(criteria, ACTOR)
    sent = fields_of(text_of(ops.get(f"{NEW}?from={first.pk}")))
    ops.post(NEW, sent)
    assert ReplayJob.objects.exclude(pk=first.pk).get().criteria == first.criteria


@pytest.mark.parametrize(
    "query",
    [
        "from=x",
        "from=286df1ef-2b32-4a53-83fd-00f877682758",
        "event=x",
        "endpoint=x&gap=1",
        "endpoint=999999&gap=1",
        "subscriber=x",
        "tenant=%00",
    ],
)  # fmt: skip
def test_form_answers_when_the_url_holds_nonsense(ops: Client, query: str) -> None:
    text_of(ops.get(f"{NEW}?{query}"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": []}, "This field is required"),
        ({"rate_per_s": "0"}, "greater than or equal to 0.1"),
        ({"rate_per_s": "nan"}, "Enter a number"),
        ({"since": "x"}, "Enter a valid date/time"),
        ({"since": "2025-11-05T12:00:00", "until": "2025-11-05T12:00:00"}, "until: must be later than since"),
        ({"ids": "x"}, "ids: must be a UUID"),
        ({"subscriber": "endpoint-999999"}, "not one of the available choices"),
        ({"reason": "x" * 501}, "at most 500 characters"),
    ],
)
def test_wrong_field_is_told_and_nothing_is_made(ops: Client, change: dict[str, Any], words: str) -> None:
    text = text_of(ops.post(NEW, {"status": ["dead"], "rate_per_s": "10"} | change))
    assert words in text.replace("&#x27;", "'")
    assert not ReplayJob.objects.exists()


def test_endpoint_of_another_tenant_is_told(ops: Client) -> None:
    row, other = many_dead(1)[0], EndpointFactory()
    sent = {
        "tenant": other.tenant.slug,
        "subscriber": f"endpoint-{row.endpoint_id}",
        "status": "dead",
        "rate_per_s": "10",
    }
    assert "endpoint: is not known in the tenant" in text_of(ops.post(NEW, sent))
    assert not ReplayJob.objects.exists()


# --- One ---


def test_preview_shows_count_and_sample_and_starts_when_told(ops: Client) -> None:
    rows = many_dead(7)
    job = previewed(ops, f"subscriber=endpoint-{rows[0].endpoint_id}", rate_per_s="20", reason="restored")
    text = text_of(ops.get(f"{LIST}/{job.pk}"))
    assert "Replay 7 deliveries?" in text
    assert "dead, of " + rows[0].tenant.slug in text
    assert [str(row.pk) in text for row in rows] == [True] * 5 + [False] * 2
    assert replays_of(rows) == [0] * 7
    told = text_of(ops.post(f"{LIST}/{job.pk}/start", follow=True))
    assert "Started." in told
    assert "data-poll" in told
    run.step(timezone.now() + timedelta(seconds=1))
    assert replays_of(rows) == [1] * 7
    done = text_of(ops.get(f"{LIST}/{job.pk}"))
    assert "<b>100 %</b>: <b>7</b> replayed, <b>0</b> skipped of <b>7</b>" in done
    assert "data-poll" not in done
    assert set(AuditEntry.objects.values_list("action", "actor")) == {
        ("replay.drafted", "user:eva"),
        ("replay.started", "user:eva"),
        ("replay.finished", "system:replays"),
    }


@pytest.mark.parametrize(
    ("state", "buttons"),
    [
        ("draft", ["start", "cancel"]),
        ("running", ["pause"]),
        ("paused", ["resume"]),
        ("cancelled", []),
        ("done", []),
    ],
)
def test_page_has_the_buttons_of_its_state(ops: Client, state: str, buttons: list[str]) -> None:
    many_dead(1)
    job = running(Criteria(statuses=("dead",)))
    ReplayJob.objects.update(state=state)
    text = text_of(ops.get(f"{LIST}/{job.pk}"))
    assert re.findall(rf'action="{LIST}/{job.pk}/(\w+)"', text) == buttons
    assert (f'href="{LIST}/{job.pk}/cancel"' in text) is (state in ("running", "paused"))


def test_refused_move_says_why(ops: Client) -> None:
    job = running(Criteria(statuses=("dead",)))
    assert "only what is paused can be told to resume" in text_of(ops.post(f"{LIST}/{job.pk}/resume", follow=True))
    assert ReplayJob.objects.get().state == ReplayState.RUNNING


@pytest.mark.parametrize("action", ["start", "pause", "resume", "cancel"])
def test_move_needs_a_post_the_token_and_a_role(action: str, ops: Client) -> None:
    job = running(Criteria(statuses=("dead",)))
    url = f"{LIST}/{job.pk}/{action}"
    assert ops.get(url).status_code == (200 if action == "cancel" else 405)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(UserFactory())
    assert strict.post(url).status_code == 403
    other = Client()
    assert other.post(url).status_code == 302
    other.force_login(UserFactory(roles=()))
    assert other.post(url).status_code == 403
    assert other.get(LIST).status_code == 403
    assert ReplayJob.objects.get().state == ReplayState.RUNNING


def test_page_warns_when_no_process_works_replays_off(ops: Client) -> None:
    job = running(Criteria(statuses=("dead",)))
    assert "the replay waits until one runs" in text_of(ops.get(f"{LIST}/{job.pk}"))
    Heartbeat.objects.create(role="replays", instance="a:1", seen_at=timezone.now())
    assert "the replay waits until one runs" not in text_of(ops.get(f"{LIST}/{job.pk}"))


def test_poll_answers_with_the_live_part_alone(ops: Client) -> None:
    job = running(Criteria(statuses=("dead",)))
    for url in (LIST, f"{LIST}/{job.pk}"):
        text = text_of(ops.get(url, headers=LIVE))
        assert text.strip().startswith('<div id="live"')
        assert "<html" not in text


def test_unknown_replay_and_action_have_a_page_that_says_so(ops: Client) -> None:
    job = running(Criteria(statuses=("dead",)))
    for url in (f"{LIST}/{uuid4()}/pause", f"{LIST}/{job.pk}/explode"):
        text_of(ops.post(url), 404)
    assert "no such page" in text_of(ops.get(f"{LIST}/{uuid4()}"), 404)


def test_what_people_wrote_is_escaped(ops: Client) -> None:
    job = service.draft(Criteria(types=("<i>",)), ACTOR, reason="<script>alert(1)</script>")
    for url in (LIST, f"{LIST}/{job.pk}"):
        text = text_of(ops.get(url))
        assert "<script>alert" not in text
        assert "<i>" not in text


def test_running_job_is_stopped_after_a_question(ops: Client) -> None:
    job = running(Criteria(statuses=("dead",)))
    url = f"{LIST}/{job.pk}/cancel"
    assert "Stop this replay?" in text_of(ops.get(url))
    assert "Stopped. 0 were replayed and stay so." in text_of(ops.post(url, follow=True))
    assert ReplayJob.objects.get().state == ReplayState.CANCELLED
    assert "It has ended already" in text_of(ops.get(url))


# --- A cancel of many ---


def test_open_deliveries_of_the_filter_are_cancelled_after_a_count(ops: Client) -> None:
    rows = [one(retrying=True), one()]
    DeliveryFactory(dead=True, subscription=rows[0].subscription)
    query = (
        f"tenant={rows[0].tenant.slug}&code=5xx&error=http_status&q={rows[0].event.subject}&tag=&until=2100-01-01T00:00"
    )
    sent = fields_of(text_of(ops.get(f"{CANCEL}?{query}")), CANCEL)
    assert sent["status"] == ["pending", "retrying"]
    job = ReplayJob.objects.get(pk=ops.post(CANCEL, sent).headers["Location"].rsplit("/", 1)[1])
    assert (job.action, job.total) == ("cancel", 1)
    assert job.criteria["codes"] == ["5xx"]
    assert job.criteria["errors"] == ["http_status"]
    assert job.criteria["search"] == rows[0].event.subject
    asked = text_of(ops.get(f"{LIST}/{job.pk}"))
    assert "Cancel 1 delivery?" in asked
    assert "last answered 5xx, last error http status" in asked
    assert f"<dt>{rows[0].tenant.slug} / {rows[0].endpoint.slug}</dt><dd>1 delivery</dd>" in asked
    assert "Started." in text_of(ops.post(f"{LIST}/{job.pk}/start", follow=True))
    run.step(timezone.now() + timedelta(seconds=1))
    done = text_of(ops.get(f"{LIST}/{job.pk}"))
    assert "<b>1</b> cancelled, <b>0</b> skipped" in done
    assert f'href="{CANCEL}?from={job.pk}"' in done
    assert [Delivery.objects.get(pk=row.pk).status for row in rows] == ["cancelled", "pending"]
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {
        "bulk_cancel.drafted",
        "bulk_cancel.started",
        "bulk_cancel.finished",
    }


@pytest.mark.parametrize("query", ["tenant=nobody", "subscriber=endpoint-999", "since=yesterday", "until=x", "q=%00"])
def test_part_of_the_filter_that_cannot_be_used_is_told_and_not_dropped_in_silence(ops: Client, query: str) -> None:
    assert "it would take more than the list shows" in text_of(ops.get(f"{CANCEL}?{query}"))


def test_nothing_is_offered_when_nothing_fits(ops: Client) -> None:
    job = service.draft(Criteria(statuses=OPEN), ACTOR, action=ReplayAction.CANCEL)
    text = text_of(ops.get(f"{LIST}/{job.pk}"))
    assert "Nothing to cancel" in text
    assert "/start" not in text


def test_cancel_takes_the_permission_to_operate_and_shows_no_button_without(client: Client) -> None:
    row = one()
    job = running(Criteria(tenant_id=row.tenant_id, statuses=OPEN), action=ReplayAction.CANCEL)
    client.force_login(UserFactory(roles=[(row.tenant, Role.VIEWER)]))
    assert client.get(CANCEL).status_code == client.post(CANCEL).status_code == 403
    for action in ("pause", "cancel"):
        assert client.post(f"{LIST}/{job.pk}/{action}").status_code == 403
    for url in (LIST, f"{LIST}/{job.pk}"):
        assert "/pause" not in text_of(client.get(url))
    assert ReplayJob.objects.get().state == ReplayState.RUNNING


# --- The list ---


def test_list_is_filtered_by_state_action_and_tenant(ops: Client) -> None:
    row = one()
    cancel = running(Criteria(tenant_id=row.tenant_id, statuses=OPEN), action=ReplayAction.CANCEL)
    replay = service.draft(Criteria(statuses=("dead",)), ACTOR)
    for query, jobs in {
        "state=running": [cancel],
        "action=replay": [replay],
        f"tenant={row.tenant.slug}&action=cancel": [cancel],
        f"tenant={row.tenant.slug}&state=done": [],
        "state=nonsense": [replay, cancel],
    }.items():
        text = text_of(ops.get(f"{LIST}?{query}"))
        assert re.findall(r'data-row="([^"]+)"', text) == [str(job.pk) for job in jobs], query
    assert "None fits the filter" in text_of(ops.get(f"{LIST}?state=done"))
    assert ops.get(f"{LIST}?state=&action=cancel").headers["Location"] == f"{LIST}?action=cancel"


def test_job_is_paused_from_the_list_and_leads_back_to_it(ops: Client) -> None:
    job = running(Criteria(statuses=("dead",)))
    assert f'action="{LIST}/{job.pk}/pause"' in text_of(ops.get(LIST))
    assert ops.post(f"{LIST}/{job.pk}/pause", {"to": "list"}).headers["Location"] == LIST
    assert ReplayJob.objects.get().state == ReplayState.PAUSED


@pytest.mark.parametrize("count", [1, 12])
def test_query_count_does_not_grow_with_jobs(ops: Client, django_assert_num_queries: Any, count: int) -> None:
    for _ in range(count):
        service.draft(gap(EndpointFactory().pk, NOON), ACTOR)
    with django_assert_num_queries(LIST_QUERIES):
        text = text_of(ops.get(LIST))
    assert len(re.findall("data-row", text)) == count


def test_pages_lead_through_all_jobs(ops: Client) -> None:
    jobs = [service.draft(Criteria(statuses=("dead",)), ACTOR) for _ in range(52)]
    first = text_of(ops.get(LIST))
    assert re.findall(r'data-row="([^"]+)"', first) == [str(job.pk) for job in reversed(jobs[2:])]
    older = re.search(r'<a rel="next" href="([^"]+)"', first)
    assert older is not None
    second = text_of(ops.get(older[1]))
    assert re.findall(r'data-row="([^"]+)"', second) == [str(job.pk) for job in reversed(jobs[:2])]
    assert "data-poll" not in second


def test_empty_list_says_how_to_make_one(ops: Client) -> None:
    assert "No replays yet" in text_of(ops.get(LIST))


# --- The deliveries list's way there ---


def test_deliveries_list_carries_its_filter_and_ticks(ops: Client) -> None:
    ended, open_ = one(dead=True), DeliveryFactory()
    Delivery.objects.filter(pk=open_.pk).update(tenant_id=ended.tenant_id)
    text = text_of(ops.get(f"{DELIVERIES}?tenant={ended.tenant.slug}&status=dead&status=pending"))
    form = text.split(f'action="{reverse("replay-new")}"', 1)[1].split("</form>", 1)[0]
    assert re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', form) == [
        ("tenant", ended.tenant.slug),
        ("status", "dead"),
        ("status", "pending"),
    ]
    ticked = set(re.findall(r'name="id" value="([^"]+)"', form))
    assert ticked == {str(ended.pk), str(open_.pk)}, "what is open can be cancelled"
    assert sorted(re.findall(r'name="pick" value="(\w+)"', form)) == ["all", "all", "selected", "selected"]  # or cancel


def test_every_page_leads_to_the_replays(ops: Client) -> None:
    assert f'<a href="{LIST}">Replays</a>' in text_of(ops.get(DELIVERIES))
