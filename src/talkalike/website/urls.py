"""The addresses of the site. Pages register themselves in `pages.py`."""

from __future__ import annotations

from django.urls import include, path

from talkalike.website import accounts_views, frame_views, invitations_views
from talkalike.website.admin import site as admin_site
from talkalike.website.pages import PAGES

handler400 = "talkalike.website.problems.bad_request"
handler403 = "talkalike.website.problems.denied"
handler404 = "talkalike.website.problems.not_found"
handler500 = "talkalike.website.problems.failed"

urlpatterns = [
    path("", frame_views.home, name="home"),
    path("health", frame_views.health, name="health"),
    path("robots.txt", frame_views.robots, name="robots"),
    path("favicon.ico", frame_views.favicon, name="favicon"),
    path("login/", accounts_views.login, name="login"),
    path("logout/", accounts_views.logout, name="logout"),
    path("password/", accounts_views.password, name="password"),
    path("invitations/", invitations_views.invitations, name="invitations"),
    path("invitations/<int:number>/revoke/", invitations_views.revoke, name="revoke"),
    path("invite/<str:token>/", invitations_views.accept, name="accept"),
    path("admin/", admin_site.urls),
    *(path(f"{page.name}/", include(f"talkalike.website.{page.name}.urls")) for page in PAGES),
]
