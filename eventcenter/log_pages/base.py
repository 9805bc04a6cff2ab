from __future__ import annotations

from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from audit.audited_admin import ReadOnlyAdmin
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.log_pages.filters import TenantFilter, WindowFilter
from eventcenter.log_pages.paging import CappedPaginator, LogList

M = TypeVar("M", bound=Model)


class LogAdmin(TenantScoped, ReadOnlyAdmin[M]):
    """Rows with UUIDv7 ids, newest first. Found by id alone, filtered by what has an index, never counted to the end, and
    in no other order: tables of a hundred million rows cost what small ones do. Nobody changes them, superusers neither.
    """

    change_list_template = "admin/log_pages/change_list.html"
    paginator = CappedPaginator
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering: ClassVar = ("-id",)
    sortable_by: ClassVar = ()
    search_fields: ClassVar = ("=id",)
    search_help_text = "A whole id, as the console and the receivers show it."
    list_filter: ClassVar[Any] = (WindowFilter, TenantFilter)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LogList]:
        return LogList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        if not search_term.strip():
            return queryset, False
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            messages.warning(request, "The search takes a whole id, such as 0199f2a4-7c1e-7d3b-9a55-3f1e9c0d2b47.")
            return queryset.none(), False
        return queryset.filter(self.named(wanted)), False

    @admin.display(description="Id")
    def short_id(self, row: M) -> str:
        """Its end: the beginning is the time, which has a column."""
        return format_html('<span title="{}">{}</span>', row.pk, str(row.pk)[-12:])

    def named(self, wanted: UUID) -> Q:
        """Which rows are meant by an id."""
        return Q(pk=wanted)
