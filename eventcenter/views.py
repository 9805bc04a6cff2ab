"""The publish API."""

from __future__ import annotations

from http import HTTPStatus

from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventcenter import registry
from eventcenter.access.authentication import PublishIdentity, publisher
from eventcenter.access.roles import Permission
from eventcenter.api.reading import AnyAccept
from eventcenter.intake import read_events, refuse_oversize
from eventcenter.publishing import publish


class AnyMediaType(BaseParser):
    """The body is read as bytes by the view; which media types are taken is decided there, with a problem of its own."""

    media_type = "*/*"


class PublishView(APIView):
    """CloudEvents or v1 in: one event or a batch. 202 means committed; nothing of a refused batch is kept."""

    authentication_classes = (PublishIdentity,)
    permission_classes = ()
    parser_classes = (AnyMediaType,)
    content_negotiation_class = AnyAccept
    http_method_names = ("post",)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        refuse_oversize(request)  # before the body is read for the signature
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> Response:
        tenant = publisher(request, Permission.PUBLISH).tenant
        events = read_events(request, tenant, registry.schemas.get())
        receipts = publish(tenant, events)
        body = [{"id": str(receipt.id), "duplicate": receipt.duplicate} for receipt in receipts]
        return Response({"events": body}, status=HTTPStatus.ACCEPTED)
