"""Where forges call."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventcenter.adapters.intake import Taken, take
from eventcenter.adapters.message import Message, Reason
from eventcenter.adapters.proof import GITHUB_SIGNATURE, GITLAB_TOKEN
from eventcenter.intake import refuse_oversize
from eventcenter.standardwebhooks import SIGNATURE_HEADER
from eventcenter.views import AnyMediaType

JSON = "application/json"
BODIES = (JSON, "application/x-www-form-urlencoded", "application/vnd.docker.distribution.events.v2+json")
# Registries send their proof as Authorization, which OpenAPI lets no parameter describe.
PROOFS = (GITHUB_SIGNATURE, GITLAB_TOKEN, SIGNATURE_HEADER)
ABOUT = (
    "The adapter's kind says what is taken: GitHub's `release`, GitLab's release events, notifications of CNCF Distribution, "
    "Harbor's `PUSH_ARTIFACT`. The message is proven by the adapter's secret: X-Hub-Signature-256; webhook-signature or "
    "X-Gitlab-Token; of registries Authorization. What is understood and not to be published is a 202 with the reason."
)


class AdapterReceipt(serializers.Serializer[None]):
    id = serializers.UUIDField(help_text="Ours; of a duplicate, the first one's.")
    duplicate = serializers.BooleanField()


class AdapterAnswer(serializers.Serializer[None]):
    """`events` when there are any; else `ignored` and `detail`. `reasons` counts everything that was ignored."""

    events = AdapterReceipt(many=True, required=False)
    ignored = serializers.ChoiceField([reason.value for reason in Reason], required=False)
    detail = serializers.CharField(required=False)
    reasons = serializers.DictField(child=serializers.IntegerField(min_value=1), required=False)


class AdapterView(APIView):
    """Nobody is signed in here: the message is proven by its adapter's secret, in eventcenter.adapters.intake."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (AnyMediaType,)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        refuse_oversize(request)  # before the body is read for the proof
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="take_release",
        summary="A forge's webhook: a plugin's release becomes plugin.release.published",
        description=ABOUT,
        auth=[],
        parameters=[
            OpenApiParameter(
                "public_id", str, OpenApiParameter.PATH, description="The last part of the adapter's URL."
            ),
            *[
                OpenApiParameter(
                    name, str, OpenApiParameter.HEADER, description="The proof, where this forge sends it."
                )
                for name in PROOFS
            ],
        ],
        request=dict.fromkeys(BODIES, OpenApiTypes.OBJECT),
        responses={
            202: OpenApiResponse(AdapterAnswer, description="Published, known already, or ignored."),
            400: OpenApiResponse(description="Not what the forge documents; `errors` names the place."),
            401: OpenApiResponse(description="The proof is missing, wrong or stale."),
            404: OpenApiResponse(description="There is no such adapter, or its tenant is not active."),
            411: OpenApiResponse(description="A chunked body."),
            413: OpenApiResponse(description="The body is too large."),
            503: OpenApiResponse(
                description="The database is away; nothing was published. Retry-After says when to retry."
            ),
        },
    )
    def post(self, request: Request, public_id: str) -> Response:
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        message = Message(request.headers, request.body, media_type, timezone.now())
        return Response(_body(take(public_id, message)), status=HTTPStatus.ACCEPTED)


def _body(taken: Taken) -> dict[str, object]:
    reasons = dict(Counter(row.reason.value for row in taken.ignored))
    told: dict[str, object] = {"reasons": reasons} if reasons else {}
    if taken.receipts or not taken.ignored:
        return {"events": [{"id": str(row.id), "duplicate": row.duplicate} for row in taken.receipts]} | told
    first = taken.ignored[0]
    return {"ignored": first.reason.value, "detail": first.detail} | told
