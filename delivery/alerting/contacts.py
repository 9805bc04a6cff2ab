"""Who is called: their keys, and a call to try them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from django.utils import timezone

from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.alerting import absolute, email, pagerduty
from delivery.alerting.calling import Answer, Call, Result
from delivery.models import AlertContact, AlertSeverity, ContactChannel, PageAction
from eventcenter.crypto import UnsealError, seal, unseal
from eventcenter.envelope import timestamp_text
from eventcenter.ids import new_id
from subscriptions.channels.pagerduty import check_integration_key

__all__ = ["SENDERS", "chain_of", "check_integration_key", "routing_key_of", "seal_routing_key", "send", "send_test"]

SENDERS: Final[dict[str, Callable[[Call], Answer]]] = {
    ContactChannel.PAGERDUTY.value: pagerduty.send,
    ContactChannel.EMAIL.value: email.send,
}


def seal_routing_key(key: str) -> bytes:
    return seal(json.dumps({"routing_key": key}), AlertContact.ROUTING_KEY_PURPOSE)


def routing_key_of(contact: AlertContact) -> str:
    """ "" when there is none, or none that opens: the call says so then."""
    if contact.sealed_routing_key is None:
        return ""
    try:
        found = json.loads(unseal(bytes(contact.sealed_routing_key), AlertContact.ROUTING_KEY_PURPOSE))
    except UnsealError:
        return ""
    return str(found["routing_key"])


def send(call: Call) -> Answer:
    """One request or mail, within seconds. An expected failure is an answer."""
    if call.channel == ContactChannel.PAGERDUTY and check_integration_key(call.routing_key) is not None:
        return Answer.later("The contact's integration key cannot be read.")
    return SENDERS[call.channel](call)


def send_test(contact: AlertContact, actor: Actor) -> Answer:
    """A trigger and its resolve, at once, with an entry in the trail. Returns the first answer that is not good, or the last."""
    key = f"event-center-test-{new_id()}"
    record(chain_of(contact), actor, "contact.tested", f"contact:{contact.pk}", {"name": contact.name})
    for action in (PageAction.TRIGGER, PageAction.RESOLVE):
        answer = send(_test_call(contact, action, key))
        if answer.result is not Result.SENT:
            break
    return answer


def chain_of(contact: AlertContact) -> str:
    return contact.tenant.slug if contact.tenant else PLATFORM_CHAIN


def _test_call(contact: AlertContact, action: PageAction, dedup_key: str) -> Call:
    body: dict[str, object] = {
        "summary": f"Test page for {contact.name}: nothing is wrong",
        "severity": AlertSeverity.INFO.value,
        "cause": "test",
        "source": "event-center/test",
        "timestamp": timestamp_text(timezone.now()),
        "class": "test",
        "links": [{"text": "Alerts in the console", "href": url}] if (url := absolute.list_url()) else [],
    }
    return Call(
        page_id=new_id(),
        contact_id=contact.pk,
        channel=contact.channel,
        action=action,
        dedup_key=dedup_key,
        body=body,
        address=contact.address,
        routing_key=routing_key_of(contact),
    )
