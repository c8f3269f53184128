"""The addresses of the site. Pages register themselves in `pages.py`."""

from __future__ import annotations

from django.urls import include, path, re_path

from talkalike.website import accounts, frame, invitations
from talkalike.website.admin import site as admin_site
from talkalike.website.pages import PAGES

handler400 = "talkalike.website.answers.bad_request"
handler403 = "talkalike.website.answers.denied"
handler404 = "talkalike.website.answers.not_found"
handler500 = "talkalike.website.answers.failed"

urlpatterns = [
    path("", frame.home, name="home"),
    path("health", frame.health, name="health"),
    path("robots.txt", frame.robots, name="robots"),
    path("favicon.ico", frame.favicon, name="favicon"),
    path("login/", accounts.login, name="login"),
    path("logout/", accounts.logout, name="logout"),
    path("password/", accounts.password, name="password"),
    path("invitations/", invitations.invitations, name="invitations"),
    path("invitations/<int:number>/revoke/", invitations.revoke, name="revoke"),
    path("invite/<str:token>/", invitations.accept, name="accept"),
    re_path(r"^trainings/(?P<rest>.*)$", frame.moved_runs, name="trainings"),
    path("admin/", admin_site.urls),
    *(path(f"{page.name}/", include(f"talkalike.website.{page.name}.urls")) for page in PAGES),
]
