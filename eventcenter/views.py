"""The publish API."""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventcenter import registry
from eventcenter.authentication import Publisher, PublishSignature
from eventcenter.envelope import (
    BATCH_CONTENT_TYPE,
    STRUCTURED_CONTENT_TYPE,
    V1_BATCH_CONTENT_TYPE,
    V1_CONTENT_TYPE,
)
from eventcenter.intake import read_events, refuse_oversize
from eventcenter.publishing import publish


class AnyMediaType(BaseParser):
    """The body is read as bytes by the view; which media types are taken is decided there, with a problem of its own."""

    media_type = "*/*"


class PublishView(APIView):
    """CloudEvents or v1 in: one event or a batch. 202 means committed; nothing of a refused batch is kept."""

    authentication_classes = (PublishSignature,)
    permission_classes = ()
    parser_classes = (AnyMediaType,)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        refuse_oversize(request)  # before the body is read for the signature
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="publish_events",
        request={
            STRUCTURED_CONTENT_TYPE: dict,
            BATCH_CONTENT_TYPE: list,
            V1_CONTENT_TYPE: dict,
            V1_BATCH_CONTENT_TYPE: list,
        },
        responses={202: OpenApiResponse(description="Accepted; our id and whether it was a duplicate, per event.")},
    )
    def post(self, request: Request) -> Response:
        publisher = request.user
        assert isinstance(publisher, Publisher)
        events = read_events(request, publisher.tenant, registry.schemas.get())
        receipts = publish(publisher.tenant, events)
        body = [{"id": str(receipt.id), "duplicate": receipt.duplicate} for receipt in receipts]
        return Response({"events": body}, status=HTTPStatus.ACCEPTED)
