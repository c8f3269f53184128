"""What the double says of itself whatever the model would say: that it is an AI."""

from __future__ import annotations

import re

PATTERNS = (
    # English: "you" and a word for what it might be.
    r"\b(?:are|r) (?:you|u|ya) (?:(?:really|actually|just|even|secretly|truly|honestly|seriously) )*(?:a |an |the )?"
    r"(?:(?:real|actual|human|living|chat) ?)*"
    r"(?:human|person|bot|robot|chatbot|ai|a\.i\.|machine|program|computer|real|man|woman|guy|girl|dude)\b",
    r"\b(?:you|u)(?:'?re| are| r)? (?:(?:really|actually|just) )*(?:a |an )?"
    r"(?:bot|robot|chatbot|ai|human|real person|machine)\b[^.!\n]*\?",
    r"\bis (?:this|it|that) (?:(?:really|actually|just) )*"
    r"(?:you|a bot|a robot|an ai|a human|a real person|a person)\b[^.!\n]*\?",
    r"\b(?:am i|i'?m|are we) (?:(?:really|actually|just) )*(?:talking|speaking|chatting|writing) (?:to|with) "
    r"(?:a |an |the )?(?:real )*(?:human|person|bot|robot|chatbot|ai|machine|program|computer|you)\b",
    r"\bhuman or (?:an? )?(?:bot|ai|robot|machine)\b|\b(?:bot|ai|robot|machine) or (?:a )?human\b",
    # German
    r"\bbist (?:du|das) (?:(?:wirklich|echt|eigentlich|überhaupt|nur) )*(?:ein |eine |'ne |ne )?"
    r"(?:echter |echte |echt )?(?:mensch|person|bot|roboter|ki|maschine|programm|computer|du|echt)\b",
    # Czech and Slovak
    r"\b(?:jsi|seš|si) (?:(?:opravdu|vážně|fakt|skutečně) )*(?:skutečný |živý |opravdový )?"
    r"(?:člověk|clovek|bot|robot|umělá inteligence|ai|stroj|program)\b",
    # French, Spanish, Italian, Portuguese
    r"\b(?:es[- ]tu|t'es|tu es|êtes[- ]vous|vous êtes) (?:(?:vraiment|réellement) )*(?:un |une )?"
    r"(?:vrai |vraie |être )?(?:humaine?|personne|robot|bot|ia|machine)\b",
    r"\b(?:eres|sos) (?:(?:realmente|de verdad|en serio) )*(?:un |una )?(?:ser )?"
    r"(?:humano|humana|persona|robot|bot|ia|máquina)\b",
    r"\bsei (?:(?:davvero|veramente) )*(?:un |una |un')?(?:essere )?"
    r"(?:umano|umana|persona|robot|bot|ia|macchina)\b",
    r"\b(?:você|voce|tu) (?:é|es|és) (?:(?:mesmo|realmente) )*(?:um |uma )?(?:ser )?"
    r"(?:humano|humana|pessoa|robô|robo|bot|ia|máquina)\b",
    # Polish, Dutch
    r"\b(?:jesteś|jestes) (?:(?:naprawdę|serio) )*(?:prawdziwym )?"
    r"(?:człowiekiem|botem|robotem|maszyną|sztuczną inteligencją)\b",
    r"\bben (?:je|jij|u) (?:(?:echt|eigenlijk) )*(?:een )?(?:echte? )?(?:mens|persoon|bot|robot|ai|machine)\b",
    # Russian, Ukrainian: no articles, and often no verb
    r"\bты (?:(?:правда|реально|действительно|вообще|точно) )*(?:живой |настоящий )?"
    r"(?:человек|бот|робот|ии|нейросеть|машина)\b",
    r"\bти (?:(?:справді|реально) )*(?:жива |справжня )?(?:людина|бот|робот|ші)\b",
)
ASKED = tuple(re.compile(pattern, re.IGNORECASE) for pattern in PATTERNS)
LONGEST = 400  # characters; a sincere question is short, and what is pasted is not asked


def whose(owner_name: str) -> str:
    """Whose double it is, in words."""
    return owner_name or "the person who runs me"


def disclosure(owner_name: str) -> str:
    """The sentence that says what the bot is."""
    return f"I am an AI double of {whose(owner_name)}: a program that writes like them, not a human being."


def asks_what_it_is(text: str) -> bool:
    """True when the message asks whether a human or a machine is talking.

    Errs on the side of answering: a line too many does no harm, a false claim does.
    """
    text = " ".join(text.replace("’", "'").split())
    return len(text) <= LONGEST and any(pattern.search(text) for pattern in ASKED)
