"""The settings in words: the commented file of `talkalike init`, the environment variables, what a setting takes.

All of it is derived from the declarations in `fields`, so it cannot drift from them.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from talkalike.settings.fields import NOT_SETTINGS, SECTIONS

ENV_PREFIX = "TALKALIKE_"
_WIDTH = 100  # of the comments in the file that `talkalike init` writes


def json_schema(section: str, key: str) -> dict[str, Any]:
    """The JSON schema of one setting: its types and bounds."""
    schema: dict[str, Any] = SECTIONS[section].model_json_schema()["properties"][key]
    return schema


def allowed_values(section: str, key: str) -> str:
    """In words, which values a setting takes."""
    schema = json_schema(section, key)
    if "allowed" in schema:
        return str(schema["allowed"])
    return " or ".join(_in_words(option) for option in schema.get("anyOf", [schema]) if option.get("type") != "null")


def _in_words(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return as_toml(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(as_toml(choice) for choice in schema["enum"])
    if schema["type"] == "string":
        return "text"
    if schema["type"] == "boolean":
        return "true or false"
    bounds = [
        f"{words} {schema[bound]:g}" if isinstance(schema[bound], float) else f"{words} {schema[bound]}"
        for bound, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if bound in schema
    ]
    return ("a whole number, " if schema["type"] == "integer" else "a number ") + " and ".join(bounds)


def as_toml(value: str | bool | int | float) -> str:
    """A value as TOML writes it; JSON writes these four types the same way."""
    return json.dumps(value, ensure_ascii=False)


def variable_name(section: str, key: str) -> str:
    return f"{ENV_PREFIX}{section}_{key}".upper()


def default_toml() -> str:
    """The commented file that `talkalike init` writes: every setting with its default; unset ones are commented out."""
    blocks = ["# The settings of this workspace. Every line shows the default; delete what you do not change.\n"]
    for section, model in SECTIONS.items():
        lines = [f"# {model.__doc__}", f"[{section}]"]
        for key, field in model.model_fields.items():
            lines += ["", *_comment(str(field.description)), *_comment(f"Allowed: {allowed_values(section, key)}.")]
            if field.default is None:
                lines.append(f"# {key} = {as_toml((field.examples or [''])[0])}")
            else:
                lines.append(f"{key} = {as_toml(field.default)}")
        blocks.append("\n".join(lines) + "\n")
    return "\n\n".join(blocks)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def environment_variables() -> dict[str, str]:
    """Every environment variable that is read, with what it does."""
    variables = {
        variable_name(section, key): str(field.description)
        for section, model in SECTIONS.items()
        for key, field in model.model_fields.items()
    }
    return variables | NOT_SETTINGS
