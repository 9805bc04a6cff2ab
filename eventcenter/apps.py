from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.db.backends.signals import connection_created

from eventcenter import row_security
from eventcenter.sealed_columns import check_sealed_columns


class EventcenterConfig(AppConfig):
    name = "eventcenter"
    verbose_name = "Events and the bus"

    def ready(self) -> None:
        connection_created.connect(row_security.on_connection, dispatch_uid="row_security")
        register(check_sealed_columns)
