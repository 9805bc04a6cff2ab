"""Endpoints and subscriptions as programs make, change and delete them. Each change is one transaction with its entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.form_changes import changes_of
from audit.trail import Actor, record
from subscriptions.channels.registry import is_signed
from subscriptions.forms.endpoint_values import EndpointValues
from subscriptions.forms.problems import RefusedError
from subscriptions.forms.subscription import SubscriptionForm
from subscriptions.models import Endpoint, EndpointSecret, EndpointState, Subscription
from subscriptions.services import add_secret

R = TypeVar("R", Endpoint, Subscription)

ENDPOINT_TOLD = (
    "slug",
    "name",
    "channel",
    "template",
    "content_mode",
    "timeout_s",
    "lane",
    "rate_limit",
    "max_in_flight",
    "signing",
    "rotate_every_days",
)
SUBSCRIPTION_TOLD = ("slug", "endpoint", "types", "tags", "filters", "ordering", "retry_policy", "active")
DELETED_REASON = "Deleted."


class TakenError(Exception):
    """Somebody else took the slug just now."""


class InUseError(Exception):
    """It cannot be deleted; the text says to people what depends on it."""


def create_endpoint(form: EndpointValues, actor: Actor) -> tuple[Endpoint, str | None]:
    """The endpoint and, where its channel is signed, the secret: it can be read in this moment only.

    Raises RefusedError, TakenError.
    """
    with _told_when_taken(), transaction.atomic():
        endpoint = _saved(form, Endpoint, "endpoint.created", ENDPOINT_TOLD, actor, is_new=True)
        secret = add_secret(endpoint, actor) if is_signed(endpoint) else None
    return endpoint, secret


def change_endpoint(pk: int, actor: Actor, edit: Callable[[Endpoint], EndpointValues]) -> Endpoint:
    """`edit` looks at the locked row and says what becomes of it; what it raises leaves all as it was.

    Raises RefusedError, TakenError, Endpoint.DoesNotExist.
    """
    with _told_when_taken(), transaction.atomic():
        form = edit(_locked(Endpoint, pk))
        return _saved(form, Endpoint, "endpoint.changed", ENDPOINT_TOLD, actor, is_new=False)


def delete_endpoint(pk: int, actor: Actor, check: Callable[[Endpoint], None]) -> None:
    """What is still to be delivered there becomes dead. Raises InUseError while a subscription sends to it."""
    with transaction.atomic():
        endpoint = _locked(Endpoint, pk)
        check(endpoint)
        users = list(endpoint.subscriptions.order_by("slug").values_list("slug", flat=True)[:4])
        if users:
            more = " …" if len(users) > 3 else ""
            raise InUseError(f"Subscriptions send to it: {', '.join(users[:3])}{more}. Delete or change those first.")
        now = timezone.now()
        gone = {"state": EndpointState.DISABLED, "state_reason": DELETED_REASON, "archived_at": now}
        Endpoint.objects.filter(pk=pk).update(**gone)
        EndpointSecret.objects.filter(endpoint_id=pk).live(now).update(expires_at=now)
        record(endpoint.tenant.slug, actor, "endpoint.deleted", f"endpoint:{pk}", {"slug": endpoint.slug})


def create_subscription(form: SubscriptionForm, actor: Actor) -> Subscription:
    """Raises RefusedError, TakenError."""
    with _told_when_taken(), transaction.atomic():
        row = _saved(form, Subscription, "subscription.created", SUBSCRIPTION_TOLD, actor, is_new=True)
        _hold_endpoint(row)
    return row


def change_subscription(pk: int, actor: Actor, edit: Callable[[Subscription], SubscriptionForm]) -> Subscription:
    """As `change_endpoint`."""
    with _told_when_taken(), transaction.atomic():
        form = edit(_locked(Subscription, pk))
        row = _saved(form, Subscription, "subscription.changed", SUBSCRIPTION_TOLD, actor, is_new=False)
        _hold_endpoint(row)
    return row


def delete_subscription(pk: int, actor: Actor, check: Callable[[Subscription], None]) -> None:
    """No event goes to it from now on; what was planned before is still delivered."""
    with transaction.atomic():
        row = _locked(Subscription, pk)
        check(row)
        Subscription.objects.filter(pk=pk).update(active=False, archived_at=timezone.now())
        record(row.tenant.slug, actor, "subscription.deleted", f"subscription:{pk}", {"slug": row.slug})


def set_active(row: Subscription, active: bool, actor: Actor) -> bool:
    """False when it was so already. What was planned before a pause is still delivered."""
    with transaction.atomic():
        moved = Subscription.objects.filter(pk=row.pk, active=not active).update(active=active)
        if moved:
            action = "subscription.resumed" if active else "subscription.paused"
            record(row.tenant.slug, actor, action, f"subscription:{row.pk}", {"slug": row.slug})
    return bool(moved)


def _saved(
    form: EndpointValues | SubscriptionForm,
    model: type[R],
    action: str,
    told: tuple[str, ...],
    actor: Actor,
    *,
    is_new: bool,
) -> R:
    problems = form.problems()
    if problems:
        raise RefusedError(problems)
    row = form.save()
    assert isinstance(row, model)
    details = changes_of(form.form, told, is_new=is_new)
    if is_new or details["fields"]:
        record(row.tenant.slug, actor, action, f"{action.partition('.')[0]}:{row.pk}", details)
    return row


def _locked(model: type[R], pk: int) -> R:
    return model.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=pk)


def _hold_endpoint(row: Subscription) -> None:
    """It may have been deleted since the form was checked: from here to the commit it cannot be."""
    held = Endpoint.objects.select_for_update(no_key=True).filter(pk=row.endpoint_id)
    if not held.exists():
        raise RefusedError([("endpoint", "is not known")])


@contextmanager
def _told_when_taken() -> Iterator[None]:
    """Around the transaction: the database has the last word on who was first."""
    try:
        yield
    except IntegrityError as error:
        if "slug_once_a_tenant" not in str(error):
            raise
        raise TakenError from error
