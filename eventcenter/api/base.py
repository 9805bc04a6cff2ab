"""The base of the API's views: who asks, what they may see, and what they may do with it.

What a caller may not see answers 404 wherever it is named (address, filter, body); what they may see but not do, 403.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from django.apps import apps
from django.db.models import Model, QuerySet
from django.http import Http404
from django.utils.cache import patch_vary_headers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventcenter.access.authentication import AnyIdentity
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission
from eventcenter.api.reading import AnyAccept, JsonBody
from eventcenter.api.single_use import take_once
from eventcenter.intake import refuse_oversize
from eventcenter.problems import FieldError, Problem

T = TypeVar("T", bound=Model)


class Tenant(Protocol):
    """A row of subscriptions.Tenant: that app stands above this one."""

    @property
    def pk(self) -> int: ...
    @property
    def slug(self) -> str: ...


class Api(APIView):
    """Each method is an `operation`, which says what it needs."""

    authentication_classes = (AnyIdentity,)
    permission_classes = ()
    parser_classes = (JsonBody,)
    content_negotiation_class = AnyAccept
    http_method_names = ("get", "head", "post", "patch", "delete")
    # Whether a publish key's signature is good for one call only; False where the body says what is meant.
    single_use = True

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        refuse_oversize(request)  # before the body is read for a signature
        super().initial(request, *args, **kwargs)

    def check_permissions(self, request: Request) -> None:
        """Without an object in the address, somebody who may do this nowhere is told so at once."""
        if not self.principal.is_authenticated:
            self.permission_denied(request)
        if self.needs and not self.kwargs and not any(map(self.principal.may_anywhere, self.needs)):
            raise forbidden(self.needs)
        if self.single_use:
            take_once(request)

    def finalize_response(self, request: Request, response: Response, *args: object, **kwargs: object) -> Response:
        """Answers depend on who asks and are no cache's to keep; a GET may be asked whether it still holds."""
        made = super().finalize_response(request, response, *args, **kwargs)
        made.setdefault("Cache-Control", "private, no-cache")
        patch_vary_headers(made, ["Authorization", "Cookie"])
        return made

    @property
    def principal(self) -> Principal:
        return principal_of(self.request)

    @property
    def needs(self) -> tuple[Permission, ...]:
        method = getattr(self, (self.request.method or "").lower(), None)
        return tuple(getattr(method, "needs", ()))

    def visible(self, rows: QuerySet[T], column: str = "tenant_id") -> QuerySet[T]:
        """Of the tenants where the caller may look, or do what is being done. `column`: an id or a slug of the tenant."""
        tenants = self._tenant_ids()
        return rows if tenants is None else rows.filter(**{f"{column}__in": tenants})

    def find(self, rows: QuerySet[T], **key: object) -> T:
        """Raises Http404 or, for what may be seen only, Problem 403."""
        row = self.visible(rows).filter(**key).first()
        if row is None:
            raise Http404
        self.require(getattr(row, "tenant_id"))  # noqa: B009 - of any model of a tenant's
        return row

    def named(self, field: str, rows: QuerySet[T], **key: object) -> T:
        """As `find`, for what a filter or a body names: the answer says in which field."""
        row = self.visible(rows).filter(**key).first()
        if row is None:
            raise unknown(field)
        return row

    def tenant(self, slug: str | None) -> Tenant:
        """The tenant of a body or a filter; it may be left out by who has one only. Raises Problem 400, 403 or 404."""
        rows = self.visible(tenants(), "pk")
        if slug is None:
            found = list(rows[:2])
            if len(found) != 1:
                errors = [FieldError("tenant", "is missing: you have several, name one by its slug")]
                raise Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong.", errors)
            named: Tenant = found[0]
        else:
            named = self.named_tenant(slug)
        self.require(named.pk)
        return named

    def named_tenant(self, slug: str) -> Tenant:
        found: Tenant | None = self.visible(tenants(), "pk").filter(slug=slug).first()
        if found is None:
            raise unknown("tenant")
        return found

    def require(self, tenant_id: int | None, *needs: Permission) -> None:
        """Raises Problem 403."""
        wanted = needs or self.needs
        if not any(self.principal.may(need, tenant_id) for need in wanted):
            raise forbidden(wanted)

    def _tenant_ids(self) -> frozenset[int] | None:
        found: frozenset[int] = frozenset()
        for need in (Permission.VIEW, *self.needs):
            ids = self.principal.tenant_ids(need)
            if ids is None:
                return None
            found |= ids
        return found


def tenants() -> QuerySet[Any]:
    return apps.get_model("subscriptions", "Tenant")._default_manager.all()


def unknown(*fields: str) -> Problem:
    """Another's object and one that never was get the same answer."""
    errors = [FieldError(field, "is not known") for field in fields]
    return Problem(HTTPStatus.NOT_FOUND, "not-found", "What is named there is not known.", errors)


def wrong(problems: Mapping[str, str]) -> Problem:
    """Field → what it takes."""
    errors = [FieldError(name, message) for name, message in problems.items()]
    return Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong; nothing was changed.", errors)


def forbidden(needs: tuple[Permission, ...]) -> Problem:
    words = " or ".join(f"“{need.value}”" for need in needs)
    return refused(f"This takes the permission {words}.")


def refused(words: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, "forbidden", words)


def not_possible(words: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, "not-possible", words)


def approval_needed(why: str) -> Problem:
    """A second person must agree (docs/adr/0019); `why` is a sentence."""
    return Problem(HTTPStatus.CONFLICT, "approval-needed", f"{why} Ask for it: POST …/approvals.")


def done() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT)
