"""People with an account: made from the terminal (the first owner) or in the admin. Plain functions for the store."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from talkalike.errors import UserError
from talkalike.website.access import GROUPS, Role


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
