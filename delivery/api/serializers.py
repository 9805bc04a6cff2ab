"""What the replays API takes and gives, for the views and the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from delivery.models import ApprovalState, ReplayAction, ReplayState
from delivery.replays.criteria import (
    CODES_MOST,
    ENDED,
    ERRORS,
    IDS_MOST,
    OPEN,
    TAGS_MOST,
    TYPE_LENGTH_MOST,
    TYPES_MOST,
)
from delivery.replays.service import (
    CANCEL_RATE_DEFAULT_PER_S,
    RATE_DEFAULT_PER_S,
    RATE_LEAST_PER_S,
    RATE_MOST_PER_S,
    REASON_LENGTH_MOST,
    Described,
)
from eventcenter.api.fields import Number, Text, Truth
from eventcenter.api.shapes import Body
from eventcenter.search import LENGTH_MOST

Fields = serializers.Serializer[Any]
REFERENCE = {"oneOf": [{"type": "string"}, {"type": "integer"}], "description": "Slug or id."}
STATUSES = {
    "oneOf": [
        {"type": "string", "enum": [*ENDED, *OPEN]},
        {"type": "array", "items": {"type": "string", "enum": [*ENDED, *OPEN]}},
    ],
    "description": "To replay: ended states; default dead, with `ids` or `event` all. To cancel: open states; default both.",
}


@extend_schema_field(REFERENCE)
class Reference(serializers.JSONField):
    """Read by delivery.replays.naming."""


@extend_schema_field(STATUSES)
class Statuses(serializers.JSONField):
    """Read by delivery.replays.criteria."""


class ReplayOptions(Body):
    """What to do, and how; beside the criteria in the body."""

    action = serializers.ChoiceField(
        choices=ReplayAction.choices,
        default=ReplayAction.REPLAY,
        help_text="replay: what has ended begins a new round. cancel: what is open ends here; it takes the permission `operate`.",
    )
    rate_per_s = Number(
        required=False,
        min_value=RATE_LEAST_PER_S,
        max_value=RATE_MOST_PER_S,
        help_text=f"Deliveries per second at most. Default: {RATE_DEFAULT_PER_S:g}, of a cancel {CANCEL_RATE_DEFAULT_PER_S:g}.",
    )
    reason = Text(default="", allow_blank=True, max_length=REASON_LENGTH_MOST, help_text="For the audit trail.")
    dry_run = Truth(default=False, help_text="Only count: the job stays a draft, which `start` starts.")


class ReplayCriteria(Body):
    """Documents delivery.replays.criteria; that module reads them. All that is given must hold; at least one is."""

    tenant = Reference(required=False)
    endpoint = Reference(required=False)
    subscription = Reference(required=False)
    status = Statuses(required=False)
    types = serializers.ListField(
        child=serializers.CharField(max_length=TYPE_LENGTH_MOST),
        required=False,
        max_length=TYPES_MOST,
        help_text="Event types, exact.",
    )
    since = serializers.DateTimeField(required=False, help_text="Events accepted at that time or later.")
    until = serializers.DateTimeField(required=False, help_text="Events accepted before that time.")
    ended_since = serializers.DateTimeField(
        required=False,
        help_text="Deliveries that ended at that time or later. With endpoint and status dead, cancelled: all it missed.",
    )
    ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=IDS_MOST, help_text="Delivery ids."
    )
    event = serializers.UUIDField(required=False, help_text="All deliveries of this event.")
    tags = serializers.ListField(
        child=serializers.CharField(max_length=TYPE_LENGTH_MOST),
        required=False,
        max_length=TAGS_MOST,
        help_text="Of the event, any one of them.",
    )
    codes = serializers.ListField(
        child=serializers.CharField(max_length=4),
        required=False,
        max_length=CODES_MOST,
        help_text='The last answer: "503", "4xx", or "none" for no answer yet.',
    )
    errors = serializers.ListField(  # type: ignore[assignment]  # never validated: it documents
        child=serializers.ChoiceField(choices=ERRORS), required=False, help_text="The last result's kind of error."
    )
    search = serializers.CharField(
        required=False,
        max_length=LENGTH_MOST,
        help_text="A delivery's or event's id, a trace id, a plugin, a version, or plugin@version; exact.",
    )


class ReplayRequest(ReplayCriteria, ReplayOptions):
    """The body that creates a replay, or a cancel of many."""


class SampleSerializer(Fields):
    """One of the deliveries that would be taken."""

    id = serializers.UUIDField()
    event_id = serializers.UUIDField()
    type = serializers.CharField(source="event.type")
    subject = serializers.CharField(source="event.subject")
    endpoint = serializers.CharField(source="endpoint.slug")
    status = serializers.CharField()


class ReplaySerializer(Fields):
    """A replay job (delivery.replays.service.Described)."""

    id = serializers.UUIDField(source="job.pk")
    action = serializers.ChoiceField(choices=ReplayAction.choices, source="job.action")
    state = serializers.ChoiceField(choices=ReplayState.choices, source="job.state")
    tenant = serializers.CharField(source="job.tenant.slug", allow_null=True, default=None)
    criteria = serializers.JSONField(source="job.criteria")
    description = serializers.CharField(source="words")
    rate_per_s = serializers.FloatField(source="job.rate_per_s")
    total = serializers.IntegerField(source="job.total")
    total_is_exact = serializers.BooleanField(source="exact")
    queued = serializers.IntegerField(source="job.queued", help_text="Replayed, or cancelled.")
    skipped = serializers.IntegerField(source="job.skipped")
    percent = serializers.IntegerField()
    reason = serializers.CharField(source="job.reason")
    note = serializers.CharField(source="job.note")
    actor = serializers.CharField(source="job.actor")
    actions = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField(source="job.created_at")
    started_at = serializers.DateTimeField(source="job.started_at", allow_null=True)
    finished_at = serializers.DateTimeField(source="job.finished_at", allow_null=True)


class ApprovalRef(Fields):
    """An approval by its id; /internal/events/approvals has the rest."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=ApprovalState.choices)


class ReplayPreview(ReplaySerializer):
    """The context has `sample`, the oldest deliveries that would be taken, while it is a draft; why a draft
    `needs_approval`, "" when it does not; and its last `approval`, or None."""

    sample = serializers.SerializerMethodField()
    needs_approval = serializers.SerializerMethodField()
    approval = serializers.SerializerMethodField()

    def get_needs_approval(self, described: Described) -> str:
        return str(self.context["needs_approval"])

    @extend_schema_field(ApprovalRef(allow_null=True))
    def get_approval(self, described: Described) -> object:
        approval = self.context["approval"]
        return ApprovalRef(approval).data if approval else None

    @extend_schema_field(SampleSerializer(many=True))
    def get_sample(self, described: Described) -> object:
        return SampleSerializer(self.context["sample"], many=True).data


class ReplayPage(Fields):
    """Newest first."""

    items = ReplaySerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="The next page's address; null at the end.")
