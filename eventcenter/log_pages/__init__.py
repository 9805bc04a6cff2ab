"""Admin pages of the big tables of events, deliveries and what was rejected: to be read, at a cost that does not grow."""

from __future__ import annotations

from eventcenter.log_pages.base import LogAdmin

__all__ = ["LogAdmin"]
