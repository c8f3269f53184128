"""Bits per character: how well a model predicts what the author really wrote, whatever its tokenizer.

    -sum log2 p(text tokens and the marker that closes the message) / (characters + 1)

The closing marker counts as one character, because knowing when to stop is part of the style. Lower is better. Two
lifts say where the prediction comes from: the speaker lift is what the right name in the header gains over another
speaker's, the context lift what the true context gains over one of another session, cut to as many turns.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from talkalike.evaluation.intervals import Estimate, Floats, ratio_estimate, undefined, weights
from talkalike.examples.fitting import newest_that_fit
from talkalike.examples.heldout import ReferenceReply
from talkalike.examples.reactions import emoji_of
from talkalike.examples.render import Renderer, Turn
from talkalike.models.load import LoadedModel
from talkalike.models.packed import target_logprobs

BATCH = 16  # replies between two progress reports
MIN_REPLIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyBits:
    """One reply: bits and characters (each message's text + 1) of its messages, in order, reactions left out."""

    bits: tuple[float, ...]
    characters: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BitsSettings:
    """`learned`: the speakers that the double was trained on. `context_tokens`: of the newest turns before a reply."""

    learned: tuple[str, ...] = ()
    context_tokens: int = 256
    bootstrap: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBits:
    """One model on the author's real held-out replies, in bits per character."""

    bits_per_character: Estimate
    speaker_lift: Estimate
    context_lift: Estimate
    skipped: int  # replies that do not fit into the model's context


@dataclass(frozen=True, slots=True, kw_only=True)
class BitsReport:
    """The double beside its base. `gain`: bits per character saved by the double, over the same messages (paired)."""

    double: ModelBits
    base: ModelBits
    gain: Estimate
    messages: int
    characters: int
    learned: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variants:
    """The replies as they are and as they are compared, by index; None where a comparison is not possible."""

    true: Sequence[ReferenceReply | None]
    wrong_speaker: Sequence[ReferenceReply | None]
    own_context: Sequence[ReferenceReply | None]
    wrong_context: Sequence[ReferenceReply | None]


def compare_bits(
    double: LoadedModel,
    base: LoadedModel,
    replies: Sequence[ReferenceReply],
    heldout: Sequence[ReferenceReply],
    settings: BitsSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BitsReport:
    """Both models on the same replies. `progress(done, total)` counts what was scored, over both models.

    `heldout`: every held-out reply, also those that are not scored; other contexts are taken from them.
    """
    own_context, wrong_context = with_wrong_context(replies, heldout, settings.seed)
    variants = _Variants(
        true=replies,
        wrong_speaker=with_wrong_speaker(replies, settings.learned, settings.seed),
        own_context=own_context,
        wrong_context=wrong_context,
    )
    every = (variants.true, variants.wrong_speaker, variants.own_context, variants.wrong_context)
    distinct = list(dict.fromkeys(reply for variant in every for reply in variant if reply is not None))
    of_model: list[dict[ReferenceReply, ReplyBits | None]] = []

    def on_scored(done: int) -> None:
        progress(len(of_model) * len(distinct) + done, 2 * len(distinct))

    for model in (double, base):
        scored = reply_bits(model, distinct, context_tokens=settings.context_tokens, progress=on_scored)
        of_model.append(dict(zip(distinct, scored, strict=True)))
    of_double, of_base = of_model
    counted = [found for found in _look_up(of_double, replies) if found is not None]
    return BitsReport(
        double=_model_bits(of_double, variants, settings),
        base=_model_bits(of_base, variants, settings),
        gain=_difference(
            _look_up(of_base, replies), _look_up(of_double, replies), settings, "replies that both models could score"
        ),
        messages=sum(len(reply.bits) for reply in counted),
        characters=sum(sum(reply.characters) for reply in counted),
        learned=settings.learned,
    )


def reply_bits(
    loaded: LoadedModel,
    replies: Sequence[ReferenceReply | None],
    *,
    context_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ReplyBits | None]:
    """Bits of every message of every reply; None for a reply that is None or too long for the model's context."""
    renderer = Renderer(loaded.tokenizer)
    token_budget = loaded.context_length - (0 if loaded.soft_prompt_PD is None else len(loaded.soft_prompt_PD))
    results: list[ReplyBits | None] = [None] * len(replies)
    for start in range(0, len(replies), BATCH):
        documents = []
        for index in range(start, min(start + BATCH, len(replies))):
            reply = replies[index]
            document = (
                None
                if reply is None
                else _document(renderer, reply, context_tokens=context_tokens, token_budget=token_budget)
            )
            if reply is not None and document is not None:
                documents.append((index, reply, document))
        logprobs = target_logprobs(loaded, [d.ids_T for _, _, d in documents], [d.mask_T for _, _, d in documents])
        for (index, reply, document), values in zip(documents, logprobs, strict=True):
            bits_by_message = np.split(values.astype(np.float64) / -np.log(2), np.cumsum(document.counts)[:-1])
            results[index] = ReplyBits(
                bits=tuple(float(bits.sum()) for bits in bits_by_message),
                characters=tuple(len(text) + 1 for text in reply.words),
            )
        progress(min(start + BATCH, len(replies)))
    return results


def with_wrong_speaker(
    replies: Sequence[ReferenceReply], learned: Sequence[str], seed: int
) -> list[ReferenceReply | None]:
    """The same replies under the name of another learned speaker, or else of somebody in their context.

    A learned speaker comes first: the question is whether the model tells apart those whom it knows. None where there
    is neither.
    """
    rng = random.Random(seed)
    relabelled: list[ReferenceReply | None] = []
    for reply in replies:
        others = sorted(set(learned) - {reply.speaker}) or sorted(set(reply.others_in_context) - {reply.speaker})
        relabelled.append(replace(reply, speaker=rng.choice(others)) if others else None)
    return relabelled


def with_wrong_context(
    replies: Sequence[ReferenceReply], heldout: Sequence[ReferenceReply], seed: int
) -> tuple[list[ReferenceReply | None], list[ReferenceReply | None]]:
    """The same replies twice: after their own context, and after that of another session of their conversation.

    Never of the same session: a later context there contains the reply itself, an earlier one is partly the true one.
    And of as many turns, the newest ones: a longer context says more about what such a chat looks like, whoever talks.
    None where the speaker has no reply in another session of the conversation.
    """
    rng = random.Random(seed)
    by_place: dict[tuple[str, str], list[ReferenceReply]] = defaultdict(list)
    for reply in heldout:
        by_place[reply.conversation, reply.speaker].append(reply)
    own: list[ReferenceReply | None] = []
    wrong: list[ReferenceReply | None] = []
    for reply in replies:
        elsewhere = [
            other.context
            for other in by_place[reply.conversation, reply.speaker]
            if not _same_session(reply.context, other.context)
        ]
        if not elsewhere:
            own.append(None)
            wrong.append(None)
            continue
        most = min(len(reply.context), max(map(len, elsewhere)))
        borrowed = rng.choice([context for context in elsewhere if len(context) >= most])
        own.append(replace(reply, context=reply.context[-most:]))
        wrong.append(replace(reply, context=borrowed[-most:]))
    return own, wrong


def _same_session(one: Sequence[Turn], other: Sequence[Turn]) -> bool:
    """Whether one context continues the other: both begin where their session begins."""
    return all(mine == theirs for mine, theirs in zip(one, other, strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    ids_T: NDArray[np.int32]
    mask_T: NDArray[np.bool_]
    counts: tuple[int, ...]  # masked tokens of each message


def _document(renderer: Renderer, reply: ReferenceReply, *, context_tokens: int, token_budget: int) -> _Document | None:
    burst = [Turn(reply.speaker, text) for text in reply.messages]
    left = token_budget - len(renderer.begin_ids) - sum(renderer.count_tokens(burst))
    if left < 0:
        return None
    shown = [*newest_that_fit(reply.context, min(left, context_tokens), renderer.count_tokens), *burst]
    rendered = renderer.conversation(shown, [False] * len(shown), ended=False)
    mask_T = np.zeros(len(rendered.ids_T), dtype=np.bool_)
    spans = [
        span
        for turn, span in zip(burst, rendered.text_spans[-len(burst) :], strict=True)
        if emoji_of(turn.text) is None
    ]
    for start, stop in spans:
        mask_T[start : stop + 1] = True  # the text and the first token of its closing marker
    return _Document(ids_T=rendered.ids_T, mask_T=mask_T, counts=tuple(stop + 1 - start for start, stop in spans))


def _look_up(
    scored: Mapping[ReferenceReply, ReplyBits | None], replies: Sequence[ReferenceReply | None]
) -> list[ReplyBits | None]:
    return [None if reply is None else scored[reply] for reply in replies]


def _model_bits(
    scored: Mapping[ReferenceReply, ReplyBits | None], variants: _Variants, settings: BitsSettings
) -> ModelBits:
    true = _look_up(scored, variants.true)
    counted = [reply for reply in true if reply is not None]
    bits_R, characters_R = _totals(counted)
    plain = _too_few(len(counted), "replies that fit into the model's context") or ratio_estimate(
        bits_R, characters_R, weights(len(counted), draws=settings.bootstrap, seed=settings.seed)
    )
    return ModelBits(
        bits_per_character=plain,
        speaker_lift=_difference(
            _look_up(scored, variants.wrong_speaker), true, settings, "replies with another speaker's name to borrow"
        ),
        context_lift=_difference(
            _look_up(scored, variants.wrong_context),
            _look_up(scored, variants.own_context),
            settings,
            "replies with another session's context to borrow",
        ),
        skipped=len(true) - len(counted),
    )


def _difference(
    worse: Sequence[ReplyBits | None], better: Sequence[ReplyBits | None], settings: BitsSettings, what: str
) -> Estimate:
    """Bits per character by which `better` beats `worse`, over the replies that both could score."""
    pairs = [(w, b) for w, b in zip(worse, better, strict=True) if w is not None and b is not None]
    few = _too_few(len(pairs), what)
    if few is not None:
        return few
    worse_R, characters_R = _totals([w for w, _ in pairs])
    better_R, _ = _totals([b for _, b in pairs])
    drawn = weights(len(pairs), draws=settings.bootstrap, seed=settings.seed)
    return ratio_estimate(worse_R - better_R, characters_R, drawn)


def _totals(replies: Sequence[ReplyBits]) -> tuple[Floats, Floats]:
    bits = np.array([sum(reply.bits) for reply in replies], dtype=np.float64)
    return bits, np.array([sum(reply.characters) for reply in replies], dtype=np.float64)


def _too_few(count: int, what: str) -> Estimate | None:
    if count >= MIN_REPLIES:
        return None
    return undefined(f"There are only {count} {what}; at least {MIN_REPLIES} are needed.", n=count)
