"""What the API of work orders takes and gives, for the views and the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from delivery.models import AlertSeverity, LinkKind, WorkOrder, WorkOrderOrigin, WorkOrderOutcome, WorkOrderState
from delivery.work_orders.rules import TEXT_LENGTH_MOST, TITLE_LENGTH_MOST
from eventcenter.api.fields import Slug, Text, Uuid
from eventcenter.api.shapes import Answer, Body, PageOfIds, listing

LINKS_MOST = 50
USERNAME_LENGTH_MOST = 150  # django.contrib.auth


class LinkAnswer(Answer):
    """`words` and `state` say what it is now; empty when it is past its retention."""

    kind = serializers.ChoiceField(choices=LinkKind.choices)
    id = serializers.UUIDField(source="target_id")
    words = serializers.CharField()
    state = serializers.CharField()


class StepAnswer(Answer):
    """One point of the timeline. `kind`: the trail's action, or comment."""

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    actor = serializers.CharField()
    words = serializers.CharField()
    text = serializers.CharField()


class WorkOrderAnswer(Answer):
    """`outcome` is null until it is closed."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    title = serializers.CharField()
    body = serializers.CharField()
    severity = serializers.ChoiceField(choices=AlertSeverity.choices)
    state = serializers.ChoiceField(choices=WorkOrderState.choices)
    assignee = serializers.CharField(source="assignee.username", allow_null=True, default=None)
    opened_by = serializers.CharField()
    origin = serializers.ChoiceField(choices=WorkOrderOrigin.choices)
    opened_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.SerializerMethodField()
    outcome_text = serializers.CharField()

    @extend_schema_field(serializers.ChoiceField(choices=WorkOrderOutcome.choices, allow_null=True))
    def get_outcome(self, order: WorkOrder) -> str | None:
        return order.outcome or None


class WorkOrderDetailAnswer(WorkOrderAnswer):
    """The context has `actions` (what its state allows), `links` and `timeline`."""

    actions = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()
    timeline = serializers.SerializerMethodField()

    def get_actions(self, order: WorkOrder) -> list[str]:
        return list(self.context["actions"])

    @extend_schema_field(LinkAnswer(many=True))
    def get_links(self, order: WorkOrder) -> Any:
        return LinkAnswer(self.context["links"], many=True).data

    @extend_schema_field(StepAnswer(many=True))
    def get_timeline(self, order: WorkOrder) -> Any:
        return StepAnswer(self.context["timeline"], many=True).data


WorkOrders = listing(WorkOrderAnswer, "WorkOrders")


class WorkOrderQuery(PageOfIds):
    state = serializers.ChoiceField(
        choices=[("unfinished", "Not closed"), *WorkOrderState.choices],
        required=False,
        help_text="unfinished: not closed.",
    )
    severity = serializers.ChoiceField(choices=AlertSeverity.choices, required=False)
    tenant = Slug(required=False)
    assignee = Text(required=False, max_length=USERNAME_LENGTH_MOST, help_text="User name.")


class LinkBody(Body):
    kind = serializers.ChoiceField(choices=LinkKind.choices)
    id = Uuid()


class WorkOrderBody(Body):
    tenant = Slug(required=False)
    title = Text(max_length=TITLE_LENGTH_MOST)
    body = Text(default="", allow_blank=True, max_length=TEXT_LENGTH_MOST)
    severity = serializers.ChoiceField(choices=AlertSeverity.choices, default=AlertSeverity.WARNING.value)
    links = serializers.ListField(child=LinkBody(), default=list, max_length=LINKS_MOST)


class CloseBody(Body):
    outcome = serializers.ChoiceField(choices=WorkOrderOutcome.choices)
    text = Text(default="", allow_blank=True, max_length=TEXT_LENGTH_MOST)


class AssignBody(Body):
    assignee = Text(allow_null=True, max_length=USERNAME_LENGTH_MOST)


class CommentBody(Body):
    text = Text(max_length=TEXT_LENGTH_MOST)
