"""The renderer's form as a chat template, so that other servers give a double the text that it was trained on."""

from __future__ import annotations

from talkalike.examples.render import Form, speaker_name

SOMEBODY = "someone"  # who writes where a message names nobody


def chat_template(form: Form, double: str) -> str:
    """A Jinja2 template for `messages` with `role`, `content` and perhaps `name`.

    Who writes stands in `name`; where it is missing, the double writes as the assistant and "someone" as anybody else.
    The tokens are those of our renderer for texts that hold no markers; what people type is not defused here.
    """
    begin, opening, after, closing = (
        _quoted("".join(parts)) for parts in (form.begin, form.opening, form.after_name, form.closing)
    )
    own = _quoted(speaker_name(double))
    who = f"message.name if message.name else ({own} if message.role == 'assistant' else {_quoted(SOMEBODY)})"
    return (
        f"{{{{- {begin} -}}}}"
        "{%- for message in messages -%}"
        f"{{{{- {opening} + ({who}) + {after} + message.content + {closing} -}}}}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}"
        f"{{{{- {opening} + {own} + {after} -}}}}"
        "{%- endif -%}"
    )


def _quoted(text: str) -> str:
    """The text as a string literal of Jinja2."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
