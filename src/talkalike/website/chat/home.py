"""What the chat page offers on the first page."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse

from talkalike.website.access import Visitor
from talkalike.website.chat.view_models import model_of, voices
from talkalike.website.pages import Todo


def todo(visitor: Visitor) -> Iterable[Todo]:
    """Talking, where there is somebody to talk to."""
    del visitor
    model = model_of(None)
    for voice in voices():
        if voice.model == model:
            text = f"Write with the double of {voice.speaker}. What it says can be judged where it stands."
            yield Todo(title="Chat", text=text, action=f"Talk to {voice.speaker}", url=reverse("chat:index"))
