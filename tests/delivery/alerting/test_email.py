"""Pages by e-mail, to a mail server on loopback."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from delivery.alerting.calling import Answer, Call, Result
from delivery.alerting.contacts import send
from delivery.alerting.email import MAX_SUBJECT_CHARS
from delivery.models import PageAction
from tests.delivery.alerting.calls import make_call
from tests.fakes.smtp import MailServer

TO = "on-call@example.com"
THREAD = "<event-center-1.3@example.com>"


def mail_to(address: str = TO, action: PageAction = PageAction.TRIGGER, **given: Any) -> Call:
    return make_call(action, channel="email", address=address, **given)


def text_of(message: EmailMessage) -> str:
    return str(message.get_content())


def test_mail_says_severity_cause_numbers_and_links(mail_server: MailServer) -> None:
    assert send(mail_to()) == Answer(Result.SENT, "The mail server took it.")
    [mail] = mail_server.mails
    assert (mail.sender, mail.recipients) == ("events@example.com", [TO])
    message = mail.message
    assert message["Subject"] == "[critical] acme/ci-cd: 10 % of its attempts failed within 5 m"
    assert (message["From"], message["To"]) == ("Event Center <events@example.com>", TO)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "text/plain"
    for said in (
        "cause: endpoint:42",
        "threshold: 0.05",
        "https://events.example.com/runbook#failure-rate",
        "event-center-1",
    ):
        assert said in text_of(message)


def test_mails_of_one_incident_are_one_thread(mail_server: MailServer) -> None:
    for number, action in enumerate(PageAction):
        assert send(mail_to(action=action, page_id=UUID(int=number))).result is Result.SENT
    trigger, acknowledge, resolve = (mail.message for mail in mail_server.mails)
    assert (trigger["Message-ID"], trigger["References"]) == (THREAD, None)
    assert (acknowledge["References"], acknowledge["In-Reply-To"]) == (THREAD, THREAD)
    assert resolve["References"] == THREAD
    assert len({message["Message-ID"] for message in (trigger, acknowledge, resolve)}) == 3
    assert resolve["Subject"].startswith("[resolved] [critical] ")


def test_mail_has_its_own_id_in_the_thread_when_it_calls_a_second_time(mail_server: MailServer) -> None:
    assert send(mail_to(body={"severity": "critical", "again": True})).result is Result.SENT
    [mail] = mail_server.mails
    assert mail.message["Message-ID"] != THREAD
    assert mail.message["References"] == THREAD
    assert mail.message["Subject"].startswith("[critical] ")


def test_subject_is_one_short_line_when_the_summary_is_not(mail_server: MailServer) -> None:
    summary = "first\nBcc: everybody@example.com\r\n" + "x" * 1000
    assert send(mail_to(body={"summary": summary, "severity": "info"})).result is Result.SENT
    [mail] = mail_server.mails
    assert mail.recipients == [TO]
    assert len(mail.message["Subject"].strip()) == MAX_SUBJECT_CHARS  # folded after the name
    assert mail.message["Bcc"] is None


@pytest.mark.parametrize(
    ("verb", "reply", "result"),
    [
        ("RCPT", "550 5.1.1 no such user", Result.REFUSED),
        ("RCPT", "451 4.7.1 greylisted", Result.LATER),
        ("DATA", "554 5.6.0 not this", Result.REFUSED),
        ("DATA", "452 4.2.2 full", Result.LATER),
        ("MAIL", "550 5.7.1 not from you", Result.LATER),
        ("MAIL", "421 4.3.2 closing", Result.LATER),
    ],
)
def test_what_the_server_says_decides_whether_it_is_tried_again(
    mail_server: MailServer, verb: str, reply: str, result: Result
) -> None:
    mail_server.replies[verb] = reply
    answer = send(mail_to())
    assert answer.result is result
    assert reply[:3] in answer.words
    assert mail_server.mails == []


def test_mail_waits_when_the_server_is_away(mail_server: MailServer) -> None:
    mail_server.close()
    assert send(mail_to()) == Answer.later("The mail server is not reached: Connection refused.")


def test_mail_waits_when_no_server_is_set(settings: Settings) -> None:
    settings.EMAIL_HOST = ""
    assert send(mail_to()) == Answer.later("E-mail is not set up: EMAIL_URL is not set.")


def test_password_is_not_repeated_when_it_is_wrong(mail_server: MailServer, settings: Settings) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "events", "unmistakable"
    answer = send(mail_to())
    assert answer.result is Result.LATER
    assert "unmistakable" not in answer.words


def test_mail_is_refused_when_its_address_breaks_the_header(mail_server: MailServer) -> None:
    assert send(mail_to("a@example.com\nBcc: b@example.com")).result is Result.REFUSED
    assert mail_server.mails == []
