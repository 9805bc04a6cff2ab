from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from subscriptions.models import Endpoint, Subscription

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Subscription, Endpoint]
    InlineFormSet = BaseInlineFormSet[Subscription, Endpoint, Any]
else:
    TabularInline = admin.TabularInline
    InlineFormSet = BaseInlineFormSet


class ShownRows(InlineFormSet):
    """Rows that are only shown: what is posted with the page's form is neither asked for nor read."""

    def __init__(self, data: Any = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []

    def is_valid(self) -> bool:
        return True

    def save(self, commit: bool = True) -> list[Subscription]:
        return []


class SubscriptionInline(TabularInline):
    """What an endpoint gets. Each row leads to its own page: a subscription is changed there."""

    model = Subscription
    formset = ShownRows
    fields: ClassVar = ("active", "type_list", "tag_list", "filter_count", "ordering")
    readonly_fields = fields
    ordering = ("slug",)
    extra = 0
    show_change_link = True
    verbose_name_plural = "subscriptions"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        return super().get_queryset(request).select_related("tenant")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Types")
    def type_list(self, row: Subscription) -> str:
        return ", ".join(row.types)

    @admin.display(description="Tags")
    def tag_list(self, row: Subscription) -> str:
        return ", ".join(row.tags) or "any"

    @admin.display(description="Filters")
    def filter_count(self, row: Subscription) -> str:
        return str(len(row.filters)) if row.filters else "–"
