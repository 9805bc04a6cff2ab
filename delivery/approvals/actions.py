"""What an approval can be asked for: how it is frozen when it is asked, and how it is carried out by the usual service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from audit.trail import Actor
from delivery.approvals import rules
from delivery.models import ApprovalKind, Delivery, ReplayAction, ReplayJob, ReplayState
from delivery.order.pass_over import IN_NO_LINE, in_line, pass_over
from delivery.replay import refusal_of, replay, why_approval
from delivery.replays import gate, service
from eventcenter.access.roles import Permission
from subscriptions import services as endpoints
from subscriptions.models import Endpoint, Tenant

NEEDS_NONE = "Nobody need approve it: it can be done at once."
CHANGED = "It is not what was asked for any more."
Arguments = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, as data. `target` is noun:id; no tenant: across tenants. `needs`: what doing it alone would take,
    where that is not its action's permission."""

    target: str
    tenant: Tenant | None
    arguments: dict[str, object]
    what: str
    why: str
    needs: Permission | None = None

    @property
    def summary(self) -> str:
        return f"{self.what}. {self.why}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why it cannot be asked for. `missing`: there is no such object. `tenant_id`: whose it is."""

    words: str
    missing: bool = False
    tenant_id: int | None = None
    needs: Permission | None = None


class Action(Protocol):
    """`permission`: what doing it alone would take, so asking does."""

    permission: Permission

    def plan(self, target_id: str) -> Plan | Refusal:
        """From the id in the target."""

    def carry_out(self, arguments: Arguments, actor: Actor) -> str:
        """In the caller's transaction; "" when it was done, else why not."""


class OnDelivery:
    """Of a dead delivery; frozen is the round that died."""

    permission = Permission.REPLAY
    verb = ""

    def plan(self, target_id: str) -> Plan | Refusal:
        delivery = _delivery(target_id)
        if delivery is None:
            return Refusal("There is no such delivery; its days of retention may be over.", missing=True)
        why = why_approval(delivery)
        words = self.refusal(delivery) or ("" if why else NEEDS_NONE)
        if words:
            return Refusal(words, tenant_id=delivery.tenant_id)
        what = f"{self.verb} {delivery.event.type} of {delivery.event.subject or 'no subject'} to {delivery.endpoint}"
        arguments: dict[str, object] = {"delivery": str(delivery.pk), "replays": delivery.replays}
        return Plan(f"delivery:{delivery.pk}", delivery.tenant, arguments, what, why)

    def carry_out(self, arguments: Arguments, actor: Actor) -> str:
        delivery = _delivery(str(arguments["delivery"]))
        if delivery is None:
            return "There is no such delivery any more; its days of retention are over."
        if delivery.replays != arguments["replays"]:
            return "It was replayed meanwhile."
        return self.refusal(delivery) or self.run(delivery.pk, actor)

    def refusal(self, delivery: Delivery) -> str:
        """Why it is not possible as things stand."""
        raise NotImplementedError

    def run(self, delivery_id: UUID, actor: Actor) -> str:
        raise NotImplementedError


class ReplayDelivery(OnDelivery):
    verb = "Replay"

    def refusal(self, delivery: Delivery) -> str:
        return refusal_of(delivery, delivery.endpoint)

    def run(self, delivery_id: UUID, actor: Actor) -> str:
        return replay(delivery_id, actor, approved=True).refusal


class PassOverDelivery(OnDelivery):
    permission = Permission.OPERATE
    verb = "Pass over"

    def refusal(self, delivery: Delivery) -> str:
        return "" if in_line(delivery.pk) else IN_NO_LINE

    def run(self, delivery_id: UUID, actor: Actor) -> str:
        return pass_over(delivery_id, actor, approved=True).refusal


class StartReplay:
    """Of a replay or a cancel of many. The draft itself is what was frozen; nothing changes a draft, and if something did,
    it would not run."""

    permission = Permission.REPLAY

    def plan(self, target_id: str) -> Plan | Refusal:
        job = _job(target_id)
        if job is None:
            return Refusal("There is no such replay.", missing=True)
        if job.state != ReplayState.DRAFT:
            words = f"It is {ReplayState(job.state).label.lower()}, no draft."
            return Refusal(words, tenant_id=job.tenant_id, needs=gate.permission_of(job))
        why = gate.why(job)
        if not why:
            return Refusal(NEEDS_NONE, tenant_id=job.tenant_id, needs=gate.permission_of(job))
        [told] = service.describe([job])
        more = "" if told.exact else "+"
        what = f"{ReplayAction(job.action).label} {job.total:,}{more} deliveries: {told.words}"
        return Plan(f"replay:{job.pk}", job.tenant, _frozen(job), what, why, gate.permission_of(job))

    def carry_out(self, arguments: Arguments, actor: Actor) -> str:
        job = _job(str(arguments["replay"]))
        if job is None or _frozen(job) != arguments:
            return CHANGED
        return service.start(job.pk, actor, approved=True)


class ResumeEndpoint:
    """Frozen is the disabling: of a later one somebody has to be asked again."""

    permission = Permission.OPERATE

    def plan(self, target_id: str) -> Plan | Refusal:
        endpoint = _endpoint(target_id)
        if endpoint is None:
            return Refusal("There is no such endpoint.", missing=True)
        why = rules.why_endpoint(disabled=endpoints.needs_approval(endpoint), by_system=endpoint.disabled_by_system)
        if not why:
            return Refusal(NEEDS_NONE, tenant_id=endpoint.tenant_id)
        arguments: dict[str, object] = {"endpoint": endpoint.pk, "state_reason": endpoint.state_reason}
        what = f"Enable {endpoint} again"
        return Plan(f"endpoint:{endpoint.pk}", endpoint.tenant, arguments, what, f"{why} {endpoint.state_reason}")

    def carry_out(self, arguments: Arguments, actor: Actor) -> str:
        endpoint = _endpoint(str(arguments["endpoint"]))
        if endpoint is None:
            return "There is no such endpoint any more."
        if not endpoints.needs_approval(endpoint):
            return f"It is {endpoint.get_state_display().lower()} already, by another hand."
        if endpoint.state_reason != arguments["state_reason"]:
            return "It was disabled anew meanwhile: ask again."
        return "" if endpoints.resume(endpoint, actor, approved=True) else CHANGED


ACTIONS: dict[ApprovalKind, Action] = {
    ApprovalKind.DELIVERY_REPLAY: ReplayDelivery(),
    ApprovalKind.DELIVERY_PASS_OVER: PassOverDelivery(),
    ApprovalKind.REPLAY_START: StartReplay(),
    ApprovalKind.ENDPOINT_RESUME: ResumeEndpoint(),
}


def _frozen(job: ReplayJob) -> dict[str, object]:
    return {
        "replay": str(job.pk),
        "criteria": job.criteria,
        "rate_per_s": job.rate_per_s,
        "total": job.total,
        "until": job.until.isoformat(),
        "action": job.action,
    }


def _delivery(target_id: str) -> Delivery | None:
    rows = Delivery.objects.select_related("event", "endpoint__tenant", "tenant").defer("event__body")
    key = _uuid(target_id)
    return rows.filter(pk=key).first() if key else None


def _job(target_id: str) -> ReplayJob | None:
    key = _uuid(target_id)
    return ReplayJob.objects.select_related("tenant").filter(pk=key).first() if key else None


def _endpoint(target_id: str) -> Endpoint | None:
    if not (target_id.isascii() and target_id.isdecimal() and len(target_id) < 19):
        return None
    return Endpoint.objects.select_related("tenant").filter(pk=int(target_id)).first()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
