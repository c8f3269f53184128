"""Finds out who asks: a person who logged in, else a guest whose invitation still holds."""

from __future__ import annotations

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.utils import timezone

from talkalike.website.access import GROUPS, NOBODY, Role, Visitor, with_implied

SESSION_INVITATION = "invitation"
SESSION_GUEST = "guest"


def find_visitor(request: HttpRequest) -> Visitor:
    """Asks the database, once a request; nobody's request costs nothing."""
    user = request.user
    if user.is_authenticated:
        return Visitor(key=f"user:{user.pk}", name=user.get_username(), roles=with_implied(roles_of(user)))
    number, guest = request.session.get(SESSION_INVITATION), request.session.get(SESSION_GUEST)
    if not number or not guest:
        return NOBODY
    from talkalike.website.models import Invitation

    found = Invitation.objects.filter(id=number, revoked_at=None, expires_at__gt=timezone.now()).first()
    if found is None:
        return NOBODY
    return Visitor(key=f"guest:{guest}", name="Guest", roles=with_implied(frozenset({Role(found.role)})))


def roles_of(user: User) -> frozenset[Role]:
    """From their groups; the one who may do everything in Django is the owner."""
    names = set(user.groups.values_list("name", flat=True))
    return frozenset(role for role in GROUPS if role in names or (role is Role.OWNER and user.is_superuser))


class OwnerBackend(ModelBackend):
    """Checks passwords as Django does; the group "owner" may do everything, the others nothing, in the admin."""

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: object = None) -> bool:  # type: ignore[override]
        """Whether they may do `perm`."""
        return isinstance(user_obj, User) and user_obj.is_active and Role.OWNER in roles_of(user_obj)

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        """Whether they may see an app in the admin."""
        return self.has_perm(user_obj, "")
