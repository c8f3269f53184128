"""Which eye looks at pictures, by the settings: one in the workspace, or a vision server; and how it is opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from talkalike.chat.looking import KeptWords, Onlooker
from talkalike.cli.output import say
from talkalike.cli.workspace import Workspace
from talkalike.engine.eye_in_process import ConversingEyeInProcess, EyeInProcess
from talkalike.engine.eyes import OWN_SIGHT, SMALL_SIGHT, Eye, Grade
from talkalike.engine.gated_eye import GatedEye, open_gate
from talkalike.engine.vision_chat import OTHERS, VisionChat, check_sight, connect_eye
from talkalike.errors import TalkalikeError, UserError
from talkalike.models.eyes.reading import small_eye_name
from talkalike.settings.engine_fields import EYE_KEY_VARIABLE
from talkalike.workspace.eyes import OWN, SMALL, EyeCard

if TYPE_CHECKING:
    from talkalike.cli.engines import WorkspaceEngines
    from talkalike.engine.local_eye import LocalSmallEye
    from talkalike.engine.local_own_eye import LocalOwnEye
    from talkalike.engine.local_vision import LocalVisionEye

    LocalEye = LocalSmallEye | LocalOwnEye | LocalVisionEye

OFF, AUTO = "off", "auto"
EyeOption = Annotated[
    str,
    typer.Option(
        "--eye",
        metavar="EYE",
        help="Who looks: an eye in the workspace by its name, or the address of a vision server, up to /v1. "
        "Default: as in the settings.",
        show_default=False,
    ),
]


def chosen_eye(workspace: Workspace) -> EyeCard | None:
    """The eye in the workspace that the settings mean; None: none, or a server's. UserError where it is not there."""
    wanted = workspace.settings.eye
    if wanted.url or wanted.model == OFF:
        return None
    if wanted.model != AUTO:
        return eye_named(workspace, wanted.model)
    cards = workspace.eye_catalog().cards()
    return cards[-1] if cards else None


def eye_named(workspace: Workspace, name: str) -> EyeCard:
    """The eye of this name: one that was fetched, or one that was trained here. UserError where there is none."""
    catalog = workspace.catalog()
    if not workspace.eye_catalog().exists(name) and catalog.exists(name) and catalog.card(name).kind == "eye":
        card = catalog.card(name)
        return EyeCard(name=name, kind=OWN, source=f"trained on {card.base}", created=card.created)
    return workspace.eye_catalog().card(name)


def local_eye(workspace: Workspace, card: EyeCard) -> LocalEye:
    """The eye in this process, which opens it when it first looks."""
    folder = workspace.eye_catalog().path(card.name)
    if card.kind == SMALL:
        # torch: only where an eye is in this process
        from talkalike.engine.local_eye import LocalSmallEye

        return LocalSmallEye(folder)
    settings = workspace.settings.model
    if card.kind == OWN:
        # torch: only where an eye is in this process
        from talkalike.engine.local_own_eye import LocalOwnEye

        encoder = workspace.eye_catalog().path(SMALL)
        return LocalOwnEye(workspace.catalog(), card.name, encoder=encoder, dtype=settings.dtype)
    # torch: only where an eye is in this process
    from talkalike.engine.local_vision import LocalVisionEye

    return LocalVisionEye(folder, name=card.name, device=settings.device, dtype=settings.dtype)


def eye_to_serve(workspace: Workspace) -> LocalEye | None:
    """The eye that a model's process offers beside its model."""
    card = chosen_eye(workspace)
    return local_eye(workspace, card) if card else None


async def eye_here(workspace: Workspace, named: str = "", *, model: str = "", max_images: int | None = None) -> Eye:
    """For a command in the terminal: the eye of this name or address, else the settings'. UserError where none is.

    `model` and `max_images`: which model on a server, and how many pictures it takes, where it does not say.
    """
    settings = workspace.settings.eye
    if named.startswith(("http://", "https://")):
        return await _server(workspace, named, model, max_images)
    if named:
        return gated(workspace, local_eye(workspace, eye_named(workspace, named)))
    if settings.url and settings.model != OFF:
        return await _server(workspace, settings.url, model, max_images)
    card = chosen_eye(workspace)
    if card is None:
        raise UserError(
            "There is no eye that could look at pictures." if settings.model != OFF else 'The eye is "off" in [eye].',
            hint="Fetch the small one with `talkalike eye fetch small`, or name a vision server with --eye.",
        )
    return gated(workspace, local_eye(workspace, card))


async def open_onlooker(
    workspace: Workspace, engines: WorkspaceEngines, kept: KeptWords | None = None
) -> Onlooker | None:
    """What looks at the pictures of conversations; None where nobody does, which is told where it was wanted."""
    settings = workspace.settings.eye
    eye: Eye | None = None
    if settings.url and settings.model != OFF:
        eye = await _server_or_none(workspace)
    elif card := chosen_eye(workspace):
        if card.kind == SMALL:
            eye = EyeInProcess(small_eye_name(), SMALL_SIGHT, engines.process)
        elif card.kind == OWN:
            eye = EyeInProcess(card.name, OWN_SIGHT, engines.process)
        else:
            eye = ConversingEyeInProcess(card.name, OTHERS, engines.process)
    if eye is None:
        return None
    return Onlooker(gated(workspace, eye), kept, seconds=settings.seconds, grade=Grade(settings.grade))


async def _server_or_none(workspace: Workspace) -> Eye | None:
    """The settings' vision server. One that does not answer now is asked again later, if its model is named."""
    settings = workspace.settings.eye
    named = "" if settings.model == AUTO else settings.model
    key = os.environ.get(EYE_KEY_VARIABLE, "")
    try:
        eye = await connect_eye(settings.url, model=named, api_key=key)
        if isinstance(eye, VisionChat):
            await check_sight(eye)
        return eye
    except UserError as error:
        say(f"Nobody looks at pictures: {error}")
    except TalkalikeError as error:
        if named:
            say(f"The vision server does not answer yet: {error}")
            return VisionChat(settings.url, named, api_key=key)
        say(f"Nobody looks at pictures: {error} If [eye] named the model, it would be tried again.")
    return None


def gated(workspace: Workspace, eye: Eye) -> Eye:
    """The eye behind the gate that the settings name, if they do."""
    return GatedEye(eye, open_gate()) if workspace.settings.eye.gate == "nsfw" else eye


async def _server(workspace: Workspace, url: str, model: str, max_images: int | None) -> Eye:
    settings = workspace.settings.eye
    if not model and url == settings.url and settings.model != AUTO:
        model = settings.model
    key = os.environ.get(EYE_KEY_VARIABLE, "")
    return gated(workspace, await connect_eye(url, model=model, api_key=key, max_images=max_images))
