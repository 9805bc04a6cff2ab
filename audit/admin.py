from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.contrib.auth.models import Group, User

from audit.accounts import AccountAdmin, TeamAdmin
from audit.audited_admin import ReadOnlyAdmin
from audit.models import AuditEntry

admin.site.unregister([User, Group])
admin.site.register(User, AccountAdmin)
admin.site.register(Group, TeamAdmin)


class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """The trail, newest first. `digest` in hex is what a verifier compares.

    Registered in eventcenter.access.admin, which knows who may see which chain.
    """

    list_display = ("at", "chain", "position", "action", "target", "actor", "address")
    list_filter = ("chain", "action")
    search_fields = ("=target", "=actor", "action")
    ordering = ("-at", "-position")
    show_full_result_count = False
    fields: ClassVar = ("chain", "position", "at", "actor", "address", "action", "target", "details", "digest_hex")
    readonly_fields = ("digest_hex",)

    @admin.display(description="Digest")
    def digest_hex(self, entry: AuditEntry) -> str:
        return bytes(entry.digest).hex()
