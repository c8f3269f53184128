"""The Django app of the store; its label is part of every table's name."""

from __future__ import annotations

from django.apps import AppConfig


class StoreConfig(AppConfig):
    """Label "store"; ids are 64 bits wide, as Discord's are."""

    name = "talkalike.store"
    label = "store"
    verbose_name = "The double"
    default_auto_field = "django.db.models.BigAutoField"
