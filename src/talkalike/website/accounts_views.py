"""Logging in and out, and changing the password."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import logout as end_session
from django.contrib.auth import views as django_views
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from talkalike.website import problems
from talkalike.website.access import Role, needs, open_to_all, visitor_of
from talkalike.website.answers import redirect
from talkalike.website.data import write
from talkalike.website.limits import begin_attempt, succeeded


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
            refused = problems.page(
                request,
                429,
                "Too many tries",
                "There were too many wrong passwords from here.",
                f"Try again in {minutes} minute{'' if minutes == 1 else 's'}. Other people can log in meanwhile.",
            )
            refused.headers["Retry-After"] = str(wait)
            return refused
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        write(succeeded, form.cleaned_data["username"], _address(self.request))
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
