"""Finds out who asks: a person who logged in, else a guest who came with an invitation. And who they judge as."""

from __future__ import annotations

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from talkalike.store.judging import judges
from talkalike.store.judging.judges import JudgeRow
from talkalike.website.access import GROUPS, INVITABLE, NOBODY, Role, Visitor, visitor_of, with_implied
from talkalike.website.data import read, write

SESSION_JUDGE = "judge"  # a guest's judge's id; the session is ours, so nobody can put another's there


def find_visitor(request: HttpRequest) -> Visitor:
    """Asks the database, once a request; nobody's request costs nothing."""
    user = request.user
    if isinstance(user, User) and user.is_authenticated:
        roles = with_implied(roles_of(user))
        return Visitor(key=f"user:{user.pk}", name=user.get_username(), account_id=user.pk, roles=roles)
    number = request.session.get(SESSION_JUDGE)
    judge = read(judges.by_id, number) if number else None
    if judge is None or judge.blocked:
        return NOBODY
    # Nobody is made an owner by a link.
    roles = frozenset(role for role in INVITABLE if role.value == judge.group.value)
    return Visitor(key=f"guest:{judge.id}", name="Guest", judge_id=judge.id, roles=with_implied(roles))


def roles_of(user: User) -> frozenset[Role]:
    """From their groups; the one who may do everything in Django is the owner."""
    names = set(user.groups.values_list("name", flat=True))
    return frozenset(role for role in GROUPS if role in names or (role is Role.OWNER and user.is_superuser))


def judge_of(request: HttpRequest) -> JudgeRow:
    """Who judgements of this request are filed under; an account's is made the first time.

    Raises PermissionDenied for somebody unknown, or blocked. In async views: `await sync_to_async(judge_of)(request)`.
    """
    visitor = visitor_of(request)
    found = None
    if visitor.account_id is not None:
        # Nearly always they are there, and nobody has to wait for those who write.
        found = read(judges.known_account, visitor.account_id) or write(judges.of_account, visitor.account_id)
    elif visitor.judge_id is not None:
        found = read(judges.by_id, visitor.judge_id)
    if found is None or found.blocked:
        raise PermissionDenied("You are not among those who judge here.")
    return found


class OwnerBackend(ModelBackend):
    """Checks passwords as Django does; the group "owner" may do everything, the others nothing, in the admin."""

    def has_perm(self, user_obj: AbstractBaseUser | AnonymousUser, perm: str, obj: object = None) -> bool:
        """Whether they may do `perm`."""
        return isinstance(user_obj, User) and user_obj.is_active and Role.OWNER in roles_of(user_obj)

    def has_module_perms(self, user_obj: AbstractBaseUser | AnonymousUser, app_label: str) -> bool:
        """Whether they may see an app in the admin."""
        return self.has_perm(user_obj, "")
