"""The site's own tables; people, groups and sessions are Django's."""

# Only a plugin that runs Django while types are checked knows the fields' types; without it they are Any.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from django.db import models


class Invitation(models.Model):
    """A link that lets people in without an account. Only the digest of its token is kept."""

    digest = models.CharField(max_length=64, unique=True)
    role = models.CharField(max_length=16)
    note = models.CharField(max_length=200, blank=True)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    uses = models.PositiveIntegerField()
    used = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Invitation {self.pk} ({self.role})"


class LoginAttempt(models.Model):
    """A log-in that failed, or is being checked. Who and where from are digests: the table names nobody."""

    account = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=("address", "at"), name="attempts_from_address"),
            models.Index(fields=("at",), name="attempts_by_age"),
        )

    def __str__(self) -> str:
        return f"Attempt {self.pk}"
