"""`talkalike examples`: which example sets there are, and what exactly will be learned from them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text
from tokenizers import Tokenizer

from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, hand_down
from talkalike.cli.output import FICTIONAL, JsonOption, emit, harmless, number, one_line, quantity, table
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import UserError
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.opening import open_examples
from talkalike.examples.prepare import tokenizer_hash
from talkalike.examples.reactions import SIGN
from talkalike.examples.render import Renderer
from talkalike.models.tokenizer import load_tokenizer

app = typer.Typer(
    help="List the example sets or show single examples.", rich_markup_mode=None, invoke_without_command=True
)

OPEN, CLOSE = "«", "»"  # around what is learned, where there are no colours


@app.callback()
def examples(context: typer.Context, workspace_dir: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the example sets that `talkalike prepare` made, or show single examples of one."""
    if context.invoked_subcommand is not None:
        hand_down(context, workspace_dir=workspace_dir, as_json=as_json)
        return
    workspace = open_workspace(workspace_dir)
    sets = [open_examples(workspace.examples, name).manifest for name in workspace.example_names()]

    def render(screen: Console) -> None:
        if not sets:
            screen.print("There are no examples yet. Next: talkalike prepare --speaker NAME")
            return
        columns = ["examples", "speakers", "base model", ">training", ">held out", ">learned tokens"]
        rows = [
            [
                found.name + ("*" if found.fictional else ""),
                ", ".join(found.speakers),
                found.base,
                number(found.train.documents),
                number(found.heldout.documents),
                number(found.train.loss_tokens),
            ]
            for found in sets
        ]
        screen.print(table(columns, rows))
        if any(found.fictional for found in sets):
            screen.print(f"* {FICTIONAL}")

    emit(as_json, {"examples": sets}, render)


@app.command("show")
def show(  # signature: typer
    name: Annotated[str | None, typer.Option(help="Example set to show. Default: the newest one.")] = None,
    amount: Annotated[int, typer.Option("--n", "-n", min=1, help="Number of examples to show.")] = 3,
    split: Annotated[Literal["train", "heldout"], typer.Option(help="Part of the set to show examples of.")] = "train",
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed; another seed shows other examples.")
    ] = 0,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show examples exactly as the model reads them. What is learned is coloured (or «marked»)."""
    workspace = open_workspace(workspace_dir)
    found = open_examples(workspace.examples, name)
    tokenizer = _tokenizer_of(found, workspace)
    documents = found.split(split)
    if len(documents) == 0:
        raise UserError(f"'{found.manifest.name}' has no {split} examples.", hint="Prepare again with more chats.")
    indices = sorted(random.Random(seed).sample(range(len(documents)), min(amount, len(documents))))
    names = [document.conversation for document in found.documents(split)]
    drawn = []
    for index in indices:
        ids, mask = documents.ids(index).tolist(), documents.mask(index).tolist()
        pieces = spans(tokenizer, ids, mask)
        drawn.append(
            {
                "index": index,
                "conversation": names[index],
                "tokens": ids,
                "mask": mask,
                "text": "".join(text for text, _ in pieces),
                "spans": [{"text": text, "learned": learned} for text, learned in pieces],
            }
        )
    manifest = found.manifest
    data = {"name": manifest.name, "split": split, "of": len(documents), "fictional": manifest.fictional}
    emit(as_json, {**data, "examples": drawn}, lambda screen: show_examples(screen, found, drawn, split))


def spans(tokenizer: Tokenizer, ids: Sequence[int], mask: Sequence[bool]) -> list[tuple[str, bool]]:
    """Stretches of tokens with or without loss as text, markers included."""
    stretches = []
    for learned, group in groupby(zip(ids, mask, strict=True), key=lambda pair: pair[1]):
        text = tokenizer.decode([token for token, _ in group], skip_special_tokens=False)
        stretches.append((str(text), bool(learned)))
    return stretches


def _tokenizer_of(found: ExampleSet, workspace: Workspace) -> Tokenizer:
    manifest, catalog = found.manifest, workspace.catalog()
    if not catalog.exists(manifest.base):
        raise UserError(
            f"The base '{manifest.base}', for which these examples were made, is gone.",
            hint=f"Run: talkalike models fetch {manifest.base}",
        )
    tokenizer = load_tokenizer(catalog.path(manifest.base))
    if tokenizer_hash(Renderer(tokenizer)) != manifest.tokenizer_hash:
        raise UserError(
            f"The base '{manifest.base}' has another vocabulary than when these examples were made.",
            hint="Run `talkalike prepare` again.",
        )
    return tokenizer


def show_examples(screen: Console, found: ExampleSet, drawn: Sequence[dict[str, Any]], split: str) -> None:
    """Examples as text on `screen`; what is learned in colour, or between marks where there are no colours."""
    coloured = screen.is_terminal and not screen.no_color
    manifest = found.manifest
    how = "coloured" if coloured else f"between {OPEN} and {CLOSE}"
    screen.print(
        one_line(f"'{manifest.name}', {split}: what is learned from {' and '.join(manifest.speakers)} is {how}.")
    )
    if manifest.fictional:
        screen.print(f"({FICTIONAL})")
    if any(SIGN in span["text"] for example in drawn for span in example["spans"]):
        screen.print(f"{harmless(SIGN)} is the sign of a reaction: an emoji put on the message before it.")
    for example in drawn:
        learned = sum(example["mask"])
        title = f"Example {example['index']} of {example['conversation']}: {quantity(len(example['tokens']), 'token')}"
        screen.print()
        screen.print(one_line(f"{title}, {learned:,} learned", style="bold"))
        text = Text()
        for span in example["spans"]:
            written = harmless(span["text"])
            if coloured:
                text.append(written, style="bold green" if span["learned"] else "dim")
            else:
                text.append(f"{OPEN}{written}{CLOSE}" if span["learned"] else written)
        screen.print(text, soft_wrap=not screen.is_terminal)
