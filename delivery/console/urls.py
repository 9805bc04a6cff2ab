from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from delivery.console.views import DeliveryDetail, DeliveryList, DeliveryReplay

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="deliveries"), name="home"),
    path("console/deliveries", DeliveryList.as_view(), name="deliveries"),
    path("console/deliveries/<uuid:delivery_id>", DeliveryDetail.as_view(), name="delivery"),
    path("console/deliveries/<uuid:delivery_id>/replay", DeliveryReplay.as_view(), name="delivery-replay"),
]
