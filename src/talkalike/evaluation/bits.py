"""Bits per character: how well a model predicts what the author really wrote, whatever its tokenizer.

    -sum log2 p(text tokens and the marker that closes the message) / (characters + 1)

The closing marker counts as one character, because knowing when to stop is part of the manner. Lower is better. Two
lifts say where the prediction comes from: the speaker lift is what the right name in the header gains over another
speaker's of the same chat, the context lift what the true context gains over that of another reply.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from talkalike.evaluation.intervals import Estimate, Floats, ratio_estimate, undefined, weights
from talkalike.examples.fitting import newest_that_fit
from talkalike.examples.heldout import Reply
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
    """`context_tokens`: how much context is given before a reply (the newest turns)."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelScores:
    """Scores of the replies as they are, under a wrong name, and after a foreign context (None where not possible)."""

    true: list[ReplyBits | None]
    wrong_speaker: list[ReplyBits | None]
    wrong_context: list[ReplyBits | None]


def compare_bits(
    double: LoadedModel,
    base: LoadedModel,
    replies: Sequence[Reply],
    settings: BitsSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BitsReport:
    """Both models on the same replies. `progress(done, total)` counts scored replies over all six passes."""
    total, passes = 6 * len(replies), 0

    def ahead(done: int) -> None:
        progress(passes * len(replies) + done, total)

    scores: list[_ModelScores] = []
    variants = (list(replies), with_wrong_speaker(replies, settings.seed), with_wrong_context(replies, settings.seed))
    for model in (double, base):
        scored = []
        for variant in variants:
            scored.append(reply_bits(model, variant, context_tokens=settings.context_tokens, progress=ahead))
            passes += 1
        scores.append(_ModelScores(true=scored[0], wrong_speaker=scored[1], wrong_context=scored[2]))
    of_double, of_base = scores
    counted = [reply for reply in of_double.true if reply is not None]
    return BitsReport(
        double=_model_bits(of_double, settings),
        base=_model_bits(of_base, settings),
        gain=_difference(of_base.true, of_double.true, settings, "replies that both models could score"),
        messages=sum(len(reply.bits) for reply in counted),
        characters=sum(sum(reply.characters) for reply in counted),
    )


def reply_bits(
    loaded: LoadedModel,
    replies: Sequence[Reply | None],
    *,
    context_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ReplyBits | None]:
    """Bits of every message of every reply; None for a reply that is None or too long for the model's context."""
    renderer = Renderer(loaded.tokenizer)
    room = loaded.context_length - (0 if loaded.soft_prompt_PD is None else len(loaded.soft_prompt_PD))
    results: list[ReplyBits | None] = [None] * len(replies)
    for start in range(0, len(replies), BATCH):
        documents = []
        for index in range(start, min(start + BATCH, len(replies))):
            reply = replies[index]
            document = None if reply is None else _document(renderer, reply, context_tokens=context_tokens, room=room)
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


def with_wrong_speaker(replies: Sequence[Reply], seed: int) -> list[Reply | None]:
    """The same replies under the name of another speaker of their context; None where nobody else is there."""
    rng = random.Random(seed)
    relabelled: list[Reply | None] = []
    for reply in replies:
        others = sorted(set(reply.others_in_context) - {reply.speaker})
        relabelled.append(replace(reply, speaker=rng.choice(others)) if others else None)
    return relabelled


def with_wrong_context(replies: Sequence[Reply], seed: int) -> list[Reply | None]:
    """The same replies after the context of another reply of their conversation (a random cycle: nobody keeps theirs).

    None where the conversation has no other reply, or where the other's context happens to be the same.
    """
    rng = random.Random(seed)
    by_conversation: dict[str, list[int]] = defaultdict(list)
    for index, reply in enumerate(replies):
        by_conversation[reply.conversation].append(index)
    moved: list[Reply | None] = [None] * len(replies)
    for indices in by_conversation.values():
        rng.shuffle(indices)
        for index, source in zip(indices, indices[1:] + indices[:1], strict=True):
            if replies[source].context != replies[index].context:
                moved[index] = replace(replies[index], context=replies[source].context)
    return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    ids_T: NDArray[np.int32]
    mask_T: NDArray[np.bool_]
    counts: tuple[int, ...]  # masked tokens of each message


def _document(renderer: Renderer, reply: Reply, *, context_tokens: int, room: int) -> _Document | None:
    burst = [Turn(reply.speaker, text) for text in reply.messages]
    left = room - len(renderer.begin_ids) - sum(renderer.count_tokens(burst))
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


def _model_bits(scores: _ModelScores, settings: BitsSettings) -> ModelBits:
    counted = [reply for reply in scores.true if reply is not None]
    bits_R, characters_R = _totals(counted)
    plain = _too_few(len(counted), "replies that fit into the model's context") or ratio_estimate(
        bits_R, characters_R, weights(len(counted), draws=settings.bootstrap, seed=settings.seed)
    )
    return ModelBits(
        bits_per_character=plain,
        speaker_lift=_difference(scores.wrong_speaker, scores.true, settings, "replies with another speaker nearby"),
        context_lift=_difference(scores.wrong_context, scores.true, settings, "replies with another context to borrow"),
        skipped=len(scores.true) - len(counted),
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
