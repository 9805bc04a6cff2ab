"""What the services refuse, as problems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from django.http import Http404

from eventcenter.problems import FieldError, Problem
from subscriptions.forms.problems import RefusedError
from subscriptions.governing import InUseError, TakenError
from subscriptions.models import Endpoint, Subscription

MANAGED = "It belongs to the subscriptions file: the next sync_subscriptions sets it back to what the file says."


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        errors = [FieldError(name, message) for name, message in error.problems]
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong.", errors) from None
    except TakenError:
        errors = [FieldError("slug", "is taken")]
        raise Problem(HTTPStatus.CONFLICT, "taken", "The tenant has one of that slug already.", errors) from None
    except (Endpoint.DoesNotExist, Subscription.DoesNotExist):  # deleted a moment ago
        raise Http404 from None
    except InUseError as error:
        raise Problem(HTTPStatus.CONFLICT, "in-use", str(error)) from None


def warnings_of(managed_by: str) -> list[str]:
    return [MANAGED] if managed_by else []
