"""Judgements as lines of JSON, as they are exported and as a trainer reads them. Knows no database."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from talkalike.store.judging.judgement_values import (
    RATINGS,
    RECORDS,
    AnyRecord,
    Choice,
    ComparisonRecord,
    JudgedReply,
    Kind,
    Scale,
    Type,
    own_fields,
)

LONGEST_LINE = 64_000_000  # characters; a line break that was lost must not fill the memory
_OMITTED = ("repeat", "probability", "gap")  # fields of a comparison that most do not have
_A_FIRST, _B_FIRST = ("a", "b"), ("b", "a")


class LineError(ValueError):
    """A line that is no judgement; says what is wrong with it."""


def to_line(record: AnyRecord) -> str:
    """The record as one line, without the line break."""
    fields: dict[str, Any] = {
        "type": record.type.value,
        "id": record.id,
        "at": record.at.astimezone(UTC).isoformat(),
        "judge": record.judge,
        "kind": record.kind.value,
        "seconds": record.seconds,
    }
    for name in own_fields(type(record)):
        value = getattr(record, name)
        if name not in _OMITTED or (value is not None and value is not False):
            fields[name] = _reply(value) if isinstance(value, JudgedReply) else value
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_line(line: str) -> AnyRecord:
    """The record of a line. Raises LineError."""
    if len(line) > LONGEST_LINE:
        raise LineError("it is longer than any judgement")
    try:
        given = json.loads(line.removeprefix("\ufeff"))  # some editors start the file with a byte order mark
    except (ValueError, RecursionError):
        raise LineError("it is not JSON") from None
    if not isinstance(given, Mapping):
        raise LineError("it is no JSON object")
    common: dict[str, Any] = {
        "id": _text(given, "id", empty=True),
        "at": _time(given),
        "judge": _text(given, "judge"),
        "kind": _one_of(Kind, given, "kind"),
        "seconds": _number(given, "seconds", 0, sys.float_info.max, what="time"),
    }
    type_ = _one_of(Type, given, "type")
    if type_ is Type.COMPARISON:
        return _comparison(given, common)
    form = RECORDS[type_]
    return form(**common, **{name: _READERS[name](given, name) for name in own_fields(form)})


def _reply(reply: JudgedReply) -> dict[str, Any]:
    return {
        "id": reply.id,
        "context": [{"speaker": speaker, "text": text} for speaker, text in reply.context],
        "speaker": reply.speaker,
        "messages": list(reply.messages),
        "model": reply.model,
        "sampling": dict(reply.sampling),
    }


def _read_reply(given: Mapping[str, Any], key: str) -> JudgedReply:
    reply = given.get(key)
    if not isinstance(reply, Mapping):
        raise LineError(f"'{key}' is no reply")
    if "messages" not in reply:
        raise LineError(f"'{key}' names a reply without its text, and an unknown reply cannot be judged")
    messages, context, sampling = reply["messages"], reply.get("context"), reply.get("sampling") or {}
    if not _all(messages, str) or not any(message.strip() for message in messages):
        raise LineError(f"'{key}' has no messages")
    if not _all(context, Mapping) or not isinstance(sampling, Mapping):
        raise LineError(f"the context or the sampling of '{key}' cannot be read")
    return JudgedReply(
        id=_text(reply, "id", empty=True),
        context=tuple((_text(turn, "speaker", empty=True), _text(turn, "text", empty=True)) for turn in context or ()),
        speaker=_text(reply, "speaker", empty=True),
        messages=tuple(messages),
        model=_text(reply, "model", empty=True),
        sampling=dict(sampling),
    )


def _comparison(given: Mapping[str, Any], common: dict[str, Any]) -> ComparisonRecord:
    a, b = _read_reply(given, "a"), _read_reply(given, "b")
    if (a.context, a.speaker) != (b.context, b.speaker):
        raise LineError("its two replies do not answer the same messages")
    shown = given.get("shown")
    if shown not in (list(_A_FIRST), list(_B_FIRST)):
        raise LineError("'shown' is neither [a, b] nor [b, a]")
    choice, probability = _one_of(Choice, given, "choice"), _number(given, "probability", 0, 1)
    if probability is not None and (0.5 - probability) * {Choice.A: 1, Choice.B: -1}.get(choice, 0) > 0:
        raise LineError("'probability' speaks for the other reply than 'choice'")
    return ComparisonRecord(
        **common,
        a=a,
        b=b,
        choice=choice,
        shown=("a", "b") if shown == list(_A_FIRST) else ("b", "a"),
        pair=_text(given, "pair", empty=True),
        repeat=given.get("repeat") is True,
        probability=probability,
        gap=_number(given, "gap", -1, 1),
    )


def _text(given: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
    value = given.get(key, "" if empty else None)
    if not isinstance(value, str) or not (empty or value.strip()):
        raise LineError(f"'{key}' is no text")
    return value


def _one_of(names: Any, given: Mapping[str, Any], key: str) -> Any:
    try:
        return names(given.get(key))
    except ValueError:
        raise LineError(f"'{key}' is none of {', '.join(names)}") from None


def _rating(given: Mapping[str, Any], key: str) -> int:
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value not in RATINGS:
        raise LineError(f"'{key}' is no whole number from 1 to 5")
    return value


def _number(given: Mapping[str, Any], key: str, low: float, high: float, *, what: str = "") -> float | None:
    value = given.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise LineError(f"'{key}' is no {what or f'number from {low} to {high}'}")
    return float(value)


def _time(given: Mapping[str, Any]) -> datetime:
    try:
        at = datetime.fromisoformat(_text(given, "at"))
    except ValueError:
        raise LineError("'at' is no time") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _all(values: object, kind: type) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(isinstance(v, kind) for v in values)


_READERS: dict[str, Callable[[Mapping[str, Any], str], Any]] = {
    "reply": _read_reply,
    "scale": partial(_one_of, Scale),
    "value": _rating,
    "text": _text,
    "reason": _text,
}
