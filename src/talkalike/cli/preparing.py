"""`talkalike prepare`: from the imported chats to training examples, with an account of what became of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from talkalike.chats.cleaning import CleaningRules
from talkalike.chats.people import PersonRow, find_person
from talkalike.chats.platform_lines import PlatformLines, find_platform_lines
from talkalike.chats.sessions import HOUR_MS, MINUTE_MS
from talkalike.chats.values import Chats, Platform, Speaker
from talkalike.cli.commands import LONGEST_GAP_HOURS, WorkspaceOption
from talkalike.cli.fitting import TrainingMemory, precision_of, training_memory
from talkalike.cli.importing import show_platform_lines
from talkalike.cli.models import ensure_base
from talkalike.cli.output import FICTIONAL, JsonOption, duration, emit, number, one_line, percent, progress, say, table
from talkalike.cli.people import count_people, open_archive
from talkalike.cli.workspace import Workspace, open_workspace
from talkalike.errors import TalkalikeError, UserError
from talkalike.examples.dataset import ExampleSet, Manifest, SplitCounts
from talkalike.examples.gaps import GapRow, gap_rows
from talkalike.examples.photos import FILE as PHOTO_WORDS
from talkalike.examples.photos import ChatsWithPhotos, read_seen
from talkalike.examples.prepare import Prepared, PrepareSettings, Target
from talkalike.examples.prepare import prepare as prepare_examples
from talkalike.examples.render import Renderer
from talkalike.models.tokenizer import context_length, load_tokenizer
from talkalike.settings import Settings
from talkalike.workspace.cards import check_name
from talkalike.workspace.files import plain
from talkalike.workspace.naming import fingerprint, folder_name

NOTHING_HELD_OUT = (
    "Nothing is held out: what {voices} wrote last was written before, too, or is too little to be shared out. A "
    "training keeps its last state, not its best, and `talkalike score` has nothing to compare with. Import more "
    "conversations to change that."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Options of the command line that replace settings."""

    gap_hours: float | None = None
    max_tokens: int | None = None
    context_tokens: int | None = None
    heldout_share: float | None = None
    platform_lines: bool | None = None
    photos: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedExamples:
    """The examples that were prepared, and which lines were taken for the platform's own."""

    prepared: Prepared
    platform_lines: PlatformLines

    @property
    def manifest(self) -> Manifest:
        """The manifest of the examples that were prepared."""
        return self.prepared.manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTime:
    """How long a training with the settings' epochs takes here; `why` there is no number, where there is none."""

    seconds: float | None
    epochs: float
    tokens_per_second: float | None = None
    why: str = ""


def prepare(  # signature: typer
    speaker: Annotated[
        list[str],
        typer.Option("--speaker", "-s", metavar="NAME", help="Person to learn from; can be given several times."),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the example set. Default: the speaker's name.")] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Base model the examples are made for; fetched if it is missing. Default: as in the settings."
        ),
    ] = None,
    gap_hours: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=LONGEST_GAP_HOURS,
            help="Silence, in hours, that ends a session in every chat. Default: as in the settings.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=64, help="Longest example in tokens. Default: as in the settings.")
    ] = None,
    context_tokens: Annotated[
        int | None,
        typer.Option(
            min=0, help="Tokens of others' messages kept before each learned message. Default: as in the settings."
        ),
    ] = None,
    heldout_share: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=0.5, help="Share of the newest messages kept out of training. Default: as in the settings."
        ),
    ] = None,
    platform_lines: Annotated[
        bool | None,
        typer.Option(
            "--platform-lines/--no-platform-lines",
            help="Also learn lines that look like the platform's own words, such as “Anna sent a photo.”",
        ),
    ] = None,
    photos: Annotated[
        bool | None,
        typer.Option(
            "--photos/--no-photos",
            help="Tell in words what others' photos showed, where an eye has looked at them. Default: as in the "
            "settings.",
            show_default=False,
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate/--no-estimate", help="Estimate how long training takes on this machine.")
    ] = True,
    workspace_dir: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn the chats into training examples of one or more speakers. What is not given comes from talkalike.toml."""
    workspace = open_workspace(workspace_dir)
    chosen = Overrides(
        gap_hours=gap_hours,
        max_tokens=max_tokens,
        context_tokens=context_tokens,
        heldout_share=heldout_share,
        platform_lines=platform_lines,
        photos=photos,
    )
    made = make_examples(workspace, speaker, name=name, base=base, overrides=chosen, quiet=as_json)
    manifest, gaps = made.manifest, gap_rows(made.prepared)
    time = training_estimate(workspace, manifest) if estimate else None
    memory = measured_memory(workspace, manifest) if estimate else None

    learned = _learned_share(manifest)
    data = {
        **plain(manifest),
        "folder": workspace.examples / manifest.name,
        "learned_share": learned,
        "masked_share": 1 - learned,
        "gaps": gaps,
        "training": time,
        "memory": memory,
        "platform_lines": made.platform_lines.lines,
        "platform_lines_learned": learns_platform_lines(workspace.settings, chosen),
    }

    def render(screen: Console) -> None:
        show_platform_lines(screen, made.platform_lines.lines, learned=bool(data["platform_lines_learned"]))
        _show(screen, manifest, gaps=gaps, time=time)
        if memory is not None:
            screen.print(one_line(f"Training takes {memory.words}"))
            if memory.todo:
                screen.print(one_line(f"That does not fit this machine. {memory.todo}", "bold yellow"))
        screen.print(f"Next: talkalike examples show --name {manifest.name}, then: talkalike train")

    emit(as_json, data, render)


def make_examples(
    workspace: Workspace,
    speakers: Sequence[str],
    *,
    name: str | None = None,
    base: str | None = None,
    overrides: Overrides | None = None,
    quiet: bool = False,
) -> PreparedExamples:
    """Prepares the examples of `speakers` (names as typed) and returns what they hold. Older ones of that name go."""
    archive = open_archive(workspace)
    chosen = find_speakers(count_people(archive, quiet=quiet), speakers)
    wanted = name or _own_name(workspace, chosen)
    folder = workspace.examples / _check_examples_name(wanted)
    settings = prepare_settings(workspace.settings, overrides or Overrides())
    card = ensure_base(workspace, base or workspace.settings.model.base)
    base_folder = workspace.catalog().path(card.name)
    renderer = Renderer(load_tokenizer(base_folder))
    reads = context_length(base_folder) or settings.max_tokens
    if reads < settings.max_tokens:
        say(f"Examples have at most {reads:,} tokens, not {settings.max_tokens:,}: {card.name} reads no more.")
        settings = dataclasses.replace(settings, max_tokens=reads)
    lines = find_platform_lines(archive)
    learn = learns_platform_lines(workspace.settings, overrides or Overrides())
    chats: Chats = lines.sift(archive, learn=learn)
    if tells_photos(workspace, overrides or Overrides()):
        seen = read_seen(workspace.chats / PHOTO_WORDS)
        settings = dataclasses.replace(settings, photos=True)
        chats = ChatsWithPhotos(chats, seen, speakers={person.id for person in chosen})
    with progress("Preparing", quiet=quiet, unit="chats") as advance:
        made = prepare_examples(
            chats,
            chosen,
            renderer=renderer,
            settings=settings,
            target=Target(folder=folder, base=card.name, fictional=workspace.is_fictional),
            progress=advance,
        )
    return PreparedExamples(prepared=made, platform_lines=lines)


def tells_photos(workspace: Workspace, overrides: Overrides) -> bool:
    """Whether photos are told in words. UserError where that is wanted and no eye has looked at any."""
    wanted = workspace.settings.examples.photos if overrides.photos is None else overrides.photos
    if wanted and not (workspace.chats / PHOTO_WORDS).exists():
        raise UserError(
            "No eye has looked at the photos of the chats yet.",
            hint="Run `talkalike eye photos` with the export's path, or leave them out with --no-photos.",
        )
    return wanted


def learns_platform_lines(settings: Settings, overrides: Overrides) -> bool:
    """Whether what looks like the platform's own words is learned all the same."""
    given = overrides.platform_lines
    return settings.chats.platform_lines if given is None else given


def find_speakers(rows: Sequence[PersonRow], names: Sequence[str]) -> list[Speaker]:
    """The people whom typed names mean, each once; UserError for a name that means nobody or several."""
    found = {(person := find_person(rows, name)).id: person for name in names}
    return list(found.values())


def prepare_settings(settings: Settings, overrides: Overrides) -> PrepareSettings:
    """What `prepare` needs, from the settings and the command line."""
    chats, examples = settings.chats, settings.examples
    gap_ms = dict.fromkeys(Platform, round(chats.session_gap_hours * HOUR_MS))
    gap_ms[Platform.IRC] = round(chats.irc_gap_minutes * MINUTE_MS)
    if overrides.gap_hours is not None:
        gap_ms = dict.fromkeys(gap_ms, round(overrides.gap_hours * HOUR_MS))
    rules = CleaningRules()
    if chats.phone_region is not None:
        rules = dataclasses.replace(rules, phone_regions=(chats.phone_region,))
    given = {
        key: value if (value := getattr(overrides, key)) is not None else getattr(examples, key)
        for key in ("max_tokens", "context_tokens", "heldout_share")
    }
    return PrepareSettings(gap_ms=gap_ms, reactions=examples.reactions, cleaning=rules, **given)


def training_estimate(workspace: Workspace, manifest: Manifest) -> TrainingTime:
    """The time that training on these examples takes here; examples are no worse where it cannot be measured."""
    from talkalike.training.speed import training_speed  # torch: only where the time is asked for

    train = workspace.settings.train
    try:
        how = precision_of(workspace)
        speed = training_speed(workspace.catalog(), manifest.base, how, say=say).tokens_per_second
    except TalkalikeError as error:
        return TrainingTime(seconds=None, epochs=train.epochs, why=error.what)
    seconds = manifest.train.tokens * train.epochs / speed
    if train.minutes is not None:
        seconds = min(seconds, 60 * train.minutes)
    return TrainingTime(seconds=seconds, epochs=train.epochs, tokens_per_second=speed)


def measured_memory(workspace: Workspace, manifest: Manifest) -> TrainingMemory | None:
    """The memory that training on these examples takes, with what `training_estimate` measured; None: not known."""
    from talkalike.training import speed  # torch: only where the memory is asked for

    try:
        memory = training_memory(workspace, manifest.base, learned=_learned_share(manifest))
    except TalkalikeError:  # the same as for the time, which says why
        return None
    known = speed.known_speed(workspace.catalog(), manifest.base, precision_of(workspace))
    if memory is None or known is None or not known.peak_bytes:
        return memory
    return dataclasses.replace(
        memory,
        measured_tokens=speed.MEASURED_TOKENS,
        measured_bytes=known.peak_bytes,
        measured_estimate=known.estimated_bytes,
    )


def _learned_share(manifest: Manifest) -> float:
    tokens = manifest.train.tokens + manifest.heldout.tokens
    return (manifest.train.loss_tokens + manifest.heldout.loss_tokens) / tokens if tokens else 0.0


def _own_name(workspace: Workspace, chosen: Sequence[Speaker]) -> str:
    """The speakers' name for their examples; one that tells them from others whose examples are called so already."""
    short = folder_name(person.name for person in chosen)
    ids = sorted(person.id for person in chosen)
    try:
        theirs = sorted(ExampleSet(workspace.examples / short).manifest.speaker_ids)
    except UserError:  # there are none, or none that can be used
        return short
    return short if theirs == ids else f"{short}-{fingerprint(ids)}"


def _check_examples_name(name: str) -> str:
    try:
        return check_name(name)
    except UserError as error:
        raise UserError(f"'{name}' cannot be the examples' name.", hint=error.hint) from None


# ---------------------------------------------------------------------------------------------------------- the account
def _show(screen: Console, manifest: Manifest, *, gaps: Sequence[GapRow], time: TrainingTime | None) -> None:
    """Prints what the examples hold, what was left out, and how long training takes."""
    voices = " and ".join(manifest.speakers)
    screen.print(one_line(f"Examples '{manifest.name}': how {voices} writes, for the base {manifest.base}.", "bold"))
    if manifest.fictional:
        screen.print(f"({FICTIONAL})")
    parts = {"train": manifest.train, "held out": manifest.heldout}
    columns = ["", ">sessions", ">examples", ">messages", ">learned", ">reactions", ">learned"]
    columns += [">tokens", ">learned tokens", ">not learned"]
    screen.print(table(columns, [_counts(name, counts) for name, counts in parts.items()]))
    screen.print("Loss is computed only on the speaker's own messages and on whether more follow; the rest is context.")
    _reasons(screen, "Dropped messages", manifest.dropped)
    _reasons(screen, "Redacted", manifest.redacted)
    _reasons(screen, "Left out", manifest.left_out)
    _reasons(screen, "Too long", manifest.shortened)
    if not manifest.heldout.learned:
        screen.print(one_line(NOTHING_HELD_OUT.format(voices=voices)))
    _gaps(screen, gaps)
    if time is not None:
        screen.print(one_line(_time(manifest, time)))


def _counts(name: str, counts: SplitCounts) -> list[str]:
    masked = 1 - counts.loss_tokens / counts.tokens if counts.tokens else 0.0
    turns = [counts.messages, counts.learned, counts.reactions, counts.learned_reactions]
    amounts = [counts.sessions, counts.documents, *turns, counts.tokens, counts.loss_tokens]
    return [name, *map(number, amounts), percent(masked)]


def _reasons(screen: Console, title: str, reasons: Mapping[str, int]) -> None:
    if reasons:
        ordered = sorted(reasons.items(), key=lambda item: -item[1])
        screen.print(one_line(f"{title}: " + ", ".join(f"{reason} {amount:,}" for reason, amount in ordered) + "."))


def _gaps(screen: Console, gaps: Sequence[GapRow]) -> None:
    if not gaps:
        return
    rows = [
        [
            gap.platform,
            ("> " if gap.chosen else "") + duration(3600 * gap.gap_hours),
            number(gap.sessions),
            number(gap.median_messages),
            percent(gap.single_share),
        ]
        for gap in gaps
    ]
    columns = ["chats", ">silence", ">sessions", ">median messages", ">with one message"]
    screen.print(table(columns, rows, title="How long a silence ends a session (>: the setting in use)"))


def _time(manifest: Manifest, time: TrainingTime) -> str:
    if time.seconds is None:
        return f"How long training takes on this machine is not known: {time.why}"
    return (
        f"Training takes about {duration(time.seconds)} here: {number(time.epochs)} passes over "
        f"{manifest.train.tokens:,} tokens at {number(time.tokens_per_second or 0)} a second."
    )
