"""Django's settings for a process with the site: the store's, and what pages, people and sessions need."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path
from typing import Any

import django
from django.conf import settings as django_settings

from talkalike.charts.plotter import STYLE_SHEET
from talkalike.errors import UserError
from talkalike.store.configure import APPS, database_settings
from talkalike.website.services import OWN_HOSTS, SiteSettings

HERE = Path(__file__).parent
SESSION_SECONDS = 14 * 24 * 3600
LEAST_PASSWORD = 10

MIDDLEWARE = (
    "talkalike.website.middleware.HeadersMiddleware",
    "talkalike.website.middleware.StaticMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "talkalike.website.zones.ZoneMiddleware",
    "talkalike.website.middleware.VisitorMiddleware",
    "talkalike.website.middleware.ProblemsMiddleware",
)
VALIDATION = "django.contrib.auth.password_validation"
VALIDATORS: tuple[dict[str, Any], ...] = (
    {"NAME": f"{VALIDATION}.UserAttributeSimilarityValidator"},
    {"NAME": f"{VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": LEAST_PASSWORD}},
    {"NAME": f"{VALIDATION}.CommonPasswordValidator"},
    {"NAME": f"{VALIDATION}.NumericPasswordValidator"},
)


def configure_site(database_url: str, *, secret: str, settings: SiteSettings) -> None:
    """Sets Django up for the site. Call it before `open_store`, which then makes the site's tables as well.

    Raises UserError for a wrong address, RuntimeError in a process where Django was set up for the store alone.
    """
    if django_settings.configured:
        if "talkalike.website.apps.WebsiteConfig" not in django_settings.INSTALLED_APPS:
            raise RuntimeError("call configure_site before the first open_store")
        return
    django_settings.configure(**_settings(database_url, secret, settings))
    django.setup()
    # Whoever sends nonsense to the site must not fill its log: what is asked for and not there, or under another name.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("django.security").setLevel(logging.CRITICAL)


def _settings(database_url: str, secret: str, settings: SiteSettings) -> dict[str, Any]:
    return {
        "DATABASES": {"default": database_settings(database_url)},
        "SECRET_KEY": secret,
        "DEBUG": False,
        "ALLOWED_HOSTS": [*OWN_HOSTS, *settings.hosts],
        "INSTALLED_APPS": (
            *APPS,
            "talkalike.website.apps.WebsiteConfig",
            "django.contrib.admin.apps.SimpleAdminConfig",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.staticfiles",
            "django_htmx",
        ),
        "MIDDLEWARE": MIDDLEWARE,
        "ROOT_URLCONF": "talkalike.website.urls",
        "TEMPLATES": [_templates()],
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "USE_I18N": False,
        "LOGGING_CONFIG": None,  # what is logged, and where to, is the program's concern
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "AUTHENTICATION_BACKENDS": ["talkalike.website.visitors.OwnerBackend"],
        "AUTH_PASSWORD_VALIDATORS": VALIDATORS,
        "LOGIN_URL": "login",
        "LOGIN_REDIRECT_URL": "home",
        "CSRF_FAILURE_VIEW": "talkalike.website.answers.forged",
        **_static(),
        **_cookies(settings),
    }


def _templates() -> dict[str, Any]:
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": sorted(str(folder) for folder in HERE.glob("*/templates")),  # those of the page packages
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["talkalike.website.templatetags.showing"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "talkalike.website.frame.frame",
            ],
        },
    }


def _static() -> dict[str, Any]:
    return {
        "STATIC_URL": "/static/",
        "STATICFILES_DIRS": [*sorted(map(str, HERE.glob("*/static"))), ("website/charts", str(STYLE_SHEET.parent))],
        "STORAGES": {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # uploads are the store's to keep
            "staticfiles": {"BACKEND": "talkalike.website.static_files.VersionedStorage"},
        },
        "WHITENOISE_USE_FINDERS": True,
        "WHITENOISE_AUTOREFRESH": False,
        "WHITENOISE_MAX_AGE": 24 * 3600,  # addresses change with the content
        "WHITENOISE_ALLOW_ALL_ORIGINS": False,
    }


def _cookies(settings: SiteSettings) -> dict[str, Any]:
    # "__Host-": browsers then take the cookie only over TLS, and from this host alone, but for all of its paths.
    # Where the site has a path of its own, its cookies go nowhere else (see `HeadersMiddleware`).
    tls = settings.tls
    prefix = ("__Secure-" if settings.path else "__Host-") if tls else ""
    return {
        "SESSION_COOKIE_NAME": f"{prefix}talkalike_session",
        "SESSION_COOKIE_AGE": SESSION_SECONDS,
        "SESSION_COOKIE_SECURE": tls,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "CSRF_COOKIE_NAME": f"{prefix}talkalike_csrf",
        "CSRF_COOKIE_SECURE": tls,
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Lax",
        "SECURE_HSTS_SECONDS": 30 * 24 * 3600 if tls else 0,
        "SECURE_REFERRER_POLICY": "same-origin",
    }


def secret_key(root: Path) -> str:
    """The key that signs sessions and forms, from a file in the workspace; made the first time.

    Raises UserError for a file that others may read, or that holds no key.
    """
    file = root / "web.secret"
    if not file.exists():
        _make_secret(file)
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise UserError(
            f"{file} holds the site's secret key, and other users of this computer can read it (mode {mode:o}).",
            hint="Delete it: a new one is made, and everybody has to log in again. Or run: talkalike doctor",
        )
    secret = file.read_text(encoding="utf-8").strip()
    if len(secret) < 32:
        raise UserError(f"{file} holds no usable key.", hint="Delete it: a new one is made.")
    return secret


def _make_secret(file: Path) -> None:
    # Complete before it has its name, and never written over: two processes that start at once share the first one's.
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(f"{secrets.token_urlsafe(50)}\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        file.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
