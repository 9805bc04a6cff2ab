"""The console's page of the audit trail: what it shows to whom, its filters, its files, and the verification."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from audit.export import read
from audit.models import AuditEntry
from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.audit_watch import sign_heads
from delivery.console import audit_trail, audit_words
from delivery.console.audit_filter import AuditFilter
from delivery.console.audit_words import Detail, details_of
from eventcenter import audit_parts
from eventcenter.access.roles import Role
from eventcenter.audit_parts import Progress, go_on
from subscriptions.models import Tenant
from tests.audit import tampering
from tests.audit.tampering import written
from tests.delivery.alerting.calls import make_alert
from tests.factories import DeliveryFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
URL, VERIFY, EXPORT = "/console/audit", "/console/audit/verify", "/console/audit/export"
# session, user, roles; tenants; count, the page; of the chains the alerts, heads and ends
PAGE_QUERIES = 9
POLL_QUERIES = 6
EVA = Actor("user:eva", "198.51.100.7")

SignedIn = Callable[..., Client]


@pytest.fixture
def signed_in() -> SignedIn:
    def sign_in(*roles: tuple[Tenant | None, Role]) -> Client:
        client = Client()
        client.force_login(UserFactory(username="reader", roles=roles))
        return client

    return sign_in


@pytest.fixture
def ops(signed_in: SignedIn) -> Client:
    return signed_in((None, Role.VIEWER))


@pytest.fixture
def acme() -> Tenant:
    made: Tenant = TenantFactory(slug="acme")
    return made


@pytest.fixture
def kafka_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus' heads are then not compared; these tests are about the rest."""
    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:1"
    monkeypatch.setattr(audit_parts, "HEADS_S", 0.05)


def shown(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def rows_of(client: Client, query: str = "") -> list[str]:
    """The positions and chains on the page, as the entries' ids."""
    page = shown(client.get(f"{URL}{query}"))
    return [part.split('"')[0] for part in page.split('data-row="')[1:]]


def keys(*entries: AuditEntry) -> list[str]:
    return [str(entry.pk) for entry in entries]


# --- who sees what ---


def test_tenants_people_see_their_own_chains_alone(signed_in: SignedIn, acme: Tenant) -> None:
    TenantFactory(slug="globex")
    own, theirs = record("acme", EVA, "endpoint.paused", "endpoint:1"), record("globex", EVA, "a.b", "c:1")
    platform = record(PLATFORM_CHAIN, EVA, "user.created", "user:9")
    client = signed_in((acme, Role.VIEWER))
    assert rows_of(client) == keys(own)
    assert "globex" not in shown(client.get(URL))
    for query in ("?tenant=globex", "?tenant=platform", f"?target={theirs.target}", "?actor=eva"):
        assert set(rows_of(client, query)) <= set(keys(own))
    assert str(platform.pk) not in rows_of(client)


def test_platform_people_see_every_chain(ops: Client, acme: Tenant) -> None:
    entries = [record(chain, EVA, "a.b", "c:1") for chain in ("acme", PLATFORM_CHAIN)]
    assert rows_of(ops) == keys(*reversed(entries))
    assert rows_of(ops, "?tenant=platform") == keys(entries[1])


def test_nobody_without_a_role_sees_the_trail(signed_in: SignedIn) -> None:
    assert signed_in().get(URL).status_code == 403
    assert Client().get(URL).status_code == 302


@pytest.mark.parametrize("path", [VERIFY, EXPORT])
def test_another_tenants_chain_is_not_found(signed_in: SignedIn, acme: Tenant, path: str) -> None:
    TenantFactory(slug="globex")
    record("globex", EVA, "a.b", "c:1")
    client = signed_in((acme, Role.TENANT_ADMIN))
    foreign = {"chain": "globex", "tenant": "globex", "cursor": ""}
    if path == VERIFY:
        assert client.post(path, foreign).status_code == 404
        assert client.post(path, {"cursor": Progress("globex").cursor()}).status_code == 404
        assert client.post(path, {"chain": PLATFORM_CHAIN}).status_code == 404
    else:
        assert b"globex" not in client.post(path, foreign | {"format": "csv"}).getvalue()
    assert AuditEntry.objects.filter(chain="globex").count() == 1


# --- the list ---


def test_line_says_who_did_what_to_what_with_old_and_new_values(ops: Client, acme: Tenant) -> None:
    delivery = DeliveryFactory(subscription__endpoint__tenant=acme)
    record("acme", EVA, "delivery.replayed", f"delivery:{delivery.pk}", {"reason": "asked for"})
    details: dict[str, object] = {"fields": ["active", "url"], "active": [True, False]}
    record("acme", EVA, "endpoint.changed", "endpoint:7", details)
    page = shown(ops.get(URL))
    assert "replayed a delivery" in page
    assert f'href="{reverse("delivery", args=[delivery.pk])}"' in page
    assert "user:eva" in page
    assert "from 198.51.100.7" in page
    assert '<th scope="row">active</th><td>yes</td><td>no</td>' in page
    assert "its value is not kept" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?action=endpoint.paused", [0]),
        ("?action=endpoint", [0, 1]),
        ("?actor=eva", [0, 2]),
        ("?actor=system:sweep", [1]),
        ("?target=endpoint:7", [0, 1]),
        ("?target=7", [0, 1, 2]),
        ("?action=endpoint&actor=eva", [0]),
        ("?tenant=acme&target=8", []),
        ("?action=no.such&tenant=nobody", [0, 1, 2]),
        ("?actor=%00&target=" + "x" * 300, [0, 1, 2]),
        ("?until=2020-01-01T00:00", []),
        ("?since=2020-01-01T00:00Z&until=2999-01-01", [0, 1, 2]),
        ("?since=yesterday", [0, 1, 2]),
        ("?before=99999999999999999999&after=-1", [0, 1, 2]),
        ("?before=0", []),
    ],
)
def test_filters_leave_what_they_say(ops: Client, acme: Tenant, query: str, found: list[int]) -> None:
    made = [
        record("acme", EVA, "endpoint.paused", "endpoint:7"),
        record("acme", Actor("system:sweep"), "endpoint.disabled", "endpoint:7"),
        record("acme", EVA, "subscription.paused", "subscription:7"),
    ]
    assert rows_of(ops, query) == keys(*(made[place] for place in reversed(found)))


def test_time_takes_a_moment_when_it_is_none(ops: Client) -> None:
    assert "Since takes a moment in UTC" in shown(ops.get(f"{URL}?since=yesterday"))


def test_each_applied_filter_is_a_pill_that_takes_it_away() -> None:
    applied = AuditFilter.of({"tenant": "acme", "action": "endpoint", "actor": "eva", "target": "endpoint:7"}, ["acme"])
    told = [(pill.name, pill.value) for pill in applied.pills]
    assert told == [("Chain", "acme"), ("Action", "Endpoint"), ("Who", "eva"), ("On", "Endpoint 7")]
    assert applied.pills[1].query == "tenant=acme&actor=eva&target=endpoint%3A7"


def test_pages_go_by_key_and_the_newest_is_live(ops: Client, acme: Tenant) -> None:
    made = written("acme", 60)
    page = shown(ops.get(URL))
    assert "data-poll" in page
    assert rows_of(ops) == keys(*reversed(made[10:]))
    older = f"?before={made[10].pk}"
    assert f'{older}"' in page
    assert rows_of(ops, older) == keys(*reversed(made[:10]))
    assert "data-poll" not in shown(ops.get(f"{URL}{older}"))


def test_page_costs_the_same_queries_however_many_chains(ops: Client, django_assert_num_queries: Any) -> None:
    for number in range(15):
        written(TenantFactory(slug=f"tenant-{number}").slug, 2)
    with django_assert_num_queries(PAGE_QUERIES):
        ops.get(URL)
    with django_assert_num_queries(POLL_QUERIES):
        ops.get(URL, headers={"HX-Request": "true", "HX-Target": "live"})


def test_chains_that_are_broken_come_first_and_are_named(ops: Client) -> None:
    for number in range(15):
        written(TenantFactory(slug=f"tenant-{number:02}").slug, 1)
    make_alert(kind="audit.broken", dedup_key="audit.broken:tenant-14", fired_at=timezone.now())
    page = shown(ops.get(URL))
    assert "Not as it was written: tenant-14." in page
    assert page.index("?tenant=tenant-14") < page.index("?tenant=tenant-00")
    assert "4 more: choose a tenant above" in page


def test_head_is_shown_to_who_may_see_the_chain(signed_in: SignedIn, acme: Tenant, audit_topics: None) -> None:
    TenantFactory(slug="globex")
    written("acme", 3)
    written("globex", 4)
    sign_heads(timezone.now())
    page = shown(signed_in((acme, Role.VIEWER)).get(URL))
    assert 'data-label="Signed up to">3 ' in page
    assert "all have a signed head" in page


# --- the files ---


def test_export_is_what_the_filter_finds_and_leaves_an_entry(signed_in: SignedIn, acme: Tenant) -> None:
    client = signed_in((acme, Role.VIEWER))
    made = written("acme", 5)
    record("acme", EVA, "endpoint.changed", "=cmd:1", {"n": 1})
    lines = client.post(EXPORT, {"format": "jsonl", "actor": "system:test"}).getvalue().decode().splitlines()
    stored = read(lines).entries["acme"]
    assert [entry.digest for entry in stored] == [bytes(entry.digest) for entry in made]
    table = list(csv.reader(io.StringIO(client.post(EXPORT, {"format": "csv"}).getvalue().decode())))
    assert table[0][:3] == ["at", "chain", "position"]
    assert table[6][6] == "'=cmd:1"
    assert json.loads(table[1][7]) == {"n": 0, "to": "é"}
    exported = AuditEntry.objects.filter(action="audit.exported").order_by("id")
    assert [entry.details["filter"] for entry in exported] == ["actor=system%3Atest", ""]
    assert {entry.actor for entry in exported} == {"user:reader"}


@pytest.mark.parametrize("form", ["", "xml", "%00"])
def test_unknown_format_is_not_found_and_leaves_nothing(ops: Client, form: str) -> None:
    assert ops.post(EXPORT, {"format": form}).status_code == 404
    assert not AuditEntry.objects.exists()


# --- the verification ---


@pytest.mark.kafka
def test_chain_is_intact_up_to_its_signed_head(signed_in: SignedIn, acme: Tenant, audit_topics: None) -> None:
    written("acme", 5)
    sign_heads(timezone.now())
    page = shown(signed_in((acme, Role.VIEWER)).post(VERIFY, {"chain": "acme"}))
    last = AuditEntry.objects.get(chain="acme", position=5)
    assert "Intact</span> up to entry 5" in page
    assert bytes(last.digest).hex() in page
    assert "2 compared, up to entry 5" in page, "the one in the database and the one on the bus"
    assert "Not compared" not in page
    said = AuditEntry.objects.get(action="audit.verified")
    assert (said.chain, said.position, said.actor, said.target) == ("acme", 6, "user:reader", "chain:acme")
    assert (said.details["result"], said.details["up_to"], said.details["faults"]) == ("intact", 5, [])


@pytest.mark.django_db(transaction=True)
def test_broken_entry_is_named_and_shown(signed_in: SignedIn, acme: Tenant, kafka_is_away: None) -> None:
    written("acme", 5)
    tampering.change(3)
    client = signed_in((acme, Role.VIEWER))
    page = shown(client.post(VERIFY, {"chain": "acme"}))
    assert "Broken" in page
    assert "<b>Changed</b> <span>entry 3</span>" in page
    assert str(AuditEntry.objects.get(position=3).pk) in page
    assert "Kafka is away" in page or "did not give" in page
    assert AuditEntry.objects.get(action="audit.verified").details["result"] == "broken"
    assert "Not as it was written: acme." in shown(client.get(URL))


def test_long_chain_is_verified_in_parts_and_told_once(
    ops: Client, acme: Tenant, kafka_is_away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written("acme", 5)
    monkeypatch.setattr(audit_trail, "PART_MOST", 2)
    page = shown(ops.post(VERIFY, {"chain": "acme"}))
    assert "<b>2</b> of 5 entries are intact so far" in page
    assert not AuditEntry.objects.filter(action="audit.verified").exists()
    for _ in range(2):
        cursor = page.split('name="cursor" value="')[1].split('"')[0]
        page = shown(ops.post(VERIFY, {"cursor": cursor}, headers={"HX-Request": "true", "HX-Target": "verify"}))
    assert "<html" not in page
    assert "Intact</span> up to entry 5" in page
    assert AuditEntry.objects.filter(action="audit.verified").count() == 1


@pytest.mark.parametrize("cursor", ["x", "W10:1x:y", "%00"])
def test_verification_is_lost_when_its_cursor_is_not_ours(ops: Client, acme: Tenant, cursor: str) -> None:
    written("acme", 2)
    assert "no longer going on" in shown(ops.post(VERIFY, {"cursor": cursor}))
    assert AuditEntry.objects.count() == 2


@pytest.mark.parametrize("path", [VERIFY, EXPORT])
def test_asking_by_get_leads_back_to_the_trail(ops: Client, path: str) -> None:
    assert ops.get(path).headers["Location"] == URL


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("deed", "fault"),
    [
        (lambda: tampering.remove(3), ("removed", 4)),
        (lambda: tampering.remove(5), ("", 0)),
        (lambda: tampering.swap(1, 2), ("fork", 0)),
        (lambda: tampering.change(5), ("changed", 5)),
    ],
)
def test_fault_is_found_over_the_borders_of_parts(
    kafka_is_away: None, deed: Callable[[], None], fault: tuple[str, int]
) -> None:
    written("acme", 5)
    deed()
    part = go_on(Progress("acme"), most=1)
    parts = 1
    while not part.is_over:
        part, parts = go_on(Progress.of_cursor(part.progress.cursor()), most=1), parts + 1
    kinds = [(found.kind.value, found.position) for found in part.faults]
    assert bool(kinds) == bool(fault[0]), "without a head nobody can tell that the end was cut off"
    assert parts <= 5
    if fault[1]:
        assert fault in kinds


def test_part_ends_when_its_time_is_over(kafka_is_away: None) -> None:
    written("acme", 5)
    ticks = iter([0.0, 1.0, 9.0, 10.0])
    part = go_on(Progress("acme"), within_s=4, clock=lambda: next(ticks))
    assert (part.progress.position, part.is_over, part.progress.taken_s) == (2, False, 10.0)


def test_cursor_is_refused_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = Progress("acme", 3).cursor()
    assert Progress.of_cursor(cursor) == Progress("acme", 3)
    monkeypatch.setattr(audit_parts, "GOOD_FOR_S", timedelta(seconds=-1))
    with pytest.raises(audit_parts.CursorError):
        Progress.of_cursor(cursor)


# --- words ---


@pytest.mark.parametrize(
    ("details", "rows"),
    [
        ({}, []),
        ({"reason": "late", "count": 3}, [Detail("count", "3"), Detail("reason", "late")]),
        ({"from": "paused", "to": "enabled"}, [Detail("state", "enabled", "paused")]),
        (
            {"fields": ["a", "b"], "a": [None, ["x", "y"]]},
            [Detail("a", "x, y", "–"), Detail("b", audit_words.NOT_KEPT)],
        ),
        ({"fields": "odd", "more": {"k": [1]}}, [Detail("more", '{"k": [1]}')]),
    ],
)
def test_details_are_told_by_name(details: dict[str, object], rows: list[Detail]) -> None:
    assert details_of(details) == rows


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("endpoint.paused", "paused an endpoint"),
        ("sign_out", "signed out"),
        ("new_thing.was_made", "was made new thing"),
    ],
)
def test_action_stands_for_itself_when_it_is_not_known(action: str, words: str) -> None:
    assert audit_words.action_words(action) == words


@pytest.mark.parametrize(
    ("target", "action", "url"),
    [
        ("chain:acme", "", f"{URL}?tenant=acme"),
        ("delivery:not-a-uuid", "", ""),
        ("endpoint:7", "endpoint.deleted", ""),
        ("encryption_keys", "", ""),
        ("planet:mars", "", ""),
    ],
)
def test_target_is_a_link_where_it_has_a_page(target: str, action: str, url: str) -> None:
    assert audit_words.target_url(target, action) == url
