"""`talkalike task score` and `ask`: a task is tried on its own examples, or asked about a picture, through an eye."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from talkalike.charts.plotter import save
from talkalike.chat.seeing.card import TaskCard, card_charts, card_json, make_card
from talkalike.chat.seeing.comprehend import PictureQuestion, PicturesAtHand, SeenAnswer, comprehend
from talkalike.chat.seeing.trials import TrialPlan, TrialResult, plan_trials, run_trials
from talkalike.chat.seeing.values import MOST_PICTURES, MOST_SHOTS
from talkalike.cli.commands import LARGEST_SEED, WorkspaceOption
from talkalike.cli.engines import sampling_of
from talkalike.cli.eye_opening import EyeOption, eye_here
from talkalike.cli.output import JsonOption, emit, harmless, one_line, progress
from talkalike.cli.tasks_opening import NameArgument, ServerOption, place_of, read_pictures
from talkalike.cli.tasks_showing import show_card
from talkalike.cli.workspace import database_url, open_workspace
from talkalike.engine.eyes import Eye
from talkalike.errors import UserError, did_you_mean
from talkalike.options import SAMPLING
from talkalike.store.seeing import tasks
from talkalike.store.seeing.usable import pictures_of, trial_plan, usable_task
from talkalike.store.store import open_store

EyeModelOption = Annotated[
    str, typer.Option(help="Vision model on that server. Default: the only one that it has.", show_default=False)
]
EyeImagesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_SHOTS + MOST_PICTURES,
        help="How many pictures the server takes at once. Default: as it says, else 9.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="OPTION=VALUE", help=f"Option of the answer; give it several times: {', '.join(SAMPLING)}."
    ),
]


def score_task(  # signature: typer
    name: NameArgument,
    eye: EyeOption = "",
    eye_model: EyeModelOption = "",
    eye_images: EyeImagesOption = None,
    chart: Annotated[Path | None, typer.Option(metavar="FILE", help="File to draw the numbers into, as SVG.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed; the same seed tries the same examples.")
    ] = 0,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what a task's examples do for its answers. Each is asked about with others as shots, beside controls."""
    workspace = open_workspace(workspace_dir)
    with open_store(database_url(workspace)) as store:
        found = store.call(usable_task, place_of(server), name)
        plan = store.call(trial_plan, found, seed=seed)
        opening = eye_here(workspace, eye, model=eye_model, max_images=eye_images)
        card = asyncio.run(_measure(plan, opening, quiet=as_json))
        if found.stored:
            store.call(tasks.keep_card, found.stored, card_json(card))
    charts = card_charts(card)
    if chart and charts:
        save(charts, chart, title=f"The task {found.label} with {card.eye}")

    def render(screen: Console) -> None:
        show_card(card, screen)
        if chart:
            screen.print(one_line(f"Drawn into {chart}." if charts else f"There was nothing to draw into {chart}."))

    emit(as_json, {"task": found.label, **card_json(card), "chart": chart if charts else None}, render)


def ask_task(  # signature: typer
    name: NameArgument,
    pictures: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures to ask about, at most four.")],
    eye: EyeOption = "",
    prompt: Annotated[
        str, typer.Option(help="What to ask; <image> says where a picture stands. Default: what the task asks.")
    ] = "",
    eye_model: EyeModelOption = "",
    eye_images: EyeImagesOption = None,
    options: SetOption = None,
    server: ServerOption = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask about pictures with a task. Its examples are shown before them."""
    workspace = open_workspace(workspace_dir)
    if len(pictures) > MOST_PICTURES:  # before any is read
        raise UserError(
            f"You can ask about at most {MOST_PICTURES} pictures at once, but there were {len(pictures)}.",
            hint="Name fewer of them.",
        )
    read = read_pictures(pictures)
    with open_store(database_url(workspace)) as store:
        found = store.call(usable_task, place_of(server), name)
        gallery = store.call(pictures_of, found.spec)
    question = PictureQuestion(
        pictures=tuple(read[file] for file in pictures),
        task=found.spec,
        prompt=prompt,
        label=found.label,
        sampling=replace(sampling_of(workspace), **_options(options or [])),
    )
    opening = eye_here(workspace, eye, model=eye_model, max_images=eye_images)
    answer = asyncio.run(_ask(question, PicturesAtHand(gallery=gallery), opening))

    def render(screen: Console) -> None:
        screen.print(harmless(answer.text), soft_wrap=True, markup=False)
        screen.print(one_line(f"({answer.footer})", "dim"), soft_wrap=True)

    emit(as_json, {**asdict(answer), "seen": None}, render)


@asynccontextmanager
async def _opened(opening: Coroutine[Any, Any, Eye]) -> AsyncGenerator[Eye, None]:
    eye = await opening
    try:
        yield eye
    finally:
        await eye.close()


async def _measure(plan: TrialPlan, opening: Coroutine[Any, Any, Eye], *, quiet: bool) -> TaskCard:
    trials = plan_trials(plan)
    results: list[TrialResult] = []
    async with _opened(opening) as eye:
        with progress("Asking", quiet=quiet, unit="questions") as advance:
            given = PicturesAtHand(gallery=plan.pictures, known=plan.known)
            async for result in run_trials(trials, eye=eye, given=given):
                results.append(result)
                advance(len(results), len(trials))
        return make_card(plan, results, eye=eye.name)


async def _ask(question: PictureQuestion, given: PicturesAtHand, opening: Coroutine[Any, Any, Eye]) -> SeenAnswer:
    async with _opened(opening) as eye:
        return await comprehend(question, eye=eye, given=given)


def _options(typed: list[str]) -> dict[str, Any]:
    """Options of an answer as OPTION=VALUE."""
    values: dict[str, Any] = {}
    for one in typed:
        key, _, value = one.partition("=")
        if key not in SAMPLING:
            hint = did_you_mean(key, SAMPLING, otherwise=f"There are: {', '.join(SAMPLING)}.")
            raise UserError(f"There is no option '{key[:40]}'.", hint=hint)
        values[key] = SAMPLING[key].parse(value)
    return values
