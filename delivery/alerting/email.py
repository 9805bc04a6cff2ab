"""Pages by e-mail, by Django's mail framework: plain text, one thread an incident (RFC 5322, section 3.6.4)."""

from __future__ import annotations

import smtplib
from email.utils import parseaddr
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from delivery.alerting.calling import Answer, Call, Result
from delivery.models import PageAction

MAX_SUBJECT_CHARS: Final = 180
WORDS: Final = {PageAction.TRIGGER: "", PageAction.ACKNOWLEDGE: "[acknowledged] ", PageAction.RESOLVE: "[resolved] "}


def send(call: Call) -> Answer:
    """Raises nothing that is to be expected. A second mail of the same page has the same Message-ID."""
    if not settings.EMAIL_HOST:
        return Answer.later("E-mail is not set up: EMAIL_URL is not set.")
    try:
        _deliver(message_of(call))
    except smtplib.SMTPRecipientsRefused as error:
        return _refusal(error)
    except smtplib.SMTPDataError as error:
        return _judged(error.smtp_code, f"The mail server refused the mail: {error.smtp_code}.")
    except smtplib.SMTPException as error:  # also a wrong password: somebody will set it right
        code = f" ({error.smtp_code})" if isinstance(error, smtplib.SMTPResponseException) else ""
        return Answer.later(f"The mail server did not take it: {type(error).__name__}{code}.")
    except ValueError:  # Django's word for an address or a header that cannot be written
        return Answer.refused("The address is none.")
    except OSError as error:
        return Answer.later(f"The mail server is not reached: {error.strerror or type(error).__name__}.")
    return Answer(Result.SENT, "The mail server took it.")


def _deliver(message: EmailMessage) -> None:
    """Closed here: of a connection that did not get past its sign-in Django lets go without a word."""
    connection = get_connection()
    try:
        connection.send_messages([message])
    finally:
        connection.close()


def message_of(call: Call) -> EmailMessage:
    """Pure but for the settings."""
    own = f"<{call.page_id}@{_domain()}>"
    thread = f"<{call.dedup_key}.{call.contact_id}@{_domain()}>"
    headers = {"Auto-Submitted": "auto-generated"}  # RFC 3834: no vacation notice comes back
    if call.action is PageAction.TRIGGER and not call.body.get("again"):
        headers["Message-ID"] = thread
    else:
        headers |= {"Message-ID": own, "In-Reply-To": thread, "References": thread}
    return EmailMessage(subject_of(call), text_of(call), settings.DEFAULT_FROM_EMAIL, [call.address], headers=headers)


def subject_of(call: Call) -> str:
    """Severity and cause first: "[critical] acme/ci-cd: …"."""
    summary = " ".join(call.text("summary").split())
    subject = f"{WORDS[call.action]}[{call.text('severity')}] {summary}"
    return subject if len(subject) <= MAX_SUBJECT_CHARS else subject[: MAX_SUBJECT_CHARS - 1] + "…"


def text_of(call: Call) -> str:
    details = "".join(f"  {name}: {value}\n" for name, value in call.details.items())
    links = "".join(f"{link['text']}: {link['href']}\n" for link in call.links)
    facts = f"severity: {call.text('severity')}\ncause: {call.text('cause')}\nsince: {call.text('timestamp')}\n"
    return f"{call.text('summary')}\n\n{facts}{details}\n{links}\nIncident {call.dedup_key}\n"


def _refusal(error: smtplib.SMTPRecipientsRefused) -> Answer:
    """One address a mail, so one answer."""
    [(code, _)] = error.recipients.values() if len(error.recipients) == 1 else [(0, b"")]
    return _judged(code, f"The mail server refused the address: {code}.")


def _judged(code: int, words: str) -> Answer:
    """RFC 5321, section 4.2.1: 5yz is for good, 4yz may pass."""
    return Answer.refused(words) if 500 <= code < 600 else Answer.later(words)


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "event-center"
