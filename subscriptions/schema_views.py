from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from subscriptions.yaml_sync.schema import file_schema


@require_safe
def subscriptions_schema(request: HttpRequest) -> HttpResponse:
    """The subscriptions file's JSON Schema, for editors. It is the same for everybody, so nobody has to sign in."""
    text = json.dumps(file_schema(), ensure_ascii=False)
    return HttpResponse(text, content_type="application/schema+json", headers={"cache-control": "public, max-age=3600"})
