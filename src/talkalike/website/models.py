"""The site's own table; people, groups and sessions are Django's, those who judge and invitations the store's."""

# Only a plugin that runs Django while types are checked knows the fields' types; without it they are Any.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from django.db import models


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
