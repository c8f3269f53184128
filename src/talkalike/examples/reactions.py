"""Reactions as turns of their own kind: what tells one from a message, and how an archive's reactions become turns.

The text of such a turn is a control character that no keyboard types (U+0010, "data link escape": what follows is no
ordinary text) and the emoji. The sign is one token of a byte-level vocabulary, and it is taken out of everything that
people write before a model sees it: so nobody can write a message that passes for a reaction.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from talkalike.chats.values import Conversation, Message, Speaker
from talkalike.examples.render import Renderer, Turn

SIGN = "\x10"
LONGEST = 16  # code points of an emoji: a family with skin tones has 11, a flag of a region 7
_LETTER_EMOJI = "ℹ"  # the only emoji that Unicode counts as a letter
_NEVER_IN_EMOJI = frozenset({"Cc", "Cs", "Lu", "Ll", "Lt", "Lm", "Lo", "Zs", "Zl", "Zp"})


def reaction_turn(speaker: str, emoji: str) -> Turn:
    """The turn of `speaker` that puts `emoji` on the message before it. Raises ValueError for what is no emoji."""
    if not is_emoji(emoji):
        raise ValueError(f"{emoji!r} is no emoji")
    return Turn(speaker, SIGN + emoji)


def emoji_of(text: str) -> str | None:
    """The emoji where the text of a turn is a reaction. What begins as one could still grow into a longer emoji."""
    return text[1:] if text.startswith(SIGN) and is_emoji(text[1:]) else None


def plain(text: str) -> str:
    """A text as words only: without the sign, wherever it stands."""
    return text.replace(SIGN, "") if SIGN in text else text


def readable(text: str) -> str:
    """The text of a turn as people are shown it."""
    emoji = emoji_of(text)
    return plain(text) if emoji is None else f"reacted {emoji}"


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """The messages among the texts of a burst."""
    return tuple(plain(text) for text in texts if emoji_of(text) is None)


def is_emoji(text: str) -> bool:
    """Whether a text may stand as a reaction: short, no ASCII, no letters and no white space.

    Not a list of emoji, which grows every year. Beginnings of emoji pass too; keycaps, which begin with a digit, do
    not.
    """
    return 0 < len(text) <= LONGEST and all(
        char in _LETTER_EMOJI or (char > "\x7f" and unicodedata.category(char) not in _NEVER_IN_EMOJI) for char in text
    )


def has_sign(renderer: Renderer) -> bool:
    """Whether this vocabulary can carry the sign; T5's, for example, cannot."""
    return renderer.decode_text(renderer.encode_text(SIGN)) == SIGN


def with_reactions(
    messages: Sequence[Message], people: Mapping[str, Speaker | None], conversation: Conversation
) -> tuple[list[Message], Counter[str]]:
    """Each message followed by the reactions to it as messages of their own, in the order they are stored.

    `people` is from `people_by_name`. The second part counts, by reason, the reactions that cannot become turns.
    """
    turns: list[Message] = []
    left_out: Counter[str] = Counter()
    for message in messages:
        turns.append(message)
        for number, reaction in enumerate(message.reactions):
            unknown = Speaker(id=f"{conversation.platform}:{reaction.actor}", name=reaction.actor)
            actor = people.get(reaction.actor, unknown)
            if actor is None:
                left_out["reactions by one of two people of the same name"] += 1
            elif not is_emoji(reaction.emoji):
                left_out["reactions without an emoji"] += 1
            else:
                text = reaction_turn(actor.name, reaction.emoji).text
                id_ = f"{message.id} reaction {number}"
                turns.append(Message(id=id_, author=actor, sent_ms=message.sent_ms, text=text))
    return turns, left_out


def people_by_name(people: Iterable[Speaker]) -> dict[str, Speaker | None]:
    """Who bears each display name (all that a stored reaction tells); None where several people do."""
    named: dict[str, Speaker | None] = {}
    for person in people:
        named[person.name] = person if named.get(person.name, person) == person else None
    return named
