"""Replies that can be judged, wherever they were given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db.models import Count
from django.utils import timezone

from talkalike.store import replies, storable
from talkalike.store.judging import locks
from talkalike.store.judging.judgement_values import Comparison, JudgedReply, Reason, RefusedError, ShownReply
from talkalike.store.replies import ReplyRow
from talkalike.store.tables import judging_tables as tables
from talkalike.store.tables import tables as reply_tables

if TYPE_CHECKING:
    from talkalike.store.judging import models

MOST_ITEMS = 20_000  # replies looked through for pairs of a new batch


def put_item(reply: JudgedReply, *, author: int | None = None, may_train: bool = True, key: str = "") -> int:
    """Stores a reply and returns its id; the same reply again has the same id.

    `author` is the judge whose words the context holds, so that it goes when they ask to be forgotten. `may_train` is
    whether they allow that the context is exported. `key` is the id it has elsewhere. Raises RefusedError for a reply
    without text.
    """
    clean = _clean(reply)
    if not any(message.strip() for message in clean.messages):
        raise RefusedError(Reason.INVALID, "A reply without text cannot be judged.")
    return _known_or_new(
        key or key_of(clean),
        {
            "author_id": author,
            "may_train": may_train,
            "origin": clean.origin[:16],
            "model": clean.model,
            "speaker": clean.speaker,
            "context": [list(turn) for turn in clean.context],
            "messages": list(clean.messages),
            "sampling": dict(clean.sampling),
        },
    )


def of_reply(reply_id: int, *, speaker: str = "") -> int:
    """The item of a reply on Discord (`ReplyRow.id`). Its texts stay with the reply and are forgotten with it.

    `speaker` is the double's name in the conversation, used when the item is made.
    Raises RefusedError where the reply is gone, is still being written or has no text.
    """
    known = tables.Item.objects.filter(reply_id=reply_id).values_list("id", flat=True).first()
    if known is not None:
        return int(known)
    row = replies.by_id(reply_id)
    if row is None or not _has_text(row):
        raise locks.vanished_error()
    key = hashlib.sha256(f"discord\x00{row.id}\x00{row.began_at.isoformat()}".encode()).hexdigest()[:32]
    return _known_or_new(
        key,
        {
            "reply_id": row.id,
            "server_id": row.server_id or 0,
            "origin": locks.DISCORD,
            "model": row.model,
            "speaker": storable.text(speaker),
        },
    )


def item(item_id: int) -> JudgedReply | None:
    """The reply; None if there is no such item, or its text is gone."""
    row = tables.Item.objects.filter(id=item_id).first()
    return read(row) if row else None


def model_of(item_id: int) -> str | None:
    """Which model gave it; also known of a reply whose text is gone."""
    found = tables.Item.objects.filter(id=item_id).values_list("model", flat=True).first()
    return None if found is None else str(found)


def by_model() -> list[tuple[str, int]]:
    """Models that gave replies which can stand in a batch, with how many, most first."""
    counted = _for_batches().order_by().values_list("model").annotate(count=Count("id"))
    return sorted(((model, count) for model, count in counted), key=lambda found: (-found[1], found[0]))


def answers(wanted: Sequence[str]) -> list[dict[str, list[int]]]:
    """Replies of the wanted models to the same messages: for each context that has several, item ids by model.

    Of the newest 20,000 replies.
    """
    rows = _for_batches().filter(model__in=wanted).order_by("-id")
    columns = rows.values_list("id", "model", "speaker", "context").iterator(chunk_size=500)
    found: dict[bytes, dict[str, list[int]]] = {}
    for item_id, model, speaker, context in islice(columns, MOST_ITEMS):
        key = hashlib.sha256(json.dumps([speaker, context]).encode()).digest()
        found.setdefault(key, {}).setdefault(model, []).append(item_id)
    return [group for group in found.values() if sum(map(len, group.values())) > 1]


def read(row: models.Item) -> JudgedReply | None:
    """The reply of a row; None where its text is gone."""
    if row.gone_at is not None:
        return None
    if row.origin == locks.DISCORD:
        reply = replies.by_id(row.reply_id) if row.reply_id is not None else None
        return _of_discord(row, reply) if reply is not None and _has_text(reply) else None
    return JudgedReply(
        id=row.key,
        context=tuple((str(speaker), str(text)) for speaker, text in row.context),
        speaker=row.speaker,
        messages=tuple(row.messages),
        model=row.model,
        sampling=row.sampling,
        origin=row.origin,
    )


def side_by_side(a: models.Item, b: models.Item, *, a_left: bool, **about: Any) -> Comparison | None:
    """Two replies as somebody sees them; None where a text is gone. `about`: the rest of the value."""
    one, other = read(a), read(b)
    if one is None or other is None:
        return None
    shown_a = ShownReply(item_id=a.pk, messages=one.messages)
    shown_b = ShownReply(item_id=b.pk, messages=other.messages)
    left, right = (shown_a, shown_b) if a_left else (shown_b, shown_a)
    return Comparison(context=one.context, speaker=one.speaker, left=left, right=right, a_left=a_left, **about)


def key_of(reply: JudgedReply) -> str:
    """The id that the reply has in every database: a hash of its content."""
    parts = [reply.context, reply.speaker, reply.messages, reply.model, reply.sampling]
    content = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def read_for_training(row: models.Item) -> JudgedReply | None:
    """The reply as it may be learned from; None where it is gone, or those it answers do not want that.

    What is said on Discord needs the asker's consent; turns of others who gave none are left out.
    """
    if row.origin != locks.DISCORD:
        return read(row) if row.may_train else None
    reply = replies.by_id(row.reply_id) if row.reply_id is not None else None
    if reply is None or not _has_text(reply):
        return None
    kept = reply.seen.get("kept", ())
    authors = {turn["author_id"] for turn in kept} | {reply.asker_id}
    people = reply_tables.Person.objects.filter(user_id__in=authors, training=True)
    agreed = {*people.values_list("user_id", flat=True), 0}  # 0: the persona, which nobody said
    numbers = [int(turn["id"]) for turn in kept if turn["id"].isdigit()]
    own = reply_tables.SentMessage.objects.filter(message_id__in=numbers).values_list("message_id", flat=True)
    by_double = {str(message_id) for message_id in own}
    if reply.asker_id not in agreed - {0}:
        return None
    fit = [turn for turn in kept if turn["author_id"] in agreed or turn["id"] in by_double]
    return _of_discord(row, replace(reply, seen={**reply.seen, "kept": fit}))


def pair_key(*parts: str) -> str:
    """The name that a pair has in every database."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


def _for_batches() -> Any:
    return tables.Item.objects.filter(gone_at=None).exclude(origin=locks.DISCORD)


def _clean(reply: JudgedReply) -> JudgedReply:
    return JudgedReply(
        id=reply.id,
        context=tuple((storable.text(speaker), storable.text(text)) for speaker, text in reply.context),
        speaker=storable.text(reply.speaker),
        messages=tuple(storable.text(message) for message in reply.messages),
        model=storable.text(reply.model),
        sampling=storable.json(reply.sampling),
        origin=reply.origin,
    )


def _has_text(reply: ReplyRow) -> bool:
    return any(sent.text.strip() for sent in reply.messages) and reply.ended_at is not None


def _of_discord(row: models.Item, reply: ReplyRow) -> JudgedReply:
    turns = [turn for turn in reply.seen.get("kept", ()) if not turn["forgotten"]]
    return JudgedReply(
        id=row.key,
        context=tuple((turn["speaker"], turn["text"]) for turn in turns),
        speaker=row.speaker,
        messages=tuple(sent.text for sent in reply.messages if sent.text),
        model=row.model,
        sampling=reply.sampling,
        origin=row.origin,
    )


def _known_or_new(key: str, columns: dict[str, object]) -> int:
    defaults = {**columns, "made_at": timezone.now()}
    row, _ = tables.Item.objects.only("id").get_or_create(key=key, defaults=defaults)
    return int(row.pk)
