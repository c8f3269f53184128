"""People with an account: made from the terminal (the first owner) or in the admin; logging in and out, and how often.

How often somebody tried to log in is counted in the database: a restart does not reset it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth import logout as end_session
from django.contrib.auth import views as django_views
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from talkalike.errors import UserError
from talkalike.website.access import GROUPS, Role, needs, open_to_all, visitor_of
from talkalike.website.answers import problem, redirect
from talkalike.website.data import write
from talkalike.website.models import LoginAttempt


def has_owner() -> bool:
    """Whether anybody can administer the site."""
    return User.objects.filter(is_active=True, groups__name=Role.OWNER).exists()


def make_owner(name: str, password: str) -> bool:
    """Makes an owner's account, or gives an owner who is there a new password. Returns whether it is new.

    Raises UserError for a name that cannot be one or is somebody else's, and for a password that is easily guessed.
    """
    user = User.objects.filter(username__iexact=name).first()
    if user and Role.OWNER not in set(user.groups.values_list("name", flat=True)):
        raise UserError(
            f"There is an account '{user.username}' already, and it is not an owner's.", hint="Use another."
        )
    fresh = user is None
    user = user or User(username=name, is_staff=True, is_superuser=True)
    try:
        if fresh:
            user.clean_fields(exclude=["password"])
        validate_password(password, user)
    except ValidationError as error:
        raise UserError(" ".join(error.messages), hint="Nothing was changed.") from None
    user.set_password(password)
    user.is_active = True
    with transaction.atomic():
        user.save()
        user.groups.add(Group.objects.get_or_create(name=Role.OWNER.value)[0])
    return fresh


def make_groups() -> None:
    """The groups, so that the admin offers them. Safe to call at each start."""
    for role in GROUPS:
        Group.objects.get_or_create(name=role.value)


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


def forget_failures(name: str, address: str) -> None:
    """The password was right: earlier failures with this name from this address no longer count."""
    LoginAttempt.objects.filter(account=_digest(name.strip().casefold()), address=_digest(address)).delete()


def _digest(text: str) -> str:
    return salted_hmac(SALT, text, algorithm="sha256").hexdigest()


@method_decorator((sensitive_post_parameters(), never_cache), name="dispatch")
class _Login(django_views.LoginView):
    template_name = "website/login.html"
    next_page = "home"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        name = request.POST.get("username", "")
        attempt, wait = write(begin_attempt, name, _address(request), timezone.now())
        if attempt is None:
            minutes = -(-wait // 60)
            refused = problem(
                request,
                429,
                "Too many attempts",
                "There were too many wrong passwords from here.",
                f"Try again in {minutes} minute{'' if minutes == 1 else 's'}. Other people can log in meanwhile.",
            )
            refused.headers["Retry-After"] = str(wait)
            return refused
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        write(forget_failures, form.cleaned_data["username"], _address(self.request))
        return super().form_valid(form)


class _Password(django_views.PasswordChangeView):
    template_name = "website/password.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password was changed.")
        return super().form_valid(form)


@open_to_all
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """Ends the session, a guest's as well."""
    guest = visitor_of(request).guest
    end_session(request)
    messages.success(request, "You have left." if guest else "You are logged out.")
    return redirect(request, "home")


def _address(request: HttpRequest) -> str:
    # What the server says, not a header that anybody can send: the proxy's word counts only where one is set up.
    return str(request.META.get("REMOTE_ADDR", ""))


login = open_to_all(_Login.as_view())
password = needs(Role.OWNER, Role.JUDGE, Role.VIEWER)(_Password.as_view())
