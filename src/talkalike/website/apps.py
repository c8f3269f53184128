"""The Django app of the site; its label is part of its tables' names."""

from __future__ import annotations

from django.apps import AppConfig


class WebsiteConfig(AppConfig):
    """The website as a Django app, with the label "website"."""

    name = "talkalike.website"
    label = "website"
    verbose_name = "The website"
    default_auto_field = "django.db.models.BigAutoField"
