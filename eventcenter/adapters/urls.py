from __future__ import annotations

from django.urls import path

from eventcenter.adapters.views import AdapterView

urlpatterns = [path("<slug:public_id>", AdapterView.as_view(), name="adapter")]
