"""`talkalike export`: a double as files for other programs, with the form of text that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.engines import choose_double
from talkalike.cli.output import JsonOption, emit, one_line, size
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import UserError
from talkalike.workspace.cards import Card

To = Literal["gguf", "gguf-adapter", "hf", "vllm"]
Quant = Literal["f32", "bf16", "q8_0", "q4_1"]
_FOLDER = "exports"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenExport:
    """What was written. `hint`: how it is used."""

    model: str
    to: str
    path: Path
    size_bytes: int
    hint: str


def export(  # signature: typer
    name: Annotated[str | None, typer.Argument(help="Model to export. Default: the double in use.")] = None,
    to: Annotated[
        To,
        typer.Option(
            "--to",
            help="One GGUF file with everything; the adapter alone as GGUF; a folder for transformers with everything; "
            "or the adapter's folder for vLLM.",
        ),
    ] = "gguf",
    quant: Annotated[
        Quant, typer.Option(help="How the numbers in a GGUF file are stored. q8_0 takes a byte each.")
    ] = "q8_0",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File or folder to write. Default: in the workspace's exports."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a double as files for llama.cpp, vLLM or transformers.

    Each holds a chat template: messages name who writes (`name`), and the double answers as it was trained to.
    """
    workspace = open_workspace(workspace_dir)
    card = workspace.catalog().card(name) if name else choose_double(workspace, None)
    path = output or workspace.root / _FOLDER / _file_name(card, to, quant)
    if path.exists() and not force:
        raise UserError(f"{path} is there already.", hint="Choose another --output, or replace it with --force.")
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _write(workspace, card, to=to, quant=quant, path=path)

    def render(screen: Console) -> None:
        screen.print(one_line(f"{done.path} is written ({size(done.size_bytes)})."), markup=False)
        screen.print(done.hint, markup=False)

    emit(as_json, done, render)


def _file_name(card: Card, to: To, quant: Quant) -> str:
    return {"gguf": f"{card.name}-{quant}.gguf", "gguf-adapter": f"{card.name}-adapter.gguf"}.get(
        to, f"{card.name}-{to}"
    )


def _write(workspace: Workspace, card: Card, *, to: To, quant: Quant, path: Path) -> WrittenExport:
    from talkalike.engine import exporting  # torch: the help does not wait for it

    source = exporting.source_of(workspace.catalog(), card)
    writers = {
        "gguf": lambda: exporting.to_gguf(source, path, quant=quant),
        "gguf-adapter": lambda: exporting.to_gguf_adapter(source, path),
        "hf": lambda: exporting.to_transformers(source, path),
        "vllm": lambda: exporting.to_vllm(source, path),
    }
    hint = writers[to]()
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    total = sum(file.stat().st_size for file in files)
    return WrittenExport(model=card.name, to=to, path=path, size_bytes=total, hint=hint)
