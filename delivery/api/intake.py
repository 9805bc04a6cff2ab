"""From a request to a replay job, once: a signed call that is repeated finds the job that it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request

from delivery.api.authentication import caller_of, publisher_of
from delivery.approvals import service as approvals
from delivery.models import ApprovalKind, ReplayJob
from delivery.replays import naming, service
from delivery.replays.criteria import Criteria, CriteriaError, parse
from eventcenter.access.principal import principal_of
from eventcenter.authentication import Publisher
from eventcenter.ids import new_id
from eventcenter.models import IdempotencyKey
from eventcenter.problems import FieldError, Problem
from eventcenter.publishing import key_digest
from eventcenter.standardwebhooks import ID_HEADER
from subscriptions.models import Tenant

# No key of an event can hold a NUL, so none can meet a replay's.
KEY_SPACE = "\0replay"


def read_criteria(data: Mapping[str, object], request: Request) -> Criteria:
    """Of the caller's own tenant when it is a publish key's. Raises Problem 400 or 403 that names the fields."""
    publisher = publisher_of(request)
    if publisher is not None:
        _refuse_foreign(data, publisher)
    tenant = Tenant(pk=publisher.tenant_id, slug=publisher.tenant) if publisher else None
    try:
        found = parse(naming.with_ids(data, tenant))
        return naming.owned(replace(found, tenant_id=publisher.tenant_id) if publisher else found)
    except CriteriaError as error:
        raise wrong_fields(error) from None


def _refuse_foreign(data: Mapping[str, object], publisher: Publisher) -> None:
    if data.get("tenant") not in (None, "", publisher.tenant, publisher.tenant_id):
        message = f"The publish key belongs to {publisher.tenant!r}; leave it out or name that tenant."
        detail = "A publish key replays deliveries of its own tenant only."
        raise Problem(HTTPStatus.FORBIDDEN, "foreign-tenant", detail, [FieldError("tenant", message)])


def wrong_fields(error: CriteriaError) -> Problem:
    errors = [FieldError(name, message) for name, message in error.problems]
    return Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong; nothing is replayed.", errors)


def make_job(request: Request, criteria: Criteria, rate_per_s: float, reason: str, start: bool) -> ReplayJob:
    """Drafted, and started where it is to be; one that takes a second person stays a draft, and they are asked. Raises
    Problem 400 that names the fields."""
    try:
        with transaction.atomic():
            job_id, fresh = _claim(request)
            if fresh:
                service.draft(criteria, caller_of(request), rate_per_s, reason, job_id=job_id)
                if start:
                    _start(job_id, reason, request)
    except CriteriaError as error:
        raise wrong_fields(error) from None
    return service.job_of(job_id)


def _start(job_id: UUID, reason: str, request: Request) -> None:
    if service.why_approval(job_id):
        asker = principal_of(request)
        approvals.ask(ApprovalKind.REPLAY_START, str(job_id), asker, reason.strip() or f"{asker.name} gave no reason.")
    else:
        service.start(job_id, caller_of(request))


def _claim(request: Request) -> tuple[UUID, bool]:
    """(the job's id, whether it is yet to be made). A call's webhook-id is its key, as long as keys are kept.

    `ingested_at` is set, since nothing of it is on its way through the bus.
    """
    publisher, fresh_id = publisher_of(request), new_id()
    if publisher is None:
        return fresh_id, True
    digest = key_digest(publisher.tenant + KEY_SPACE, request.headers[ID_HEADER])
    row, made = IdempotencyKey.objects.get_or_create(
        digest=digest, defaults={"event_id": fresh_id, "ingested_at": timezone.now()}
    )
    return row.event_id, made
