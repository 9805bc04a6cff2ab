from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class Administration(AdminConfig):
    """Django's admin, open to people with roles."""

    default_site = "config.admin_site.AdminSite"
