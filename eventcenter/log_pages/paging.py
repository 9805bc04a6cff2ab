"""Pages that stop counting. What lies beyond is reached by its id (`?id__lt=…`), not by an offset."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

# An offset of some thousands is still read in milliseconds; see design.md §7 for 200,000.
COUNT_MOST = 2_000
OLDER = "id__lt"


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Reads at most COUNT_MOST + 1 rows to count, and has no pages beyond them."""

    most: ClassVar[int] = COUNT_MOST

    @cached_property
    def is_capped(self) -> bool:
        return self._found > self.most

    @cached_property
    def count(self) -> int:
        return min(self._found, self.most)

    @cached_property
    def _found(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        return rows.order_by()[: self.most + 1].count()


class LogList(ChangeList):
    """`older_query`: the query string of the rows that are older than this page's; "" when the pages hold all there is."""

    @property
    def is_capped(self) -> bool:
        return bool(self.paginator.is_capped)

    @property
    def older_query(self) -> str:
        rows: list[Any] = list(self.result_list)
        if not self.is_capped or not rows:
            return ""
        kept = {name: value for name, value in self.params.items() if name not in (PAGE_VAR, OLDER)}
        return urlencode({**kept, OLDER: rows[-1].pk}, doseq=True)

    @property
    def is_older(self) -> bool:
        """Whether it begins somewhere behind the newest row."""
        return OLDER in self.params

    @property
    def newest_query(self) -> str:
        return urlencode({name: value for name, value in self.params.items() if name != OLDER}, doseq=True)
