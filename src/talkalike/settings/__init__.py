"""One frozen settings object, read once from `talkalike.toml` and the environment.

Only the command line imports this module; it hands plain values down. Every setting is declared once, with its default,
its bounds and its description: the checks, the messages about wrong values, the commented file that `talkalike init`
writes and the names of the environment variables all come from that one declaration.

An environment variable `TALKALIKE_<SECTION>_<KEY>` wins over the file; an empty one counts as not set.
"""

from __future__ import annotations

from talkalike.settings.describe import default_toml, environment_variables
from talkalike.settings.fields import Settings, split_names
from talkalike.settings.load import load_settings

__all__ = ["Settings", "default_toml", "environment_variables", "load_settings", "split_names"]
