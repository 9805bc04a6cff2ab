"""Which of the last events would have matched?"""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.base import Api
from eventcenter.api.operation import operation
from eventcenter.problems import FieldError, Problem
from subscriptions.api.subscription_shapes import DryRunAnswer, DryRunBody, LookBack
from subscriptions.api.subscriptions import SubscriptionApi, read
from subscriptions.checks import check_tags, check_types
from subscriptions.dry_run import Rule, verdicts
from subscriptions.filters import validate_filters

EXAMPLE = OpenApiExample(
    "What of the last 200 events?", {"types": ["plugin.release.*"], "tags": ["stable"], "last": 200}, request_only=True
)


class RuleDryRun(Api):
    @operation("dry_run_rule", Permission.VIEW, answer=DryRunAnswer, body=DryRunBody, examples=[EXAMPLE])
    def post(self, request: Request) -> Response:
        """Of a rule that is not kept. Nothing is sent and nothing is changed."""
        given = read(DryRunBody, request)
        tenant = self.tenant(given.get("tenant"))
        rule = Rule(tuple(given["types"]), tuple(given["tags"]), tuple(given["filters"]))
        _refuse_wrong(rule)
        return _answer(rule, tenant.pk, given["last"])


class SubscriptionDryRun(SubscriptionApi):
    @operation("dry_run_subscription", Permission.VIEW, answer=DryRunAnswer, query=LookBack)
    def get(self, request: Request, pk: int) -> Response:
        """Whether it is active plays no part."""
        query = LookBack.of(request.query_params)
        row = self.subscription(pk)
        rule = Rule(tuple(row.types), tuple(row.tags), tuple(row.filters))
        _refuse_wrong(rule)
        return _answer(rule, row.tenant_id, query["last"])


def _refuse_wrong(rule: Rule) -> None:
    found = {"types": check_types(rule.types), "tags": check_tags(rule.tags)}
    errors = [FieldError(name, problem) for name, problem in found.items() if problem]
    errors += [FieldError(problem.field, problem.message) for problem in validate_filters(list(rule.filters))]
    if errors:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong.", errors)


def _answer(rule: Rule, tenant_id: int, last: int) -> Response:
    items = [
        {"event": verdict.event, "matches": not verdict.failed, "failed": verdict.failed or None}
        for verdict in verdicts(rule, tenant_id, last)
    ]
    matched = sum(item["matches"] is True for item in items)
    return Response(DryRunAnswer({"looked_at": len(items), "matched": matched, "items": items}).data)
