"""From a forge's request to what was published and what was ignored, or to the one problem that says why not.

The order is: who it is for, whether it is proven, whether it is to be taken at all, and only then what it says.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from django.http import Http404

from eventcenter import refusals, row_security
from eventcenter import registry as event_types
from eventcenter.adapters import counts
from eventcenter.adapters.message import Ignored, Message, PayloadError, Proof, Reason, Rules
from eventcenter.adapters.registry import FORGES, Forge
from eventcenter.adapters.services import live_secrets
from eventcenter.envelope import Envelope
from eventcenter.flags import Flag, is_on
from eventcenter.models import Adapter, AdapterKind
from eventcenter.problems import FieldError, Problem
from eventcenter.publishing import Receipt, find_problems, publish

logger = logging.getLogger(__name__)

MALFORMED = "malformed"
_SAYS = {
    Proof.MISSING: "The header {header} is missing.",
    Proof.WRONG: "The header {header} does not fit the adapter's secret.",
    Proof.STALE: "The signature's time is more than five minutes from ours.",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """In the order of the message. Both are empty for an envelope without events."""

    receipts: Sequence[Receipt]
    ignored: Sequence[Ignored]


def take(public_id: str, message: Message) -> Taken:
    """When this returns, what it calls published is committed. Raises Http404, Problem 401 or 400, OperationalError."""
    adapter = _adapter(public_id)
    forge = FORGES[AdapterKind(adapter.kind)]
    _check_proof(adapter, forge, message)
    switched_off = _switched_off(adapter)
    if switched_off:
        return _done(adapter, [], [switched_off])
    found = _read(adapter, forge, message)
    ignored = [row for row in found if isinstance(row, Ignored)]
    return _done(adapter, [row for row in found if isinstance(row, Envelope)], ignored)


def _adapter(public_id: str) -> Adapter:
    """The URL says whose request it is: from here on it sees that tenant's rows alone."""
    with row_security.unscoped():
        known = Adapter.objects.select_related("tenant").filter(public_id=public_id, tenant__active=True)
        found = known.first()
    if found is None:
        raise Http404
    row_security.narrow({found.tenant_id})
    return found


def _check_proof(adapter: Adapter, forge: Forge, message: Message) -> None:
    proof = forge.proves(live_secrets(adapter, message.now), message)
    if proof is Proof.GOOD:
        return
    counts.add_refused(adapter, proof.value)
    refusals.count(refusals.BY_PROOF[proof], adapter.tenant_id)
    # Whose it is, the adapter's number tells; a stranger's call puts no tenant's name into a log.
    logger.warning(
        "adapter.signature_refused",
        extra={"adapter": adapter.pk, "kind": adapter.kind, "fault": proof.value},
    )
    detail = _SAYS[proof].format(header=forge.proof_header)
    raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers={"WWW-Authenticate": forge.challenge})


def _switched_off(adapter: Adapter) -> Ignored | None:
    if not is_on(Flag.PLUGIN_RELEASE_WEBHOOK, adapter.tenant.slug):
        return Ignored(Reason.FLAG_OFF, "The flag plugin-release-webhook is off for the tenant.")
    return None if adapter.active else Ignored(Reason.PAUSED, "The adapter is paused.")


def _read(adapter: Adapter, forge: Forge, message: Message) -> list[Envelope | Ignored]:
    try:
        found = forge.read(message, rules_of(adapter))
    except PayloadError as error:
        counts.add_refused(adapter, MALFORMED)
        errors = [FieldError(problem.field, problem.message) for problem in error.problems]
        detail = "The body is not what this forge documents; nothing was published."
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid-payload", detail, errors) from None
    return [_fit(row, adapter) if isinstance(row, Envelope) else row for row in found]


def _fit(envelope: Envelope, adapter: Adapter) -> Envelope | Ignored:
    """With the mark of its adapter; ignored where the type's schema would refuse it."""
    problems = find_problems(envelope, adapter.tenant.slug, event_types.schemas.get())
    if problems:
        return Ignored(Reason.UNFIT, "The event would break its type's schema: " + "; ".join(map(str, problems[:5])))
    mark = {"adapter": f"{adapter.kind}/{adapter.pk}"}
    return msgspec.structs.replace(envelope, extensions=envelope.extensions | mark)


def _done(adapter: Adapter, envelopes: Sequence[Envelope], ignored: Sequence[Ignored]) -> Taken:
    receipts = publish(adapter.tenant.slug, envelopes)
    counts.add_taken(adapter, receipts, ignored)
    logger.info(
        "adapter.taken",
        extra={
            "adapter": adapter.pk,
            "tenant": adapter.tenant.slug,
            "events": [str(row.id) for row in receipts],
            "ignored": [row.reason.value for row in ignored],
        },
    )
    return Taken(receipts, ignored)


def rules_of(adapter: Adapter) -> Rules:
    return Rules(
        tenant=adapter.tenant.slug,
        repositories=tuple(adapter.repositories),
        plugin_ids=adapter.plugin_ids,
        tag_prefix=adapter.tag_prefix,
        asset_pattern=adapter.asset_pattern,
        media_types=tuple(adapter.media_types),
        prereleases=adapter.prereleases,
    )
