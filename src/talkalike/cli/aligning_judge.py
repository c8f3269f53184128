"""`talkalike align judge`: a model judges by rules, kept apart from people and only where it agrees with them."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from talkalike.alignment.critique import RevisionCounts, revise_replies
from talkalike.alignment.judge import judge_name, require_scoring
from talkalike.alignment.judge_agreement import find_peoples_pairs
from talkalike.alignment.judge_rules import JudgeRule, read_rules
from talkalike.alignment.judged import read_judgements
from talkalike.alignment.judging import JudgeCheck, measure_judge, sample_pairs, verdicts_on
from talkalike.alignment.prompts import reply_prompts
from talkalike.cli.commands import WorkspaceOption
from talkalike.cli.engines import choose_model, load_engine, sampling_of
from talkalike.cli.output import JsonOption, emit, one_line, progress, quantity, say, table
from talkalike.cli.stopping import polite_interrupt
from talkalike.cli.workspace import Workspace, database_url, open_workspace
from talkalike.engine.protocol import Engine
from talkalike.engine.remote import RemoteEngine
from talkalike.errors import UserError
from talkalike.examples.opening import open_examples
from talkalike.examples.render import Renderer
from talkalike.models.tokenizer import load_tokenizer
from talkalike.store.judging import ai_labels, exchange
from talkalike.store.judging.judgement_values import AnyRecord, ComparisonRecord, JudgedReply, RefusedError
from talkalike.store.judging.lines import from_line, to_line
from talkalike.store.store import Store, open_store
from talkalike.workspace.cards import Card

_CONTEXT_TOKENS = 512  # of a context for new pairs
_CRITIQUE_TOKENS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class _JudgeOptions:
    """The options given. `engine` is a model's name or a server's address."""

    rules: tuple[JudgeRule, ...]
    engine: str | None
    judged: Path | None
    compare: int
    new: int
    double: str | None
    limit: int
    least: float
    critique: Path | None
    quiet: bool
    should_stop: Callable[[], bool] = lambda: False


@dataclass(slots=True, kw_only=True)
class _JudgeResult:
    """What the judge did, in numbers."""

    judge: str
    measured: JudgeCheck | None = None
    pairs: int = 0
    labels: int = 0
    corrections: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def align_judge(  # signature: typer
    rules: Annotated[
        Path | None, typer.Option(help="File with the rules to judge by. Default: those that come with talkalike.")
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Use only the rule with this id; can be given several times.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Model, or server address, that judges. Default: the base model."),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="File with people's judgements to compare with. Default: this workspace's."),
    ] = None,
    compare: Annotated[int, typer.Option(min=1, help="Maximum number of people's pairs it is compared on.")] = 100,
    min_kappa: Annotated[
        float, typer.Option(min=-1, max=1, help="Minimum agreement with people (Cohen's kappa).")
    ] = 0.2,
    new: Annotated[int, typer.Option(min=0, help="Number of new pairs that the double writes for it to judge.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="Double that writes the new pairs. Default: the promoted one, else the newest.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of stored pairs it judges.")] = 200,
    critique: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of judging: criticise and revise replies, and write the corrections to this file.",
        ),
    ] = None,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model judge pairs of replies by written rules (AI feedback).

    Rules on which it does not agree with people well enough are not used. Its labels are kept apart from people's
    judgements.
    """
    workspace = open_workspace(workspace_dir)

    if critique is not None and critique.exists():
        raise UserError(f"{critique} is there already.", hint="Choose another name.")
    asked = _JudgeOptions(
        rules=read_rules(rules, only=rule or ()),
        engine=engine,
        judged=from_,
        compare=compare,
        new=new,
        double=model,
        limit=limit,
        least=min_kappa,
        critique=critique,
        quiet=as_json,
    )
    with open_store(database_url(workspace)) as store:
        done = asyncio.run(_judge(workspace, store, asked))
    emit(as_json, done, lambda screen: _show(screen, done, asked))


async def _judge(workspace: Workspace, store: Store, asked: _JudgeOptions) -> _JudgeResult:
    async with AsyncExitStack() as engines:
        engine = await _engine(workspace, asked.engine)
        engines.push_async_callback(engine.close)
        records = await _records(store, asked.judged)
        done = _JudgeResult(judge=engine.name)
        if asked.critique is not None:
            with polite_interrupt() as should_stop:
                asked = dataclasses.replace(asked, should_stop=should_stop)
                await _criticise(workspace, engine, records, asked, done)
            return done
        able = require_scoring(engine)
        people = find_peoples_pairs(records)
        people = dataclasses.replace(people, pairs=people.pairs[-asked.compare :])
        with progress("Comparing with people", quiet=asked.quiet, unit="pairs") as advance:
            done.measured = await measure_judge(able, people, asked.rules, least=asked.least, on_progress=advance)
        rules = done.measured.accepted(asked.rules)
        with polite_interrupt() as should_stop:
            asked = dataclasses.replace(asked, should_stop=should_stop)
            if asked.new:
                card = choose_model(workspace, asked.double)
                writer = engine if card.name == engine.name else await asyncio.to_thread(load_engine, workspace, card)
                engines.push_async_callback(writer.close)
                await _write_pairs(workspace, store, writer, card, asked, done)
            await _label(store, able, rules, asked, done)
    return done


async def _engine(workspace: Workspace, wanted: str | None) -> Engine:
    if wanted is not None and wanted.startswith(("http://", "https://")):
        return await RemoteEngine.connect(wanted, api_key=os.environ.get(workspace.settings.serve.api_key_env, ""))
    card = choose_model(workspace, wanted or workspace.settings.model.base)
    return await asyncio.to_thread(load_engine, workspace, card)


async def _records(store: Store, file: Path | None) -> list[AnyRecord]:
    """What was judged so far: in the file, else in the store (as an export would hold it)."""
    if file is not None:
        judgements = read_judgements(file)
        for number, why in judgements.skipped:
            say(f"{file}, line {number} left out: {why}")
        return list(judgements.records)

    records: list[AnyRecord] = []
    start: tuple[str, int] | None = ("judgements", 0)
    while start is not None:
        page = await store.run(exchange.page, start)
        records += [from_line(line) for line in page.lines]
        start = page.next
    return records


async def _write_pairs(
    workspace: Workspace, store: Store, writer: Engine, card: Card, asked: _JudgeOptions, done: _JudgeResult
) -> None:
    examples = open_examples(workspace.examples, card.examples or None)
    folder = workspace.catalog().path(card.name)
    if not (folder / "tokenizer.json").is_file():  # an adapter's is its base's
        folder = workspace.catalog().path(card.base)
    renderer = Renderer(load_tokenizer(folder))
    contexts = reply_prompts(examples, renderer, max_tokens=min(_CONTEXT_TOKENS, writer.context_length // 2))
    sampling = sampling_of(workspace)
    with progress("Writing pairs", quiet=asked.quiet, unit="pairs") as advance:
        async with aclosing(sample_pairs(writer, contexts, asked.new, sampling=sampling)) as pairs:
            written = 0
            async for pair in pairs:
                written += 1
                advance(written, min(asked.new, len(contexts)))
                if pair is None:
                    done.left_out["the double wrote the same twice, or nothing"] += 1
                else:
                    await store.run(ai_labels.put_pair, *pair)
                if asked.should_stop():
                    break


async def _label(
    store: Store, engine: Any, rules: tuple[JudgeRule, ...], asked: _JudgeOptions, done: _JudgeResult
) -> None:
    names = {rule.id: judge_name(engine, rule) for rule in rules}
    pairs = await store.run(ai_labels.unlabelled_pairs, tuple(names.values()), limit=asked.limit + asked.new)
    with progress("Judging", quiet=asked.quiet, unit="pairs") as advance:
        for number, pair in enumerate(pairs, start=1):
            if asked.should_stop():
                break
            found = await verdicts_on(engine, pair.a, pair.b, rules)
            if not found:
                done.left_out["too long for the judge"] += 1
            try:
                for rule, verdict in found:
                    label = ai_labels.Label(
                        judge=names[rule.id],
                        choice=verdict.choice,
                        probability=verdict.probability,
                        gap=verdict.gap,
                    )
                    await store.run(ai_labels.put, pair.id, label)
                    done.labels += 1
                done.pairs += bool(found)
            except RefusedError as refusal:  # its texts were deleted, or its batch closed, meanwhile
                done.left_out[refusal.what] += 1
            advance(number, len(pairs))


async def _criticise(
    workspace: Workspace, engine: Engine, records: list[AnyRecord], asked: _JudgeOptions, done: _JudgeResult
) -> None:
    replies = _replies(records)[-asked.limit :] if asked.limit else []
    if not replies:
        raise UserError(
            "There are no judged replies to criticise.", hint="Let people judge some, or name a --from FILE."
        )
    sampling = dataclasses.replace(sampling_of(workspace), max_tokens=_CRITIQUE_TOKENS)
    revised, able = RevisionCounts(), require_scoring(engine) if hasattr(engine, "logprobs") else None
    unless_stopped = takewhile(lambda _: not asked.should_stop(), replies)
    corrections = revise_replies(engine, unless_stopped, asked.rules, sampling=sampling, done=revised, checked_by=able)
    assert asked.critique is not None
    beside = asked.critique.with_name(f"{asked.critique.name}.part")
    try:
        with (
            beside.open("w", encoding="utf-8", newline="\n") as stream,
            progress("Criticising", quiet=asked.quiet, unit="replies") as advance,
        ):
            async with aclosing(corrections) as lines:
                async for record in lines:
                    stream.write(to_line(record) + "\n")
                    advance(revised.taken + revised.left_out.total(), len(replies))
        beside.replace(asked.critique)
    finally:
        beside.unlink(missing_ok=True)
    done.corrections = revised.taken
    done.left_out += revised.left_out


def _replies(records: list[AnyRecord]) -> list[JudgedReply]:
    """Every judged reply once."""
    found: dict[Any, JudgedReply] = {}
    for record in records:
        for reply in (record.a, record.b) if isinstance(record, ComparisonRecord) else (record.reply,):
            found[reply.context, reply.speaker, reply.messages] = reply
    return list(found.values())


def _show(screen: Console, done: _JudgeResult, asked: _JudgeOptions) -> None:
    if done.measured is not None:
        rows = []
        for rule, measured in done.measured.by_rule.items():
            kappa = "-" if measured.kappa is None else f"{measured.kappa:.2f}"
            alpha = "-" if measured.alpha.alpha is None else f"{measured.alpha.alpha:.2f}"
            used = "no" if rule in done.measured.refused else "yes"
            rows.append([rule, kappa, alpha, str(measured.n), f"{measured.first:+.2f}", used])
        columns = ["rule", ">kappa", ">alpha", ">pairs", ">position bias", "used"]
        screen.print(table(columns, rows, title=f"How far {done.judge} agrees with people"))
        for why, count in done.measured.left_out.items():
            say(f"{quantity(count, 'pair')} not compared: {why}.")
        screen.print(one_line(f"{quantity(done.labels, 'label')} for {quantity(done.pairs, 'pair')}, of kind AI."))
    else:
        screen.print(one_line(f"{quantity(done.corrections, 'correction')} written to {asked.critique}."))
    for why, count in done.left_out.items():
        say(f"{count} left out: {why}.")
