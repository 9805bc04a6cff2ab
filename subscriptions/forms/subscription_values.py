"""The subscription form for programs: plain values instead of what a browser sends, by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subscriptions.forms.problems import Found
from subscriptions.forms.subscription import SubscriptionForm
from subscriptions.models import Subscription
from subscriptions.retry_policy import STANDARD, PolicyError, stored_policy

COLUMNS = ("slug", "types", "tags", "filters", "ordering", "active")


class SubscriptionValues(SubscriptionForm):
    """`values` are named as the model's fields; those that are left out stay as they are. `retry_policy` is a name, or a
    mapping, or None for the standard one."""

    def __init__(self, row: Subscription, values: Mapping[str, Any]) -> None:
        before = {name: getattr(row, name) for name in COLUMNS}
        given = before | {name: values[name] for name in COLUMNS if name in values}
        keys = {"tenant": row.tenant_id, "endpoint": values.get("endpoint", row.endpoint_id)}
        self._policy = values.get("retry_policy", row.retry_policy)
        self._policy_problems: Found = []
        # The form's own fields of a policy are for people; here it comes whole.
        super().__init__({**given, **keys, "retry_name": STANDARD}, instance=row)

    def _clean_policy(self) -> None:
        try:
            self.cleaned_data["retry_policy"] = stored_policy(STANDARD if self._policy is None else self._policy)
        except PolicyError as error:
            self.cleaned_data["retry_policy"] = None
            self._policy_problems = [(f"retry_policy.{name}", message) for name, message in error.errors.items()]

    def problems(self) -> Found:
        return super().problems() + self._policy_problems
