"""The audit trail: append-only entries, each chained by hash to the one before it in its tenant's chain."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class AuditEntry(models.Model):
    """One change of state that a person, a key or the system caused. Written by `audit.trail.record` only.

    `digest` = SHA-256 over `previous` and the canonical JSON of the other fields (see audit.chain). The database refuses
    UPDATE, DELETE and TRUNCATE on this table (migration 0002).
    """

    chain = models.CharField(max_length=63, help_text="Tenant slug, or 'platform' for what belongs to no tenant.")
    position = models.BigIntegerField(help_text="1, 2, 3 … within the chain, without gaps.")
    at = models.DateTimeField()
    actor = models.CharField(max_length=200, help_text="user:NAME, key:ID or system:PROCESS.")
    actor_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    address = models.CharField(max_length=64, blank=True, help_text="Where the request came from.")
    action = models.CharField(max_length=100, help_text="noun.verb, e.g. delivery.replayed")
    target = models.CharField(max_length=200, help_text="noun:id of what was changed")
    details = models.JSONField(default=dict, help_text="Before and after, without secrets.")
    previous = models.BinaryField(max_length=32)
    digest = models.BinaryField(max_length=32)

    class Meta:
        verbose_name_plural = "audit entries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chain", "position"], name="audit_entry_once_a_position"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["chain", "-at"], name="audit_entry_chain_at"),
            # What a page of the trail is filtered by, each in the order in which pages go; `at` finds where a time begins.
            models.Index(fields=["chain", "id"], name="audit_entry_chain_id"),
            models.Index(fields=["actor", "id"], name="audit_entry_actor_id"),
            models.Index(fields=["action", "id"], name="audit_entry_action_id"),
            models.Index(fields=["target", "id"], name="audit_entry_target_id"),
            models.Index(fields=["at"], name="audit_entry_at"),
        ]

    def __str__(self) -> str:
        return f"{self.chain}#{self.position} {self.action} {self.target}"


class AuditHead(models.Model):
    """The last signed head of a chain; see audit.heads. The copy that counts is the one on the bus: `sent_at` is when
    Kafka acknowledged it, and empty while it has not."""

    chain = models.CharField(max_length=63, primary_key=True)
    position = models.BigIntegerField()
    digest = models.BinaryField(max_length=32)
    at = models.DateTimeField()
    key_id = models.TextField()
    signature = models.BinaryField(max_length=64)
    sent_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.chain}#{self.position}"


class StreamCursor(models.Model):
    """How far a chain is on the topic of entries (flag audit-streaming): moved after Kafka's acknowledgement."""

    chain = models.CharField(max_length=63, primary_key=True)
    position = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.chain}#{self.position}"
