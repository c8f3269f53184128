"""The options people set where they talk: what there is, how it is read, and which value holds in a place.

An option is set for the bot, a server, a channel or a thread; the nearest value holds. Daily limits and retention work
the other way round: a nearer value can only be stricter, so that no server gives itself more than the bot's owner does.
What a used-up daily limit answers (`refusal`) stands here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from talkalike.engine.protocol import Sampling
from talkalike.errors import UserError, did_you_mean
from talkalike.options import REPLY, SAMPLING, SCOPES, Option, by_key

WIDE, NEAR = SCOPES[:2], SCOPES[2:]
DEFAULT = "default"
RENEWS = "It renews at midnight UTC."
_A_DAY = "a day (until midnight UTC); 0 = no limit."
_STRICT: Mapping[str, Any] = {"strictest": True, "scopes": WIDE}

OPTIONS = REPLY | by_key(
    Option("persona", "", "A system prompt that stands before the conversation; empty = none.", high=2000),
    Option(
        "side_talk", "!", "Messages that begin with this sign are invisible to the double; empty = none are.", high=5
    ),
    Option(
        "wait_seconds",
        2.5,
        "How long to wait for the end of somebody's burst of messages before answering.",
        high=60,
        unit="seconds",
    ),
    Option(
        "replies_per_minute",
        12,
        "The highest number of replies in a channel per minute.",
        low=1,
        high=600,
        unit="replies",
    ),
    Option("stream", True, "Show a message that takes longer than three seconds while it is written."),
    Option("reactions", True, "The double may react with an emoji."),
    Option("proxied", True, "Answer what PluralKit or Tupperbox post for a person; off = webhooks are ignored."),
    Option("judging", True, "Show buttons under a reply for saying how good it is."),
    Option(
        "compare_models",
        "",
        "Two models, as first|second, whose answers people compare blindly; empty = none.",
        high=200,
        scopes=NEAR,
    ),
    Option(
        "compare_every",
        5,
        "After how many replies two answers are offered for comparison.",
        low=1,
        high=1000,
        unit="replies",
        scopes=NEAR,
    ),
    Option("model", "", "The model that answers; empty = the bot's default.", high=200, scopes=SCOPES[1:]),
    Option("daily_replies_user", 0, f"The most replies to one person {_A_DAY}", high=10**9, **_STRICT),
    Option("daily_tokens_user", 0, f"The most tokens written for one person {_A_DAY}", high=10**9, **_STRICT),
    Option("daily_replies_server", 0, f"The most replies on one server {_A_DAY}", high=10**9, **_STRICT),
    Option("daily_tokens_server", 0, f"The most tokens written on one server {_A_DAY}", high=10**9, **_STRICT),
    Option(
        "retention_days", 30, "How many days the records of replies are kept.", low=1, high=3650, unit="days", **_STRICT
    ),
)


def option(key: str) -> Option:
    """The option of this name. Raises UserError with the nearest name where there is none."""
    if key in OPTIONS:
        return OPTIONS[key]
    hint = did_you_mean(key, OPTIONS, otherwise=f"There are: {', '.join(OPTIONS)}.")
    raise UserError(f"There is no option '{key}'.", hint=hint)


def parse(key: str, text: str) -> Any:
    """The value a person typed. Raises UserError in words where it is of the wrong kind or out of range."""
    value = option(key).parse(text)
    check(key, value)
    return value


def check(key: str, value: Any) -> None:
    """Raises UserError where this value, as stored, is none the option can have."""
    option(key).check(value)
    if key == "compare_models" and value and len({*two_models(value)}) != 2:
        raise UserError(f"Two different models are compared, but '{value[:40]}' was given.", hint="Write first|second.")
    if key == "side_talk" and any(sign.isalnum() or sign.isspace() for sign in value):
        raise UserError(
            f"The sign of side talk must not contain letters, digits or spaces, but was '{value}'.",
            hint="Choose a sign such as ! or //.",
        )


def two_models(value: str) -> tuple[str, ...]:
    """The names in the option `compare_models`; two of them, unless the value is empty or wrong."""
    names = tuple(name.strip() for name in value.split("|"))
    return names if len(names) == 2 and all(names) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be used in a day; 0 means no limit."""

    replies_user: int = 0
    tokens_user: int = 0
    replies_server: int = 0
    tokens_server: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """How many replies and tokens were used today."""

    replies_user: int = 0
    tokens_user: int = 0
    replies_server: int = 0
    tokens_server: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The values that hold in a place. `problems`: stored values that were passed over, and why, in words."""

    _values: Mapping[str, Any] = field(default_factory=dict)
    _sources: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def value(self, key: str) -> Any:
        """The value that holds. Raises UserError for an unknown option."""
        return self._values.get(key, option(key).default)

    def words(self, key: str) -> str:
        """The value that holds, as a person would type it."""
        return option(key).words(self.value(key))

    def source(self, key: str) -> str:
        """The scope it was set for, or "default"."""
        return self._sources.get(option(key).key, DEFAULT)

    def sampling(self) -> Sampling:
        """The options that say how a reply is sampled."""
        return Sampling(**{key: self.value(key) for key in SAMPLING})

    def budget(self) -> Budget:
        """The daily limits that hold here."""
        return Budget(
            replies_user=self.value("daily_replies_user"),
            tokens_user=self.value("daily_tokens_user"),
            replies_server=self.value("daily_replies_server"),
            tokens_server=self.value("daily_tokens_server"),
        )


def resolve(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Resolved:
    """The values of these layers, each a scope and what was set for it, the widest first.

    A stored value that cannot be (an option of another version, a scope it does not have) is passed over and named in
    `problems`; the rest holds.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    for scope, layer in layers:
        for key, value in layer.items():
            try:
                check(key, value)
            except UserError as error:
                problems.append(f"{scope}: {error}")
                continue
            if scope not in OPTIONS[key].scopes:
                problems.append(f"{scope}: the option '{key}' cannot be set for a {scope}.")
                continue
            if OPTIONS[key].strictest and key in values and _looser(value, values[key]):
                continue
            values[key], sources[key] = value, scope
    return Resolved(_values=values, _sources=sources, problems=tuple(problems))


def _looser(limit: int, than: int) -> bool:
    """Whether a limit allows more than another; 0 is no limit."""
    return than != 0 and (limit == 0 or limit > than)


def refusal(budget: Budget, used: Used) -> str:
    """Why there is no further reply today, in words for the person who asked; empty while the limits allow one."""
    limits = (
        (budget.replies_user, used.replies_user, "You have had today's {limit} for one person."),
        (budget.tokens_user, used.tokens_user, "Your replies have reached today's length for one person ({limit})."),
        (budget.replies_server, used.replies_server, "This server has had its {limit} for today."),
        (budget.tokens_server, used.tokens_server, "This server's replies have reached today's length ({limit})."),
    )
    for (limit, spent, words), unit in zip(limits, ("reply", "token", "reply", "token"), strict=True):
        if 0 < limit <= spent:
            return f"{words.format(limit=_count(limit, unit))} {RENEWS}"
    return ""


def _count(number: int, unit: str) -> str:
    many = "replies" if unit == "reply" else f"{unit}s"
    return f"{number:,} {unit if number == 1 else many}"
