"""Django's admin over the store's tables and the people; for owners.

What the bot writes (replies, usage, histories) can be looked at, not changed. What people set can be changed; two who
change the same row do not overwrite each other unseen.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.widgets import ForeignKeyRawIdWidget
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy

from talkalike.chat.permissions import Access, Level, Rule, Subject
from talkalike.store import rules
from talkalike.website.access import Role, to_login, visitor_of

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[models.Model]
    ModelAdmin = admin.ModelAdmin[Any]
    AccountAdmin = UserAdmin[User]
else:  # Django's classes take no parameter while it runs
    ModelForm, ModelAdmin, AccountAdmin = forms.ModelForm, admin.ModelAdmin, UserAdmin

COLUMNS = 7
CHANGEABLE = frozenset({"server", "permissionrule", "scopedoption", "testschedule", "person", "judge"})
WORDS = {  # what people and the double said to each other: it is stored, and nobody's to browse through
    "webconversation": ("title", "name"),
    "webmessage": ("text", "parts", "speaker", "seen"),
    "webpicture": ("name",),
    "sentmessage": ("text",),
    "seentext": ("text", "speaker"),
    "reply": ("seen",),
    "item": ("context", "messages"),
}
WORDS_HIDDEN = "What people and the double said to each other is not shown here."
TYPES_SHOWN = (models.BooleanField, models.CharField, models.DateTimeField, models.IntegerField, models.TextField)
BY_ADMIN = 0  # who changed it, in the store's terms: nobody with an account at Discord
CLASH = "Somebody else changed this while you were editing. Nothing was saved: load the page again to see their change."


class OwnersSite(admin.AdminSite):
    """The admin, with our log-in (which counts failures) and our roles."""

    site_header = site_title = "Administration"
    index_title = "What is stored"
    site_url = reverse_lazy("home")  # type: ignore[assignment]  # it is read for each request

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether they are an owner."""
        return visitor_of(request).may(Role.OWNER)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sends those who are unknown to our log-in; those who are known have no business here."""
        if visitor_of(request).known:
            raise PermissionDenied("Only the owner may administer.")
        return to_login(request)


site = OwnersSite(name="admin")
site.disable_action("delete_selected")


def _name_parts(field: Any) -> Any:
    widget = getattr(field, "widget", None)
    if isinstance(widget, forms.MultiWidget):
        for part, name in zip(widget.widgets, ("date", "time"), strict=True):
            part.attrs["aria-label"] = f"{field.label}: {name}"
    return field


class PeopleAdmin(AccountAdmin):
    """Accounts, with plain lists to choose from: Django's pairs of lists cannot be read aloud."""

    filter_horizontal = ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Gives the two fields of a time a name each, as in the store's tables."""
        return _name_parts(super().formfield_for_dbfield(db_field, request, **kwargs))


class RolesAdmin(GroupAdmin):
    """Groups, with plain lists to choose from as well."""

    filter_horizontal = ()


class UnseenChangeForm(ModelForm):
    """Carries what the row was when the page was made, and refuses to save over another change."""

    as_loaded = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["as_loaded"] = fingerprint(self.instance)
        self.present = self.initial["as_loaded"]

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError where the row was changed meanwhile."""
        cleaned = super().clean() or {}
        if self.instance.pk and cleaned.get("as_loaded") != self.present:
            raise ValidationError(CLASH)
        return cleaned


def fingerprint(row: models.Model) -> str:
    """A digest of every value of a row; empty for one that is not stored yet."""
    if not row.pk:
        return ""
    values = [str(field.value_from_object(row)) for field in row._meta.concrete_fields]
    return hashlib.sha256("\0".join(values).encode()).hexdigest()


class StoredAdmin(ModelAdmin):
    """A table of the store."""

    list_per_page = 50
    show_full_result_count = False  # counting a million rows takes longer than looking at fifty
    form = UnseenChangeForm

    ordering = ("-pk",)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Django gives the two fields of a time one name for the eye, and none for a reader's ear."""
        return _name_parts(super().formfield_for_dbfield(db_field, request, **kwargs))

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The first columns that can be read at a glance; long texts and structures are on the row's own page."""
        fields = [field for field in self.model._meta.concrete_fields if isinstance(field, TYPES_SHOWN)]
        return [field.name for field in fields if field.name not in self.words][:COLUMNS]

    @property
    def words(self) -> tuple[str, ...]:
        """The table's fields that are not shown."""
        return WORDS.get(str(self.model._meta.model_name), ())

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Leaves out the fields with what people said."""
        return self.words

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything else, and that something is left out."""
        description = WORDS_HIDDEN if self.words else ""
        return [(None, {"fields": self.get_fields(request, obj), "description": description})]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Nor can it be found out by asking which rows hold a word, also not from another table."""
        first, *rest = lookup.split("__")
        hidden = {name for names in WORDS.values() for name in names}
        asks = first in self.words or not hidden.isdisjoint(rest)
        return not asks and bool(super().lookup_allowed(lookup, value, request))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A number to type: a list of all rows would be endless."""
        kwargs.setdefault("widget", ForeignKeyRawIdWidget(db_field.remote_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @property
    def changeable(self) -> bool:
        """Whether people set what is in this table."""
        return self.model._meta.model_name in CHANGEABLE

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Owners, where people set it."""
        return self.changeable and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Owners, in the same tables as for adding."""
        return self.changeable and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for adding (what a person wrote and judged is forgotten by `/privacy` on Discord)."""
        return self.changeable and super().has_delete_permission(request, obj)


class RuleForm(UnseenChangeForm):
    """A form in which a rule's level or access is chosen by its name."""

    subject = forms.ChoiceField(choices=[(subject.value, subject.value) for subject in Subject])
    kind = forms.ChoiceField(choices=[("level", "level of people"), ("access", "access of a place")])
    value = forms.TypedChoiceField(
        coerce=int,
        choices=[
            (
                "People",
                [(int(level), f"level {int(level)}: {level.name.lower()}") for level in Level if level < Level.OWNER],
            ),
            ("Places", [(int(access), f"access {int(access)}: {access.name.lower()}") for access in Access]),
        ],
    )

    def clean(self) -> dict[str, Any]:
        """Refuses what is no rule. Raises ValidationError."""
        cleaned = super().clean()
        if cleaned.get("kind") == "access" and cleaned.get("value", 0) > max(Access):
            raise ValidationError("A place's access is closed, mention or open.")
        return cleaned


class RuleAdmin(StoredAdmin):
    """The rules in force. A change goes through the store's functions, which keep the history."""

    form = RuleForm
    fields = ("server_id", "subject", "subject_id", "kind", "value", "as_loaded")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whom a rule is about does not change: that would be another rule."""
        return ("server_id", "subject", "subject_id", "kind") if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Saves the rule as the bot does, with its history."""
        rules.put(_rule(obj), by=BY_ADMIN)
        key = {name: getattr(obj, name) for name in ("server_id", "subject", "subject_id", "kind")}
        obj.pk = self.model.objects.values_list("pk", flat=True).get(**key)
        obj._state.adding = False

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Removes the rule as the bot does, with its history."""
        rules.remove(_rule(obj), by=BY_ADMIN)


def _rule(row: Any) -> Rule:
    is_level = row.kind == "level"
    return Rule(
        server_id=row.server_id or None,
        subject=Subject(row.subject),
        subject_id=row.subject_id,
        level=Level(row.value) if is_level else None,
        access=None if is_level else Access(row.value),
    )


def register_all() -> None:
    """Every table of the store, whichever there are."""
    special: dict[str, type[StoredAdmin]] = {"permissionrule": RuleAdmin}
    for model in apps.get_app_config("store").get_models():
        site.register(model, special.get(str(model._meta.model_name), StoredAdmin))
    site.register(User, PeopleAdmin)
    site.register(Group, RolesAdmin)


register_all()
