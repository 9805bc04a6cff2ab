from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest

from subscriptions.models import Endpoint, Subscription


def warn_managed(request: HttpRequest, row: Endpoint | Subscription) -> None:
    text = f"{row} belongs to the subscriptions file: the next sync_subscriptions sets it back to what the file says."
    messages.warning(request, text)
