from __future__ import annotations

from django.urls import path

from eventcenter.api import document
from eventcenter.api.api_keys import ApiKeyDetail, ApiKeyList, ApiKeyRevoke
from eventcenter.api.event_types import EventTypeDetail, EventTypeList
from eventcenter.api.events import EventDetail, EventList
from eventcenter.api.rejected_events import RejectedEventDetail, RejectedEventList, RejectedEventReingest

urlpatterns = [
    path("openapi.json", document.as_json, name="openapi"),
    path("openapi.yaml", document.as_yaml, name="openapi-yaml"),
    path("docs", document.Docs.as_view(), name="api-docs"),
    path("event-types", EventTypeList.as_view(), name="api-event-types"),
    path("event-types/<int:pk>", EventTypeDetail.as_view(), name="api-event-type"),
    path("events", EventList.as_view(), name="api-events"),
    path("events/<uuid:pk>", EventDetail.as_view(), name="api-event"),
    path("rejected-events", RejectedEventList.as_view(), name="api-rejected-events"),
    path("rejected-events/<uuid:pk>", RejectedEventDetail.as_view(), name="api-rejected-event"),
    path("rejected-events/<uuid:pk>/reingest", RejectedEventReingest.as_view(), name="api-rejected-event-reingest"),
    path("api-keys", ApiKeyList.as_view(), name="api-keys"),
    path("api-keys/<slug:key_id>", ApiKeyDetail.as_view(), name="api-key"),
    path("api-keys/<slug:key_id>/revoke", ApiKeyRevoke.as_view(), name="api-key-revoke"),
]
