"""`talkalike guess`: a blind test, in which friends guess which reply is the real person's. Here its rounds are made.

Every arm replies to the same held-out prompts with the same sampling: the double, its base model, and, if wanted, the
base model with a system prompt that says whom to be and shows how they write. It is taken on the website or Discord.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console

from talkalike.alignment.heldout_prompts import Answers, ModelArm, answer_prompts, choose_prompts
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption, hand_down
from talkalike.cli.engines import choose_double, reply_sources
from talkalike.cli.judgements import guess_table
from talkalike.cli.output import JsonOption, emit, progress
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.examples.dataset import ExampleSet
from talkalike.examples.heldout import ReferenceReply, load_replies
from talkalike.examples.opening import examples_of
from talkalike.examples.reactions import readable
from talkalike.examples.render import Turn
from talkalike.store.judging import guesses
from talkalike.store.judging.guesses import Writing
from talkalike.store.store import Store, open_store
from talkalike.workspace.cards import Card

SAMPLES = 12  # of the person's messages that the prompted base is shown

app = typer.Typer(
    help="Make a blind test for friends, and show its results.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessRoundSettings:
    """The blind test to make; an empty name stands for one made from the person's."""

    name: str = ""
    prompts: int = 20
    prompted: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRound:
    """A blind test that was made. `left_out` counts answers that are not in it, by reason."""

    id: int
    prompts: int
    questions: int
    left_out: Mapping[str, int] = field(default_factory=dict)


@app.callback()
def options(context: typer.Context, workspace_dir: WorkspaceOption = None) -> None:
    """Options that may stand before the command."""
    hand_down(context, workspace_dir=workspace_dir)


@app.command("make")
def make(
    name: Annotated[
        str | None, typer.Option(help="Title that friends see. Default: made from the person's name.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Double to test. Default: the promoted one, else the newest.")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, max=500, help="Number of held-out prompts to reply to.")] = 20,
    prompted_base: Annotated[
        bool, typer.Option(help="Also test the base model with a system prompt that says whom to be.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed; the same seed chooses the same prompts.")
    ] = 0,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a blind test from held-out prompts. They were kept out of training."""
    workspace = open_workspace(workspace_dir)
    card = choose_double(workspace, model)
    with open_store(database_url(workspace)) as store:
        made = asyncio.run(
            make_guess_rounds(
                workspace,
                store,
                card,
                GuessRoundSettings(name=name or "", prompts=prompts, prompted=prompted_base, seed=seed),
                quiet=as_json,
            )
        )
    data = {"round": made.id, "prompts": made.prompts, "questions": made.questions, "left_out": dict(made.left_out)}
    data["moments"] = made.prompts  # the older name, until the next version
    emit(as_json, data, lambda screen: _show(screen, made))


@app.command("results")
def results(workspace_dir: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show how often each model was taken for the real person."""
    workspace = open_workspace(workspace_dir)
    with open_store(database_url(workspace)) as store:
        found = store.call(guesses.results)
    rows = [
        {
            "arm": one.arm,
            "model": one.model,
            "votes": int(one.taken_for_real.n),
            "share": one.taken_for_real.share,
            "low": one.taken_for_real.low,
            "high": one.taken_for_real.high,
        }
        for one in found
    ]

    emit(as_json, {"results": rows}, lambda screen: screen.print(guess_table(found)))


async def make_guess_rounds(
    workspace: Workspace, store: Store, card: Card, wanted: GuessRoundSettings, *, quiet: bool
) -> MadeRound:
    """Lets the double and its base reply to held-out prompts of the double's first speaker, and stores the questions.

    Raises UserError where the examples changed since the double was trained, or hold no prompt that can be asked about.
    """
    speaker, examples = card.speakers[0], examples_of(workspace.examples, card)
    chosen = choose_prompts(load_replies(examples, "heldout"), speaker, wanted.prompts, seed=wanted.seed)
    base = workspace.catalog().card(card.base)
    arms = [ModelArm(name="double", card=card), ModelArm(name="base", card=base)]
    if wanted.prompted:
        lead = _persona(load_replies(examples, "train"), speaker, wanted.seed)
        arms.append(ModelArm(name="prompted", card=base, lead=lead))
    with progress("Answering", quiet=quiet) as advance:
        said = await answer_prompts(reply_sources(workspace, advance), arms, chosen, wanted.seed)
    return await store.run(store_round, wanted.name or f"Which one is {speaker}?", chosen, said, _people(examples))


def store_round(
    name: str,
    prompts: Sequence[ReferenceReply],
    answers: Answers,
    people: Sequence[str],
) -> MadeRound:
    """Stores a blind test: a question for each prompt and arm. Names of `people` are replaced wherever they stand."""
    round_id = guesses.make_round(name)
    left_out: Counter[str] = Counter()
    questions: set[int] = set()
    for index, prompt in enumerate(prompts):
        real = tuple(text for text in prompt.words if text.strip())
        context = [(turn.speaker, readable(turn.text)) for turn in prompt.context]
        # A friend is asked once about a prompt, the question stored first before others: so each meets every arm.
        turned = index % len(answers)
        for arm, said in (*answers[turned:], *answers[:turned]):
            if not said[index]:
                left_out[f"{arm.model} ({arm.name}) said nothing"] += 1
            elif said[index] == real:
                left_out[f"{arm.model} ({arm.name}) said the same as {prompt.speaker}"] += 1
            else:
                mine = Writing(messages=real)
                other = Writing(messages=said[index], model=arm.model, arm=arm.name)
                questions.add(
                    guesses.add_question(round_id, context, prompt.speaker, real=mine, other=other, hide=people)
                )
    return MadeRound(id=round_id, prompts=len(prompts), questions=len(questions), left_out=dict(left_out))


def _persona(training: Sequence[ReferenceReply], speaker: str, seed: int) -> tuple[Turn, ...]:
    """The system prompt of the prompted base: whom to be, and messages they wrote."""
    written = [text for reply in training if reply.speaker == speaker for text in reply.words if text.strip()]
    samples = random.Random(seed).sample(written, min(SAMPLES, len(written)))
    lines = "\n".join(f"- {text}" for text in samples)
    instruction = (
        f"You are {speaker} in this chat. Write as {speaker} does, and nothing else. Messages of {speaker}:\n{lines}"
    )
    return (Turn("system", instruction),)


def _people(examples: ExampleSet) -> list[str]:
    """Everybody who speaks in the examples but the chosen speakers."""
    names = {
        turn.speaker
        for split in ("train", "heldout")
        for document in examples.documents(split)
        for turn in document.turns
    }
    return sorted(names - set(examples.manifest.speakers))


def _show(screen: Console, made: MadeRound) -> None:
    screen.print(
        f"Blind test {made.id}: {made.questions} questions about {made.prompts} held-out prompts.", markup=False
    )
    for reason, count in made.left_out.items():
        screen.print(f"Left out: {count} where {reason}.", markup=False)
    screen.print("Invite friends on the site's page “Blind test”, or let people use /guess on Discord.", markup=False)
