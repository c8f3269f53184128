# ruff: noqa: E501  # a table reads best one sentence a line
"""The sentences Messenger writes itself, by language. The table is meant to grow: a line is a kind and a pattern.

The exports name no message type any more, so these patterns are what tells "Anna left the group." from Anna's words.
"""

from __future__ import annotations

import re
from functools import lru_cache

from talkalike.chats.values import MessageKind

_PLACEHOLDER = "placeholder"

# {who} is a name the sentence begins with; the placeholder kind marks sentences that stand for an attachment.
_SENTENCES: tuple[tuple[str, str], ...] = (
    # English
    (_PLACEHOLDER, r"{who} sent (?:an attachment|a photo|a video|a GIF|a sticker|a voice message|a link|a location)\."),
    (_PLACEHOLDER, r"{who} shared (?:a link|a location|a story|a reel|a post)\."),
    (MessageKind.CALL, r"{who} (?:called you|missed your (?:video )?(?:call|chat)|started an? (?:audio |video )?(?:call|chat))\."),
    (MessageKind.CALL, r"{who} (?:joined|left) the (?:audio |video )?(?:call|chat)\."),
    (MessageKind.CALL, r"You missed (?:a|an) (?:audio |video )?(?:call|chat) (?:from|with) .+\."),
    (MessageKind.CALL, r"The (?:audio |video )?(?:call|chat) ended\."),
    (MessageKind.POLL, r"{who} (?:created a poll: .+|voted for .+|changed (?:his|her|their|your) vote to .+)"),
    (MessageKind.SYSTEM, r"(?:{who} r|R)eacted \S+ to (?:your|his|her|their|.+'s) message\.?"),
    (MessageKind.SYSTEM, r"You are now connected on Messenger\.?"),
    (MessageKind.SYSTEM, r"Say hi to your new Facebook friend, .+"),
    (MessageKind.SYSTEM, r"{who} (?:named the group|removed the group name|changed the (?:group photo|chat theme|theme))\b.*"),
    (MessageKind.SYSTEM, r"{who} set (?:the nickname for|your nickname to|(?:his|her|their|own) own nickname|the (?:quick reaction|emoji) to)\b.*"),
    (MessageKind.SYSTEM, r"{who} (?:cleared|removed) (?:the nickname|your nickname|(?:his|her|their) own nickname)\b.*"),
    (MessageKind.SYSTEM, r"{who} (?:added|removed) .+ (?:to|from) the group\."),
    (MessageKind.SYSTEM, r"{who} (?:left|joined|created) the group\.?"),
    (MessageKind.SYSTEM, r"{who} (?:unsent|pinned|unpinned) a message\.?"),
    (MessageKind.SYSTEM, r"{who} turned (?:on|off) .+"),
    # Czech
    (_PLACEHOLDER, r"{who} (?:poslala?|poslal\(a\)|odeslala?|odeslal\(a\)) (?:přílohu|fotku|fotografii|video|nálepku|odkaz)\."),
    (MessageKind.CALL, r"{who} (?:vám (?:volala?|volal\(a\))|zmeškala? váš hovor|zmeškal\(a\) váš hovor)\."),
    (MessageKind.CALL, r"(?:Hovor|Videohovor|Videochat) skončil\."),
    (MessageKind.CALL, r"Zmeškali jste (?:hovor|videohovor|videochat) .+"),
    (MessageKind.SYSTEM, r"(?:{who} z|Z|{who} r|R)(?:areagoval|eagoval)(?:a|\(a\))? .*na (?:vaši|tvou|vlastní|jeho|její) zprávu\.?"),
    (MessageKind.SYSTEM, r"(?:Teď|Nyní) jste (?:na Messengeru propojeni|propojeni na Messengeru|propojeni v Messengeru)\.?"),
    (MessageKind.SYSTEM, r"{who} (?:pojmenoval|nastavil|změnil|přidal|odebral|opustil|vytvořil)(?:a|\(a\))? (?:skupin|přezdívk|motiv|emoji|uživatel|fotk|název).*"),
    # German
    (_PLACEHOLDER, r"{who} hat (?:einen Anhang|ein Foto|ein Video|einen Sticker|einen Link) gesendet\."),
    (MessageKind.CALL, r"{who} hat (?:dich angerufen|deinen Anruf verpasst|einen (?:Videoc|C)hat gestartet)\."),
    (MessageKind.CALL, r"Du hast einen (?:Videoa|A)nruf von .+ verpasst\."),
    (MessageKind.CALL, r"Der (?:Anruf|Videoanruf|Videochat) wurde beendet\."),
    (MessageKind.SYSTEM, r"(?:{who} h|H)at mit \S+ auf (?:deine|seine|ihre|die) Nachricht reagiert\.?"),
    (MessageKind.SYSTEM, r"(?:Ihr seid|Du bist) jetzt (?:mit .+ )?(?:auf|über) (?:dem )?Messenger verbunden\.?"),
    (MessageKind.SYSTEM, r"{who} hat (?:die Gruppe|den Gruppennamen|den Spitznamen|das Thema|das Emoji|deinen Spitznamen|das Gruppenbild)\b.*"),
    (MessageKind.SYSTEM, r"{who} hat .+ (?:zur Gruppe hinzugefügt|aus der Gruppe entfernt)\."),
    (MessageKind.SYSTEM, r"{who} hat die Gruppe (?:verlassen|erstellt)\."),
)  # fmt: skip
# What such a sentence may begin with besides the sender's name; a quick first test for the many that are not one.
_OPENINGS = (
    *("You ", "The ", "Reacted ", "Say hi "),
    *("Uživatel", "Hovor", "Video", "Zmeškali", "Reagoval", "Zareagoval", "Teď ", "Nyní "),
    *("Du ", "Der ", "Hat mit ", "Ihr seid "),
)
_SUBJECT = r"(?:You|Du|Uživatel(?:ka)? {names}|{names})"


@lru_cache(maxsize=4096)
def _sentences_of(sender: str) -> tuple[tuple[str, ...], re.Pattern[str], tuple[str, ...]]:
    """How a platform's sentence about this sender may begin, one pattern for all of them, and the kind of each."""
    first = sender.split(" ", 1)[0]
    names = "|".join(re.escape(name) for name in (sender, first) if name) or r"\S+"
    subject = _SUBJECT.replace("{names}", f"(?:{names})")
    alternatives = "|".join(f"({pattern.replace('{who}', subject)})" for _, pattern in _SENTENCES)
    openings = (*((f"{first} ",) if first else ()), *((f"{sender} ",) if sender else ()), *_OPENINGS)
    return openings, re.compile(alternatives), tuple(kind for kind, _ in _SENTENCES)


def platform_sentence(text: str, sender: str) -> MessageKind | None:
    """The kind of message if Messenger wrote this text itself (in a language we know), else None.

    MEDIA stands for "X sent an attachment.": the text is no information beside the attachment.
    """
    openings, pattern, kinds = _sentences_of(sender)
    if not text.startswith(openings):
        return None
    found = pattern.fullmatch(text)
    if found is None or found.lastindex is None:
        return None
    kind = kinds[found.lastindex - 1]
    return MessageKind.MEDIA if kind == _PLACEHOLDER else MessageKind(kind)
