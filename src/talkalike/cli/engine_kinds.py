"""Which engine writes the replies that people read: [engine] of the settings decides."""

from __future__ import annotations

import os

from talkalike.cli.engines import load_engine
from talkalike.cli.output import say
from talkalike.cli.workspace import Workspace
from talkalike.engine.llama_cpp import LONGEST_CONTEXT, SLOTS, LlamaCpp, LlamaSettings, require_llama_cpp
from talkalike.engine.llama_files import gguf_path, text_folder, write_gguf
from talkalike.engine.protocol import Engine
from talkalike.engine.remote import RemoteEngine
from talkalike.engine.remote_double import connect_double
from talkalike.engine.token_engine import DoubleText, TokenEngine
from talkalike.errors import UserError
from talkalike.models.tokenizer import context_length
from talkalike.settings.engine_fields import ENGINE_KEY_VARIABLE
from talkalike.workspace.cards import Card

_USUAL_CONTEXT = 2048  # of models that state none


def open_engine(workspace: Workspace, card: Card, *, saves: bool = False) -> Engine:
    """The model, ready to reply, by the engine that the settings name. It may take a while: a file may be
    written. `saves`: conversations outlive the process, by our own engine.
    """
    kind = workspace.settings.engine.kind
    if kind == "local":
        return load_engine(workspace, card, saves=saves)
    return open_llama_cpp(workspace, card) if kind == "llama.cpp" else connect(workspace, card)


def open_llama_cpp(workspace: Workspace, card: Card) -> TokenEngine:
    """The model in llama.cpp, in this process. On first use its file is written."""
    require_llama_cpp()
    catalog, quant = workspace.catalog(), workspace.settings.engine.quant
    double = _text_of(workspace, card, longest=LONGEST_CONTEXT)
    file = gguf_path(catalog, card, quant=quant)
    if not file.exists():
        say(f"Writing '{card.name}' as a {quant} file for llama.cpp, once ...")
        write_gguf(catalog, card, file, quant=quant)
    return TokenEngine(
        double, LlamaCpp(file, LlamaSettings(context=double.context_length, exact=quant == "f32")), slots=SLOTS
    )


def connect(workspace: Workspace, card: Card) -> RemoteEngine | TokenEngine:
    """The model as the server in the settings computes it. What a person should know of that server is printed."""
    wanted = workspace.settings.engine
    if not wanted.url:
        raise UserError(
            'kind = "remote" in [engine] needs the address of a server.',
            hint='Set url in [engine] of talkalike.toml, such as "http://127.0.0.1:8001/v1".',
        )
    key = os.environ.get(ENGINE_KEY_VARIABLE, "")
    engine = connect_double(_text_of(workspace, card), wanted.url, model=wanted.model, api_key=key)
    for note in engine.notes:
        say(note)
    return engine


def _text_of(workspace: Workspace, card: Card, *, longest: int | None = None) -> DoubleText:
    if card.method == "prompt":
        raise UserError(
            f"'{card.name}' is a soft prompt, which only our own engine can read.",
            hint='Set kind = "local" in [engine], or train the double with --method lora.',
        )
    folder = text_folder(workspace.catalog(), card)
    length = context_length(folder) or _USUAL_CONTEXT
    return DoubleText.of(card.name, card.speakers, folder, context_length=min(length, longest or length))
