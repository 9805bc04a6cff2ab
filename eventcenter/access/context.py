from __future__ import annotations

from django.http import HttpRequest

from eventcenter.access.principal import NOBODY, principal_of
from eventcenter.access.roles import Permission


def permissions(request: HttpRequest) -> dict[str, object]:
    """For templates: `may.replay` and its kin, whether it is granted in any tenant at all. Names as in Permission."""
    principal = principal_of(request) if hasattr(request, "user") else NOBODY
    return {"may": {permission.value: principal.may_anywhere(permission) for permission in Permission}}
