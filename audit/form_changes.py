"""What a form changed, as the trail tells it: for the admin and for the services that the API calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Model, QuerySet
from django.forms import ModelForm

from audit.details import recordable


def changes_of(form: ModelForm[Any], told: Collection[str], *, is_new: bool) -> dict[str, object]:
    """`fields` names all that changed; before and after stand beside it for the fields in `told` alone: a URL or a header
    may hold a token.

    A form calls [] changed when it is written as nothing: what is equal afterwards is left out.
    """
    details: dict[str, object] = {}
    fields = set(form.changed_data)
    for name in sorted(fields.intersection(told)):
        before = None if is_new else _plain(form.initial.get(name))
        after = _plain(form.cleaned_data.get(name))
        if before == after and not is_new:
            fields.discard(name)
        else:
            details[name] = [before, after]
    return details | {"fields": sorted(fields)}


def _plain(value: object) -> object:
    """Fit for the trail; a row is its key, as in the form's own initial value, several are their names."""
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, QuerySet) or (isinstance(value, list) and any(isinstance(one, Model) for one in value)):
        return sorted(str(one) for one in value)
    return recordable(value)
