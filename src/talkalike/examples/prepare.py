"""From an imported archive to an example set: clean, cut into sessions, split by time, keep what is worth it."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from talkalike.chats.cleaning import CleaningRules, clean
from talkalike.chats.duplicates import MIN_WORDS, NearDuplicates
from talkalike.chats.sessions import DEFAULT_GAP_MS, split_sessions
from talkalike.chats.values import Conversation, Message, Person, Platform, Session
from talkalike.errors import UserError
from talkalike.examples.dataset import SPLITS, Document, Manifest, SplitCounts, write_examples
from talkalike.examples.reactions import emoji_of, has_sign, people_by_name, plain, with_reactions
from talkalike.examples.render import Rendered, Renderer, Turn, speaker_name
from talkalike.examples.windows import heldout_start, worthwhile

_ENDLESS = 1 << 62  # a gap or a weight that is never reached


class Archive(Protocol):
    """What prepare needs of the imported archive."""

    def conversations(self) -> Sequence[Conversation]:
        """Every conversation."""
        ...

    def messages(self, conversation_id: str) -> Iterable[Message]:
        """A conversation's messages, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """How conversations become examples."""

    gap_ms: dict[Platform, int] = field(default_factory=lambda: dict(DEFAULT_GAP_MS))  # silence that ends a session
    max_tokens: int = 1024  # longest document
    context_tokens: int = 256  # context kept before each learned turn
    heldout_share: float = 0.1  # of the learned turns, the newest of each conversation
    reactions: bool = True  # are turns too
    cleaning: CleaningRules = field(default_factory=CleaningRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the examples go, and for which base."""

    folder: Path
    base: str
    fictional: bool = False  # the chats are invented, and everything made from them is to say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `prepare` wrote, and when the messages it cleaned were sent: per platform, an array (UTC ms) a chat."""

    manifest: Manifest
    sent_ms: dict[Platform, list[array[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    """A document and its tokens, rendered at once while the tokens of its texts are at hand."""

    document: Document
    rendered: Rendered


@dataclass(slots=True, kw_only=True)
class _Tally:
    sources: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    sessions: Counter[str] = field(default_factory=Counter)


class _Names:
    """One name in the headers for each person; two people never share one, except chosen ones of the same name."""

    def __init__(self, chosen: Sequence[Person]) -> None:
        self._by_id = {person.id: speaker_name(person.name) for person in chosen}
        self._taken = set(self._by_id.values())

    def of(self, person: Person) -> str:
        if person.id not in self._by_id:
            plain = name = speaker_name(person.name)
            number = 2
            while name in self._taken:
                name, number = f"{plain} ({number})", number + 1
            self._by_id[person.id] = name
            self._taken.add(name)
        return self._by_id[person.id]


class _Preparation:
    """The work of one `prepare`: conversation by conversation, so that memory holds only what is kept."""

    def __init__(self, chosen: Sequence[Person], renderer: Renderer, settings: PrepareSettings) -> None:
        self.renderer = renderer
        self.settings = settings
        self.names = _Names(chosen)
        self.chosen_ids = frozenset(person.id for person in chosen)
        self._reactions = settings.reactions and has_sign(renderer)
        self.tally = _Tally()
        self._tokens: dict[str, list[int]] = {}
        self.examples: dict[str, list[_Example]] = {split: [] for split in SPLITS}
        self.sent_ms: dict[Platform, list[array[int]]] = {}

    def add(self, conversation: Conversation, messages: Iterable[Message]) -> None:
        read = list(messages)
        if not any(message.author.id in self.chosen_ids for message in read):
            self.tally.left_out["conversations without a chosen speaker"] += 1
            return
        self.tally.sources[conversation.id] = len(read)
        cleaned = clean(read, self.settings.cleaning)
        self.tally.dropped.update(cleaned.dropped)
        self.tally.redacted.update(cleaned.redacted)
        times = array("q", (message.sent_ms for message in cleaned.messages))
        self.sent_ms.setdefault(conversation.platform, []).append(times)
        gap_ms = self.settings.gap_ms[conversation.platform]
        turns = self._turns(conversation, read, cleaned.messages)
        sessions = list(split_sessions(conversation, turns, gap_ms=gap_ms, weight=lambda _: 0, max_weight=_ENDLESS))
        speaking = [session for session in sessions if any(map(self._is_chosen, session.messages))]
        self.tally.left_out["sessions without a chosen speaker"] += len(sessions) - len(speaking)
        learned = [sum(self._is_chosen(turn) and emoji_of(turn.text) is None for turn in s.messages) for s in speaking]
        start = heldout_start(learned, self.settings.heldout_share)
        for index, session in enumerate(speaking):
            split = "train" if index < start else "heldout"
            self.tally.sessions[split] += 1
            self.examples[split] += self._examples(session)

    def _turns(
        self, conversation: Conversation, read: Sequence[Message], cleaned: Sequence[Message]
    ) -> Sequence[Message]:
        """What was written, without the sign of reactions, and the reactions where they are wanted."""
        written = [m if (words := plain(m.text)) is m.text else replace(m, text=words) for m in cleaned]
        written = [message for message in written if message.text.strip()]
        self.tally.dropped["empty text"] += len(cleaned) - len(written)
        stored = sum(len(message.reactions) for message in read)
        if not self._reactions:
            why = "no sign for them in this base's vocabulary" if self.settings.reactions else "switched off"
            self.tally.left_out[f"reactions ({why})"] += stored
            return written
        people = people_by_name([*conversation.participants, *(message.author for message in read)])
        turns, left_out = with_reactions(written, people, conversation)
        self.tally.left_out.update(left_out)
        self.tally.left_out["reactions to messages without words"] += stored - sum(len(m.reactions) for m in written)
        return turns

    def _is_chosen(self, message: Message) -> bool:
        return message.author.id in self.chosen_ids

    def _cost(self, message: Message) -> int:
        return self.renderer.turn_cost(self.names.of(message.author), len(self._tokens[message.id]))

    def _examples(self, session: Session) -> list[_Example]:
        messages = session.messages
        encoded = self.renderer.encode_texts([message.text for message in messages])
        self._tokens = {message.id: ids for message, ids in zip(messages, encoded, strict=True)}
        learn = [self._is_chosen(message) for message in messages]
        kept = worthwhile(learn, [self._cost(message) for message in messages], self.settings.context_tokens)
        near = {index for start, stop in kept for index in range(start, stop)}
        for index, message in enumerate(messages):
            if index not in near:
                what = "messages" if emoji_of(message.text) is None else "reactions"
                self.tally.left_out[f"{what} too far from any reply"] += 1
        examples: list[_Example] = []
        for start, stop in kept:
            for piece in split_sessions(
                session.conversation,
                messages[start:stop],
                gap_ms=_ENDLESS,
                weight=self._cost,
                max_weight=self.settings.max_tokens,
            ):
                end = start + len(piece.messages)
                following = messages[end] if end < len(messages) else None
                document = self._document(piece, following)
                if any(document.learn):
                    tokens = [self._tokens[message.id] for message in piece.messages]
                    rendered = render_document(self.renderer, document, encoded=tokens)
                    examples.append(_Example(document=document, rendered=rendered))
                start = end
        return examples

    def _document(self, piece: Session, following: Message | None) -> Document:
        return Document(
            conversation=piece.conversation.id,
            turns=tuple(Turn(self.names.of(message.author), message.text) for message in piece.messages),
            learn=tuple(map(self._is_chosen, piece.messages)),
            sent_ms=tuple(message.sent_ms for message in piece.messages),
            ended=following is None,
            next_speaker=None if following is None else self.names.of(following.author),
        )

    def separate(self) -> None:
        """Moves a session to the held-out part if there is none yet, and unlearns what training texts repeat there."""
        train, heldout = self.examples["train"], self.examples["heldout"]
        if not heldout and len(train) > 1:
            newest = max(range(len(train)), key=lambda index: train[index].document.sent_ms[-1])
            heldout.append(train.pop(newest))
            self.tally.sessions.update(train=-1, heldout=1)
        known = NearDuplicates()
        for example in train:
            for turn in example.document.turns:
                if len(turn.text.split()) >= MIN_WORDS:
                    known.add(turn.text)
        heldout[:] = [self._without_repeats(known, example) for example in heldout]

    def _without_repeats(self, known: NearDuplicates, example: _Example) -> _Example:
        document = example.document
        repeats = [
            learn and len(turn.text.split()) >= MIN_WORDS and known.seen(turn.text)
            for learn, turn in zip(document.learn, document.turns, strict=True)
        ]
        if not any(repeats):
            return example
        self.tally.left_out["held-out messages that repeat training ones"] += sum(repeats)
        learn = tuple(was and not repeat for was, repeat in zip(document.learn, repeats, strict=True))
        document = replace(document, learn=learn)
        return _Example(document=document, rendered=render_document(self.renderer, document))

    def documents(self, split: str) -> list[Document]:
        return [example.document for example in self.examples[split]]

    def rendered(self, split: str) -> list[Rendered]:
        return [example.rendered for example in self.examples[split]]

    def counts(self, split: str) -> SplitCounts:
        documents, rendered = self.documents(split), self.rendered(split)
        turns = [
            (turn, learn) for document in documents for turn, learn in zip(document.turns, document.learn, strict=True)
        ]
        reactions = [learn for turn, learn in turns if emoji_of(turn.text) is not None]
        return SplitCounts(
            sessions=self.tally.sessions[split],
            documents=len(documents),
            tokens=sum(len(piece.ids_T) for piece in rendered),
            loss_tokens=sum(piece.loss_tokens for piece in rendered),
            messages=len(turns) - len(reactions),
            learned=sum(learn for _, learn in turns) - sum(reactions),
            reactions=len(reactions),
            learned_reactions=sum(reactions),
        )


def prepare(
    archive: Archive,
    chosen: Sequence[Person],
    *,
    renderer: Renderer,
    settings: PrepareSettings,
    target: Target,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Writes the example set of `chosen` speakers to `target.folder`. `progress` is told (conversations done, all).

    Raises UserError when the chosen speakers said too little to learn from and to hold something out.
    """
    work = _Preparation(chosen, renderer, settings)
    conversations = archive.conversations()
    for done, conversation in enumerate(conversations):
        if progress:
            progress(done, len(conversations))
        work.add(conversation, archive.messages(conversation.id))
    work.separate()
    names = tuple(dict.fromkeys(work.names.of(person) for person in chosen))
    if not work.examples["heldout"]:
        raise UserError(
            f"{' and '.join(names)} said too little: one short session cannot be learned from and tested on.",
            hint="Import more conversations, or choose a speaker from `talkalike people`.",
        )
    about = Manifest(
        name=target.folder.name,
        speakers=names,
        speaker_ids=tuple(person.id for person in chosen),
        base=target.base,
        form=renderer.form.name,
        tokenizer_hash=tokenizer_hash(renderer),
        settings={
            "gap_ms": {str(platform): gap for platform, gap in settings.gap_ms.items()},
            "max_tokens": settings.max_tokens,
            "context_tokens": settings.context_tokens,
            "heldout_share": settings.heldout_share,
            "reactions": settings.reactions,
            "cleaning": {
                key: sorted(v) if isinstance(v, frozenset) else v for key, v in asdict(settings.cleaning).items()
            },
        },
        sources=work.tally.sources,
        train=work.counts("train"),
        heldout=work.counts("heldout"),
        dropped=dict(+work.tally.dropped),
        redacted=dict(work.tally.redacted),
        left_out=dict(+work.tally.left_out),
        fictional=target.fictional,
    )
    documents = {split: work.documents(split) for split in SPLITS}
    rendered = {split: work.rendered(split) for split in SPLITS}
    manifest = write_examples(target.folder, documents, rendered, about)
    return Prepared(manifest=manifest, sent_ms=work.sent_ms)


def render_document(renderer: Renderer, document: Document, *, encoded: Sequence[list[int]] | None = None) -> Rendered:
    """The training rendering of a document. `encoded`: the tokens of its turns' texts, where they are known."""
    return renderer.conversation(
        document.turns,
        document.learn,
        ended=document.ended,
        next_speaker=document.next_speaker,
        encoded=encoded,
    )


def tokenizer_hash(renderer: Renderer) -> str:
    """SHA-256 of the tokenizer, so that examples are not fed to a model with another vocabulary."""
    return hashlib.sha256(renderer.tokenizer.to_str().encode()).hexdigest()
