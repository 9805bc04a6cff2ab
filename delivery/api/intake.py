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
from delivery.models import ApprovalKind, ReplayAction, ReplayJob
from delivery.replays import gate, naming, service
from delivery.replays.criteria import Criteria, CriteriaError, UnknownError, parse
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission
from eventcenter.api.base import forbidden, unknown
from eventcenter.ids import new_id
from eventcenter.models import IdempotencyKey
from eventcenter.problems import FieldError, Problem
from eventcenter.publishing import key_digest
from eventcenter.standardwebhooks import ID_HEADER
from subscriptions.models import Tenant

# No key of an event can hold a NUL, so none can meet a replay's.
KEY_SPACE = "\0replay"


def read_criteria(data: Mapping[str, object], request: Request, action: ReplayAction = ReplayAction.REPLAY) -> Criteria:
    """Of a tenant where the caller may do it; of all tenants only by who may in all. Raises Problem 400, 403 or 404 that
    names the fields."""
    principal, needs = principal_of(request), gate.PERMISSIONS[action]
    if not principal.may_anywhere(needs):
        raise forbidden((needs,))
    try:
        found = naming.owned(parse(naming.with_ids(data, _only_tenant(principal, needs)), gate.ABLE[action]))
    except UnknownError as error:
        raise _unknown(error) from None
    except CriteriaError as error:
        raise wrong_fields(error) from None
    allowed = principal.tenant_ids(needs)
    if allowed is None:
        return found
    if found.tenant_id is None:
        return replace(found, tenant_id=_one_of(allowed))
    if found.tenant_id not in allowed:
        raise _not_there(principal, found.tenant_id, needs)
    return found


def _only_tenant(principal: Principal, needs: Permission) -> Tenant | None:
    """In which slugs are looked for when no tenant is named."""
    allowed = principal.tenant_ids(needs) or frozenset()
    return Tenant.objects.filter(pk__in=allowed).first() if len(allowed) == 1 else None


def _one_of(allowed: frozenset[int]) -> int:
    if len(allowed) != 1:
        raise wrong_fields(CriteriaError([("tenant", "is missing: you have several, name one")]))
    return next(iter(allowed))


def _not_there(principal: Principal, tenant_id: int, needs: Permission) -> Problem:
    """What may be seen only is refused; of what may not, nothing is said."""
    if principal.may(Permission.VIEW, tenant_id):
        return forbidden((needs,))
    return unknown("tenant")


def _unknown(error: UnknownError) -> Problem:
    errors = [FieldError(name, message) for name, message in error.problems]
    return Problem(HTTPStatus.NOT_FOUND, "not-found", "What is named there is not known; nothing is done.", errors)


def wrong_fields(error: CriteriaError) -> Problem:
    errors = [FieldError(name, message) for name, message in error.problems]
    return Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong; nothing is done.", errors)


def make_job(
    request: Request,
    criteria: Criteria,
    rate_per_s: float,
    reason: str,
    start: bool,
    action: ReplayAction = ReplayAction.REPLAY,
) -> ReplayJob:
    """Drafted, and started where it is to be; one that takes a second person stays a draft, and they are asked. Raises
    Problem 400 that names the fields."""
    try:
        with transaction.atomic():
            job_id, fresh = _claim(request)
            if fresh:
                service.draft(criteria, caller_of(request), rate_per_s, reason, job_id=job_id, action=action)
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
