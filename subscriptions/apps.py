from __future__ import annotations

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in

from subscriptions.sign_in import session_age


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    verbose_name = "Subscriptions"

    def ready(self) -> None:
        user_logged_in.connect(session_age.stamp, dispatch_uid="session_age")
