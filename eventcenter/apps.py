from __future__ import annotations

from django.apps import AppConfig


class EventcenterConfig(AppConfig):
    name = "eventcenter"
    verbose_name = "Events and the bus"
