"""Template vocabulary of the console; the words themselves are in delivery.console.wording."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from delivery.console import chosen_tenant, navigation, wording
from delivery.console.frame import Frame, frame_of
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission
from eventcenter.ids import id_time

register = template.Library()
register.filter("error_words", wording.error_words)
register.filter("dead_words", wording.dead_words)
register.filter("dead_label", wording.dead_label)
register.filter("outcome_words", wording.outcome_words)
register.filter("outcome_tone", wording.outcome_tone)
register.filter("duration", wording.duration_words)
register.filter("span", wording.span_words)
register.filter("doing", wording.doing)
register.filter("replay_tone", wording.replay_tone)
register.filter("severity_tone", wording.severity_tone)


@register.simple_tag
def result(status_code: int | None, error_kind: str) -> str:
    return wording.result_words(status_code, error_kind)


@register.simple_tag
def event_time(event_id: UUID) -> datetime:
    """When it was accepted, or rejected: the id carries it."""
    return id_time(event_id)


@register.inclusion_tag("console/_rooms.html", takes_context=True)
def rooms(context: template.Context) -> dict[str, object]:
    """The frame's navigation. Pages that Django renders without a request have none."""
    request = context.get("request")
    if request is None:
        return {"groups": []}
    values: dict[Any, Any] = context.flatten()
    counts = {name: value for name, value in values.items() if callable(value)}
    may_admin = request.user.is_staff or principal_of(request).may_anywhere(Permission.ADMINISTER)
    return {"groups": navigation.groups(request, counts, chosen_tenant.chosen(request)), "may_admin": may_admin}


@register.simple_tag(takes_context=True)
def frame(context: template.Context) -> Frame | None:
    """What the header shows of its reader; None to whom nobody signed in, and on pages without a request."""
    request = context.get("request")
    return frame_of(request) if request is not None else None


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """`<time>`: how long ago in words, the absolute UTC in the title."""
    return _time(at, wording.ago_words(at, timezone.now())) if at else ""


@register.filter
def due(at: datetime | None) -> SafeString | str:
    """`<time>` of what is to come, or late."""
    return _time(at, wording.due_words(at, timezone.now())) if at else ""


@register.filter
def clock(at: datetime | None) -> SafeString | str:
    """`<time>`: the absolute UTC to the millisecond, how long ago in the title."""
    if at is None:
        return ""
    how_long = wording.ago_words(at, timezone.now())
    return format_html('<time datetime="{}" title="{}">{}</time>', _iso(at), how_long, _clock(at))


def _time(at: datetime, text: str) -> SafeString:
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', _iso(at), _clock(at), text)


def _clock(at: datetime) -> str:
    shown = at.astimezone(UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}.{shown.microsecond // 1000:03d}"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
