"""Pages that wait are sent in order and once, whatever PagerDuty does meanwhile."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO

import httpx2
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.alerting import contacts
from delivery.alerting.calling import Answer, Result
from delivery.alerting.contacts import routing_key_of
from delivery.alerting.incidents import acknowledge, joined, left
from delivery.alerting.outbox import LEASE, NOT_TOLD, SWITCHED_OFF, THREADS, claim, dedup_key, record
from delivery.alerting.pager import START_WITHIN_S, Pager, rest_s, send
from delivery.alerting.pagerduty import EventsClient
from delivery.models import AlertContact, Incident, Page
from eventcenter.models import Heartbeat
from tests.delivery.alerting.calls import KEY, NOW, make_alert, make_contact, resolve
from tests.factories import TenantFactory
from tests.fakes.pagerduty import PagerDuty
from tests.fakes.smtp import MailServer

pytestmark = pytest.mark.django_db
SENT = Answer(Result.SENT, "taken")


@pytest.fixture
def pager() -> Iterator[Pager]:
    running = Pager()
    yield running
    running.close(NOW)


def work_off(pager: Pager, now: datetime) -> None:
    while pager.step(now):
        pass


def incident_of(endpoint_id: int, now: datetime = NOW, ends: bool = True) -> Incident:
    """One that opened and, with `ends`, is over."""
    alert = make_alert(tenant_id=1, endpoint_id=endpoint_id)
    incident = joined(alert, now)
    if ends:
        left(resolve(alert), now)
    return incident


def waiting() -> int:
    return Page.objects.filter(next_at__isnull=False).count()


def test_pages_are_sent_in_order_to_both_channels(pager: Pager, pagerduty: PagerDuty, mail_server: MailServer) -> None:
    make_contact(), make_contact("Plugin team", address="team@example.com")
    alert = make_alert()
    incident = joined(alert, NOW)
    acknowledge(incident.pk, Actor("user:eva"), NOW)
    left(resolve(alert), NOW)

    work_off(pager, NOW)

    actions = ["trigger", "acknowledge", "resolve"]
    assert pagerduty.events == [(dedup_key(incident.pk), action) for action in actions]
    subjects = [mail.message["Subject"].partition(" ")[0] for mail in mail_server.mails]
    assert subjects == ["[critical]", "[acknowledged]", "[resolved]"]
    assert (waiting(), Page.objects.filter(sent_at=NOW, error="", tries=1).count()) == (0, 6)


def test_nothing_is_lost_doubled_or_turned_round_when_pagerduty_is_down_for_a_while(
    pager: Pager, pagerduty: PagerDuty, mail_server: MailServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused connections, then 500s, then silence; incidents come and go meanwhile, and mail goes out all the time."""
    monkeypatch.setattr(EventsClient, "timeout", httpx2.Timeout(0.3))
    make_contact(), make_contact("Mail", address="team@example.com")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    incidents: list[Incident] = []
    now = NOW

    def go_on(minutes: int) -> None:
        """One incident a minute, the pager each 30 seconds."""
        nonlocal now
        for _ in range(minutes):
            incidents.append(incident_of(len(incidents), now))
            for _ in range(2):
                work_off(pager, now)
                now += timedelta(seconds=30)

    settings.PAGERDUTY_EVENTS_URL = f"http://127.0.0.1:{port}/v2/enqueue"
    go_on(3)
    settings.PAGERDUTY_EVENTS_URL = pagerduty.url
    pagerduty.answers = [(500, {})] * 4 + [(429, {"retry-after": "20"})]
    go_on(3)
    pagerduty.answers, tried = [], pagerduty.requests
    pagerduty.answering.clear()
    go_on(3)
    assert pagerduty.requests == tried  # none of them was read to its end
    assert pagerduty.events == []
    assert len(mail_server.mails) == 2 * len(incidents)
    errors = set(Page.objects.exclude(error="").values_list("error", flat=True))
    assert "PagerDuty is not reached: ReadTimeout." in errors

    pagerduty.answering.set()
    for _ in range(10):
        now += timedelta(seconds=60)
        work_off(pager, now)
    assert sorted(pagerduty.events) == sorted(
        (dedup_key(incident.pk), action) for incident in incidents for action in ("trigger", "resolve")
    )
    assert all(
        [event["event_action"] for event in taken] == ["trigger", "resolve"] for taken in pagerduty.alerts.values()
    )
    assert waiting() == 0
    assert len(mail_server.mails) == 2 * len(incidents)


def test_contact_that_is_away_is_asked_with_one_page_and_the_rest_follow_at_once(
    pager: Pager, pagerduty: PagerDuty
) -> None:
    make_contact()
    for endpoint_id in range(20):
        incident_of(endpoint_id)
    pagerduty.answers = [(503, {})]
    work_off(pager, NOW)
    assert (pagerduty.requests, waiting()) == (1, 40)

    work_off(pager, NOW + timedelta(seconds=rest_s(1) * 1.2))
    assert (pagerduty.requests, waiting()) == (41, 0)


def test_retry_after_is_heeded(pager: Pager, pagerduty: PagerDuty) -> None:
    make_contact()
    incident_of(1, ends=False)
    pagerduty.answers = [(429, {"retry-after": "50"})]
    work_off(pager, NOW)
    work_off(pager, NOW + timedelta(seconds=49))
    assert pagerduty.requests == 1
    work_off(pager, NOW + timedelta(seconds=51))
    assert [action for _, action in pagerduty.events] == ["trigger"]


def test_silent_pagerduty_holds_no_mail_up(
    pager: Pager, pagerduty: PagerDuty, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventsClient, "timeout", httpx2.Timeout(20))
    for number in range(8):
        make_contact(f"Service {number}")
    make_contact("Mail", address="team@example.com")
    pagerduty.answering.clear()
    incident_of(1)
    for _ in range(20):
        pager.step(NOW)
        if len(mail_server.mails) == 2:
            break
    assert len(mail_server.mails) == 2
    assert pagerduty.events == []
    pagerduty.close()


def test_page_is_given_up_when_pagerduty_will_never_take_it(
    pager: Pager, pagerduty: PagerDuty, caplog: pytest.LogCaptureFixture
) -> None:
    make_contact()
    incident_of(1)
    pagerduty.answers = [(400, {})]
    with caplog.at_level(logging.ERROR, "ops"):
        work_off(pager, NOW)

    trigger = Page.objects.get(action="trigger")
    assert (trigger.next_at, trigger.sent_at) == (None, None)
    assert trigger.error == "PagerDuty refused the page (400)"
    assert [entry.getMessage() for entry in caplog.records] == ["page.refused"]
    assert pagerduty.events == []  # nor is it told of the end of what it was not told of
    assert Page.objects.get(action="resolve").error == NOT_TOLD


def test_page_is_sent_again_when_the_pager_died_before_it_recorded(pager: Pager, pagerduty: PagerDuty) -> None:
    make_contact()
    incident = incident_of(1, ends=False)
    assert len(claim(NOW)) == 1  # and then it dies
    work_off(pager, NOW + LEASE - timedelta(seconds=1))
    assert pagerduty.requests == 0
    work_off(pager, NOW + LEASE)
    assert pagerduty.events == [(dedup_key(incident.pk), "trigger")]
    assert Page.objects.get().tries == 2


def test_page_stays_sent_when_another_pager_comes_late_with_a_failure() -> None:
    make_contact()
    incident_of(1, ends=False)
    [first] = claim(NOW)
    [second] = claim(NOW + LEASE)
    record(second, SENT, NOW + LEASE, NOW + LEASE)
    record(first, Answer.later("too late"), NOW + LEASE, NOW + LEASE)
    assert Page.objects.get().sent_at == NOW + LEASE
    assert waiting() == 0


def test_resolve_waits_while_its_trigger_is_on_its_way() -> None:
    make_contact()
    incident_of(1)
    [trigger] = claim(NOW)
    assert trigger.action == "trigger"
    assert claim(NOW) == []
    record(trigger, Answer.later("away"), NOW, NOW + timedelta(hours=1))
    assert claim(NOW + timedelta(minutes=30)) == []
    [again] = claim(NOW + timedelta(hours=1))
    record(again, SENT, NOW, NOW)
    assert [call.action for call in claim(NOW + timedelta(hours=1))] == ["resolve"]


def test_claim_takes_one_page_a_contact_and_none_of_the_busy() -> None:
    contacts = [make_contact(f"Service {number}") for number in range(3)]
    for endpoint_id in range(4):
        incident_of(endpoint_id, ends=False)
    taken = claim(NOW, {contacts[0].pk})
    assert sorted(call.contact_id for call in taken) == [contacts[1].pk, contacts[2].pk]
    assert {call.routing_key for call in taken} == {KEY}


def test_no_more_is_claimed_than_there_are_free_threads(
    pager: Pager, pagerduty: PagerDuty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventsClient, "timeout", httpx2.Timeout(20))
    for number in range(THREADS + 2):
        make_contact(f"Service {number}")
    incident_of(1, ends=False)
    pagerduty.answering.clear()
    pager.step(NOW)
    pager.step(NOW)
    assert Page.objects.filter(tries=1).count() == THREADS
    assert Page.objects.filter(tries=0, next_at=NOW).count() == 2  # for whichever pager has a thread
    assert claim(NOW, free={"pagerduty": 0, "email": 1}) == []
    pagerduty.close()


def test_call_is_not_made_when_its_thread_comes_to_it_late(pagerduty: PagerDuty) -> None:
    make_contact()
    incident_of(1, ends=False)
    [call] = claim(NOW)
    assert send(call, time.monotonic() - START_WITHIN_S - 1).result is Result.LATER
    assert pagerduty.requests == 0


def test_answer_does_not_count_when_another_pager_has_the_page() -> None:
    make_contact()
    incident_of(1)
    [first] = claim(NOW)
    [second] = claim(NOW + LEASE)
    record(first, Answer.later("late"), NOW + LEASE, NOW + LEASE)
    record(first, SENT, NOW + LEASE, NOW + LEASE)
    assert claim(NOW + LEASE) == []  # neither the trigger a third time nor the resolve beside it
    record(second, SENT, NOW + LEASE, NOW + LEASE)
    assert [call.action for call in claim(NOW + LEASE)] == ["resolve"]


def test_mail_is_not_claimed_again_while_its_server_may_still_be_slow() -> None:
    make_contact("Mail", address="team@example.com")
    incident_of(1, ends=False)
    assert len(claim(NOW)) == 1
    assert claim(NOW + timedelta(seconds=200)) == []
    assert len(claim(NOW + timedelta(seconds=240))) == 1


def test_contact_is_not_called_when_it_was_switched_off_meanwhile(pager: Pager, pagerduty: PagerDuty) -> None:
    """What it was told of before is ended."""
    contact = make_contact()
    alerts = [make_alert(tenant_id=1, endpoint_id=number) for number in (1, 2)]
    told = joined(alerts[0], NOW)
    work_off(pager, NOW)
    joined(alerts[1], NOW)
    contact.enabled = False
    contact.save()
    for alert in alerts:
        left(resolve(alert), NOW)
    work_off(pager, NOW)
    assert pagerduty.events == [(dedup_key(told.pk), "trigger"), (dedup_key(told.pk), "resolve")]
    errors = Page.objects.filter(sent_at=None, next_at=None).order_by("pk").values_list("error", flat=True)
    assert list(errors) == [SWITCHED_OFF, NOT_TOLD]


def test_second_trigger_waits_for_the_first(pagerduty: PagerDuty) -> None:
    make_contact()
    incident_of(1, ends=False)
    [first] = claim(NOW)
    alert = Incident.objects.get().alerts.get()
    Page.objects.update(body={"severity": "warning"})
    joined(alert, NOW)
    assert claim(NOW) == []
    record(first, SENT, NOW, NOW)
    assert [call.body["again"] for call in claim(NOW)] == [True]


def test_others_are_sent_when_one_page_meets_a_fault_of_ours(
    pager: Pager, pagerduty: PagerDuty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_contact(), make_contact("Mail", address="team@example.com")
    monkeypatch.setitem(contacts.SENDERS, "email", lambda call: 1 / 0)
    incident_of(1, ends=False)
    work_off(pager, NOW)
    assert [action for _, action in pagerduty.events] == ["trigger"]
    assert Page.objects.get(contact__name="Mail").error == "A fault of ours: ZeroDivisionError."
    assert "page.failed" in [entry.getMessage() for entry in caplog.records]


def test_rest_grows_to_its_cap() -> None:
    assert [rest_s(failures) for failures in (1, 2, 3, 6, 7, 5000)] == [2, 4, 8, 64, 90, 90]


def test_command_sends_what_is_due_and_gives_a_sign_of_life(pagerduty: PagerDuty) -> None:
    make_contact()
    incident_of(1)
    call_command("send_pages", "--once")
    assert [action for _, action in pagerduty.events] == ["trigger", "resolve"]
    assert Heartbeat.objects.filter(role="pager").exists()


def test_test_contact_calls_and_ends_it_and_is_in_the_trail(pagerduty: PagerDuty, mail_server: MailServer) -> None:
    make_contact(), make_contact("Team", address="team@example.com", tenant=TenantFactory(slug="acme"))
    out = StringIO()
    call_command("test_contact", "Ops on call", stdout=out)
    call_command("test_contact", "Team", "--tenant", "acme", stdout=out)

    assert out.getvalue() == "PagerDuty took it.\nThe mail server took it.\n"
    assert [action for _, action in pagerduty.events] == ["trigger", "resolve"]
    assert len(mail_server.mails) == 2
    assert list(AuditEntry.objects.filter(action="contact.tested").values_list("chain", flat=True)) == [
        "platform",
        "acme",
    ]
    assert not Page.objects.exists()


def test_test_contact_says_why_when_it_is_not_taken(pagerduty: PagerDuty) -> None:
    make_contact()
    pagerduty.answers = [(400, {})]
    with pytest.raises(CommandError, match="PagerDuty refused the page"):
        call_command("test_contact", "Ops on call")
    with pytest.raises(CommandError, match="no contact 'Nobody' of the platform"):
        call_command("test_contact", "Nobody")


def test_page_waits_when_the_contact_s_key_does_not_open(pagerduty: PagerDuty) -> None:
    contact = make_contact()
    AlertContact.objects.filter(pk=contact.pk).update(sealed_routing_key=b":nobody:xxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
    contact.refresh_from_db()
    assert routing_key_of(contact) == ""
    incident_of(1, ends=False)
    call_command("send_pages", "--once")
    assert (waiting(), pagerduty.requests) == (1, 0)
    assert Page.objects.get().error == "The contact's integration key cannot be read."
