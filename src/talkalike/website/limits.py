"""How often somebody may try to log in. The count is in the database: a restart does not reset it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.crypto import salted_hmac

from talkalike.website.models import LoginAttempt

WINDOW = timedelta(minutes=15)
FOR_ACCOUNT = 5  # failures with one name from one address
FOR_ADDRESS = 30  # failures from one address, whatever the names
SALT = "talkalike.website.limits"


def begin_attempt(name: str, address: str, now: datetime) -> tuple[int | None, int]:
    """Counts a try before its password is looked at: its number and 0, or None and how many seconds to wait.

    Call it with `write`: one thread runs it, so that a hundred tries at once are a hundred counts.
    """
    LoginAttempt.objects.filter(at__lt=now - WINDOW).delete()
    account, source = _digest(name.strip().casefold()), _digest(address)
    recent = LoginAttempt.objects.filter(address=source, at__gte=now - WINDOW).order_by("at")
    everyone = list(recent.values_list("account", "at"))
    same = [at for other, at in everyone if other == account]
    for times, most in ((same, FOR_ACCOUNT), ([at for _, at in everyone], FOR_ADDRESS)):
        if len(times) >= most:
            return None, max(1, round((times[len(times) - most] + WINDOW - now).total_seconds()))
    return LoginAttempt.objects.create(account=account, address=source, at=now).pk, 0


def succeeded(name: str, address: str) -> None:
    """The password was right: earlier failures with this name from this address no longer count."""
    LoginAttempt.objects.filter(account=_digest(name.strip().casefold()), address=_digest(address)).delete()


def _digest(text: str) -> str:
    return salted_hmac(SALT, text, algorithm="sha256").hexdigest()
