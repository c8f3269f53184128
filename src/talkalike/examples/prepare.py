"""From an imported archive to an example set: clean, cut into sessions, split by time, keep what is worth it."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from talkalike.chats.cleaning import CleaningRules, clean
from talkalike.chats.sessions import DEFAULT_GAP_MS, split_sessions
from talkalike.chats.values import Chats, Conversation, Message, Platform, Session, Speaker
from talkalike.errors import UserError
from talkalike.examples.dataset import SPLITS, Document, Manifest, SplitCounts, write_examples
from talkalike.examples.fitting import shorten, split_turn
from talkalike.examples.holding_out import SessionDocument, hold_out
from talkalike.examples.reactions import emoji_of, has_sign, people_by_name, plain, with_reactions
from talkalike.examples.render import Rendered, Renderer, Turn, speaker_name
from talkalike.examples.windows import heldout_cut, heldout_start, worthwhile

_ENDLESS = 1 << 62  # a gap or a weight that is never reached
_SMALLEST = 32  # tokens of a document, whatever is asked for
_FEWEST = 2  # learned messages, of which one can be held out
_WORTH_CUTTING = 20  # learned messages of a conversation that is one long session


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """Settings of how conversations are turned into examples."""

    gap_ms: dict[Platform, int] = field(default_factory=lambda: dict(DEFAULT_GAP_MS))  # silence that ends a session
    max_tokens: int = 1024  # longest document
    context_tokens: int = 256  # context kept before each learned turn
    heldout_share: float = 0.1  # of the learned turns, the newest of each conversation
    reactions: bool = True  # are turns too
    photos: bool = False  # of others are told in words (`examples.photos`)
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


@dataclass(slots=True, kw_only=True)
class _Tally:
    sources: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    shortened: Counter[str] = field(default_factory=Counter)
    sessions: int = 0


class _Names:
    """One name in the headers for each person; two people never share one, except chosen ones of the same name."""

    def __init__(self, chosen: Sequence[Speaker]) -> None:
        self._by_id = {person.id: speaker_name(person.name) for person in chosen}
        self._taken = set(self._by_id.values())

    def of(self, person: Speaker) -> str:
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

    def __init__(self, chosen: Sequence[Speaker], renderer: Renderer, settings: PrepareSettings) -> None:
        self.renderer = renderer
        self.settings = settings
        self.names = _Names(chosen)
        self.chosen_ids = frozenset(person.id for person in chosen)
        self._reactions = settings.reactions and has_sign(renderer)
        self.tally = _Tally()
        self._tokens: dict[str, list[int]] = {}
        self.pieces: dict[str, list[SessionDocument]] = {split: [] for split in SPLITS}
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
        older, newer, following = self._split_sessions(speaking)
        for split, part in (("train", older), ("heldout", newer)):
            for session in part:
                self.tally.sessions += 1
                self.pieces[split] += self._pieces(session, following if older and session is older[-1] else None)

    def _split_sessions(self, sessions: list[Session]) -> tuple[list[Session], list[Session], Message | None]:
        """The older and the newer sessions of a conversation, and the first newer message if it was cut off.

        A session is cut where whole ones would hold out more than half of what is learned, or nothing of a long one.
        """
        flags = [[self._is_chosen(turn) and emoji_of(turn.text) is None for turn in s.messages] for s in sessions]
        learned = [sum(each) for each in flags]
        share, most = self.settings.heldout_share, sum(learned) // 2
        start = heldout_start(learned, share)
        if len(sessions) == 1 and learned[0] >= _WORTH_CUTTING:
            start = 0
        held = sum(learned[start + 1 :])
        if start < len(sessions) and held < most < held + learned[start]:
            wanted = max(1, min(most, math.ceil(share * sum(learned))) - held)
            messages = sessions[start].messages
            cut = heldout_cut(
                flags[start],
                [message.sent_ms for message in messages],
                wanted=wanted,
                most=min(most - held, 2 * wanted),
            )
            if cut is not None:
                before, after = replace(sessions[start], messages=messages[:cut]), messages[cut:]
                newer = [replace(sessions[start], messages=after), *sessions[start + 1 :]]
                return [*sessions[:start], before], newer, after[0]
        return sessions[:start], sessions[start:], None

    def _turns(
        self, conversation: Conversation, read: Sequence[Message], cleaned: Sequence[Message]
    ) -> Sequence[Message]:
        """What was written, without the sign of reactions, and the reactions where they are wanted."""
        written = [m if (words := plain(m.text)) is m.text else replace(m, text=words) for m in cleaned]
        written = [message for message in written if message.text.strip()]
        self.tally.dropped["empty text"] += len(cleaned) - len(written)
        stored = sum(len(message.reactions) for message in read)
        if not self._reactions:
            why = "the base model's vocabulary has no sign for reactions" if self.settings.reactions else "switched off"
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

    def _pieces(self, session: Session, after: Message | None) -> list[SessionDocument]:
        most = self._most_tokens(session)
        messages, short = self._fit_messages(session.messages, most // 2)
        learn = [self._is_chosen(message) for message in messages]
        kept = worthwhile(learn, [self._cost(message) for message in messages], self.settings.context_tokens)
        near = {index for start, stop in kept for index in range(start, stop)}
        for index, message in enumerate(messages):
            if index not in near:
                what = "messages" if emoji_of(message.text) is None else "reactions"
                self.tally.left_out[f"{what} too far from any reply"] += 1
            elif message.id in short:
                self.tally.shortened["messages by others, shortened in the middle"] += 1
        pieces: list[SessionDocument] = []
        for start, stop in kept:
            for piece in split_sessions(
                session.conversation,
                messages[start:stop],
                gap_ms=_ENDLESS,
                weight=self._cost,
                max_weight=most,
                answers=lambda before, after: self._is_chosen(after) and not self._is_chosen(before),
            ):
                end = start + len(piece.messages)
                following = messages[end] if end < len(messages) else after
                document = self._document(piece, following)
                if any(document.learn):
                    tokens = [self._tokens[message.id] for message in piece.messages]  # at hand only now
                    rendered = render_document(self.renderer, document, encoded=tokens)
                    pieces.append(SessionDocument(document=document, session=self.tally.sessions, rendered=rendered))
                start = end
        return pieces

    def _most_tokens(self, session: Session) -> int:
        """What the turns of one document may cost: its longest length, less what stands around them."""
        names = {self.names.of(message.author) for message in session.messages}
        after = max(len(self.renderer.ended_ids), *(len(self.renderer.header(name)) for name in names))
        return max(_SMALLEST, self.settings.max_tokens - len(self.renderer.begin_ids) - after)

    def _fit_messages(self, messages: Sequence[Message], longest: int) -> tuple[list[Message], set[str]]:
        """The messages with none that costs more than `longest`, and the ids of those that lost their middle.

        What is learned is cut into several messages instead. The texts' tokens are kept for what comes next.
        """
        encoded = self.renderer.encode_texts([message.text for message in messages])
        self._tokens = {message.id: ids for message, ids in zip(messages, encoded, strict=True)}
        fitted: list[Message] = []
        short: set[str] = set()
        for message in messages:
            if self._cost(message) <= longest:
                fitted.append(message)
                continue
            turn = Turn(self.names.of(message.author), message.text)
            if self._is_chosen(message):
                texts = split_turn(turn, longest, self.renderer.count_tokens)
                self.tally.shortened["long messages, split into several"] += 1
            else:
                texts = [shorten(turn, longest, self.renderer.count_tokens).text]
                short.add(f"{message.id}#0")
            parts = [replace(message, id=f"{message.id}#{number}", text=text) for number, text in enumerate(texts)]
            ids = self.renderer.encode_texts(texts)
            self._tokens |= {part.id: tokens for part, tokens in zip(parts, ids, strict=True)}
            fitted += parts
        return fitted, short

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
        """Sees to it that something is held out, where there is enough, and that training texts do not say it too."""
        parts = hold_out(self.pieces["train"], self.pieces["heldout"], self.settings.heldout_share)
        self.tally.left_out["held-out messages that repeat training ones"] += parts.repeats
        self.pieces = {"train": parts.train, "heldout": parts.heldout}

    def documents(self, split: str) -> list[Document]:
        return [piece.document for piece in self.pieces[split]]

    def rendered(self, split: str) -> list[Rendered]:
        return [piece.rendered or render_document(self.renderer, piece.document) for piece in self.pieces[split]]

    def counts(self, split: str, rendered: Sequence[Rendered]) -> SplitCounts:
        documents = self.documents(split)
        turns = [
            (turn, learn) for document in documents for turn, learn in zip(document.turns, document.learn, strict=True)
        ]
        reactions = [learn for turn, learn in turns if emoji_of(turn.text) is not None]
        return SplitCounts(
            sessions=len({piece.session for piece in self.pieces[split]}),
            documents=len(documents),
            tokens=sum(len(piece.ids_T) for piece in rendered),
            loss_tokens=sum(piece.loss_tokens for piece in rendered),
            messages=len(turns) - len(reactions),
            learned=sum(learn for _, learn in turns) - sum(reactions),
            reactions=len(reactions),
            learned_reactions=sum(reactions),
        )


def prepare(
    chats: Chats,
    chosen: Sequence[Speaker],
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
    conversations = chats.conversations()
    for done, conversation in enumerate(conversations):
        if progress:
            progress(done, len(conversations))
        work.add(conversation, chats.messages(conversation.id))
    work.separate()
    names = tuple(dict.fromkeys(work.names.of(person) for person in chosen))
    documents = {split: work.documents(split) for split in SPLITS}
    learned = sum(sum(document.learn) for part in documents.values() for document in part)
    if learned < _FEWEST:
        raise UserError(
            f"{' and '.join(names)} said too little: there {'is one message' if learned else 'is nothing'} to learn.",
            hint="Import more conversations, or choose a speaker from `talkalike people`.",
        )
    rendered = {split: work.rendered(split) for split in SPLITS}
    kept = asdict(settings)
    kept["cleaning"]["bots"] = sorted(settings.cleaning.bots)
    about = Manifest(
        name=target.folder.name,
        speakers=names,
        speaker_ids=tuple(person.id for person in chosen),
        base=target.base,
        form=renderer.form.name,
        tokenizer_hash=tokenizer_hash(renderer),
        settings=kept,
        sources=work.tally.sources,
        train=work.counts("train", rendered["train"]),
        heldout=work.counts("heldout", rendered["heldout"]),
        dropped=dict(+work.tally.dropped),
        redacted=dict(work.tally.redacted),
        left_out=dict(+work.tally.left_out),
        shortened=dict(work.tally.shortened),
        fictional=target.fictional,
    )
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
