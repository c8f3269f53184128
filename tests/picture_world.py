"""What the pictures of the docs show: a small club of invented friends, Juno's double, and what they think of it."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from runs_workspace import add_card, add_examples, add_rl_measurements, add_run
from talkalike.store.judging import guesses, importing, items, judges, pairs
from talkalike.store.judging.judgement_values import (
    Choice,
    ComparisonRecord,
    JudgedReply,
    Kind,
    RatingRecord,
    Scale,
    Side,
)
from talkalike.store.judging.lines import to_line
from talkalike.store.recording import Ending, ReplyState
from talkalike.store.talking import conversations, messages
from talkalike.store.talking.messages import Saying
from talkalike.store.talking.values import MOST_PARTS, BurstPart, NewPicture

SPEAKER, BASE = "Juno", "smollm2-135m-instruct"
OLD, NEW, CANDIDATE = "juno-1", "juno-2", "juno-2-aligned"
RUN = "juno-2-20261108-201530"
RL_RUN = f"{CANDIDATE}-20261115-211007"
OWNER = "user:1"

Turns = tuple[tuple[str, str], ...]

# What was said, then how the newer double, the older one, the base and Juno herself answer it.
MOMENTS: list[tuple[Turns, tuple[tuple[str, ...], ...]]] = [
    (
        (("Edgar", "The archive closes at noon tomorrow, so the maps would have to be seen today."),
         ("Bořek", "I am off at 16:20 - I can carry - how heavy?"),
         ("Edgar", "Two of you could manage it; three would be company. Juno?")),
        (("im in", "give me 20 min", "is there tea"), ("yes i will come and help", "ok"),
         ("Thank you for letting me know! I would be happy to help you with the maps.",), ("k", "on my way")),
    ),
    (
        (("Bořek", "Film on Friday - 19:30 - which one?"), ("Rosália", "The shark one, it is TRADITION!"),
         ("Bořek", "We saw it 4 times")),
        (("5 is a nice round number", "ill bring the bad popcorn"), ("the shark one", "again lol"),
         ("There are many great films to choose from. What genre do you enjoy?",), ("obviously the shark one",)),
    ),
    (
        (("Rosália", "Somebody left a scarf at the rehearsal, green, smells of cinnamon?"),
         ("Edgar", "A description worthy of a novel; it is not mine.")),
        (("MINE", "omg i looked everywhere", "dont let bořek wash it"), ("thats mine i think", "thanks"),
         ("It is great that you found a scarf. You could ask around to find its owner.",), ("thats my scarf!!",)),
    ),
    (
        (("Bořek", "The 7:12 is cancelled tomorrow - track works until May"), ("Bořek", "Take the 6:58")),
        (("6:58 is not a time", "thats a threat", "ok fine"), ("ugh", "ok 6:58"),
         ("Thank you for the information about the train schedule.",), ("no train is worth that",)),
    ),
    (
        (("Edgar", "I have been asked to speak on Thursday about page two; you will recall that it is still missing."),
         ("Edgar", "Should I own up?")),
        (("ngl id just start at page 3", "nobody reads page 2"), ("just tell them", "its fine"),
         ("Honesty is always the best policy. You should tell them the truth.",), ("say it fell in the sea",)),
    ),
    (
        (("Rosália", "Nineteen recorders and only ONE of them in tune, guess which?"),),
        (("yours", "its always yours"), ("the small one?",),
         ("I am not sure which recorder is in tune. Could you provide more information?",), ("urs", "sorry not sorry")),
    ),
]  # fmt: skip


# A held-out prompt, and what the double replies to it as RL training makes it shorter.
RL_REPLIES = (
    (
        "Two of you could manage it; three would be company. Juno?",
        "yes i will come and help you",
        "im in i think",
        "im in",
    ),
    ("Film on Friday - 19:30 - which one?", "the shark one again lol, or the other", "the shark one", "sharks"),
    ("Somebody left a scarf at the rehearsal, green?", "oh thats mine i think, thanks", "thats mine!!", "MINE"),
    ("Take the 6:58", "6:58 is not a time that i know", "6:58 is not a time", "no"),
)


def photo() -> bytes:
    """A drawn evening by the sea, as a picture that somebody sends."""
    image = Image.new("RGB", (560, 240))
    pen = ImageDraw.Draw(image)
    for y in range(160):
        pen.line((0, y, 560, y), fill=(250 - y // 3, 190 - y // 2, 120 + y // 3))
    pen.ellipse((360, 90, 460, 190), fill=(255, 226, 150))
    pen.rectangle((0, 150, 560, 240), fill=(44, 78, 110))
    for x, y in ((30, 170), (210, 184), (330, 200), (420, 172), (120, 214)):
        pen.line((x, y, x + 70, y), fill=(120, 150, 170), width=3)
    pen.polygon([(90, 150), (180, 150), (168, 172), (104, 172)], fill=(60, 40, 40))
    pen.polygon([(134, 60), (134, 144), (196, 144)], fill=(240, 236, 224))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def fill_workspace(root: Path) -> None:
    """Two runs on examples, one of RL training, and the models that they produced."""
    add_examples(root, "juno", BASE)
    add_card(root, BASE)
    made_of = (
        (OLD, (BASE,), "lora", 0.52, 2.63),
        (NEW, (BASE,), "dora", 0.66, 2.56),
        (CANDIDATE, (BASE, NEW), "dora", 0.71, 2.55),
    )
    for day, (name, parents, method, likeness, loss) in enumerate(made_of, start=2):
        made = {"created": f"2026-11-0{day}T10:00:00+00:00", "method": method, "speakers": ["Juno Marwick"]}
        add_card(root, name, parents=parents, likeness=likeness, heldout=loss, **made)
    settings: dict[str, Any] = {"base": BASE, "loop": {"learning_rate": 2e-3, "seed": 0}}
    for run, method, start, steps in ((f"{OLD}-20261101-190412", "lora", 3.6, 80), (RUN, "dora", 3.3, 140)):
        about = settings | {"adapter": {"method": method}}
        add_run(root, run, start=start, steps=steps, examples="juno", settings=about)
    rl_run = add_run(root, RL_RUN, kind="rl", steps=40, start=3.0, examples="juno", settings=settings)
    add_rl_measurements(rl_run, steps=40, prompts=RL_REPLIES)


def fill_store() -> None:
    """Judgements of five weeks, a batch that is being judged, a blind test, and two conversations."""
    lines = [to_line(record) for record in _records()]
    assert importing.import_jsonl(lines).taken == len(lines)
    batch = pairs.make_batch("This week's replies", seed=5)
    pairs.make_pair(*_picture_talk(), batch)
    for number in range(len(MOMENTS)):
        pairs.make_pair(items.put_item(_reply(number, 0)), items.put_item(_reply(number, 1)), batch)
    _blind_test()
    _talk("The key to the attic", [("have you got the key to the attic", ("no", "wait", "yes")), ("splendid", ("ik",))])
    _talk("Saturday at the harbour", [
        ("Are you coming to the harbour on Saturday? There will be herring.", ("depends", "what time")),
    ])  # fmt: skip


def _reply(number: int, which: int) -> JudgedReply:
    context, written = MOMENTS[number % len(MOMENTS)]
    return JudgedReply(
        context=context,
        speaker=SPEAKER,
        messages=written[which],
        model=(NEW, OLD, BASE)[which],
        sampling={"seed": number},
        origin="web",
    )


def _records() -> Iterator[ComparisonRecord | RatingRecord]:
    """Six people mostly prefer the newer to the older double, and either to the base."""
    chance = random.Random(3)
    start = datetime(2026, 10, 12, 18, tzinfo=UTC)
    for number in range(45):
        one, two = ((0, 1), (0, 2), (1, 2))[number % 3]
        at, judge = start + timedelta(hours=18 * number), f"judge-{chance.choice(('ash', 'elm', 'fir', 'oak', 'yew'))}"
        common: dict[str, Any] = {"at": at, "judge": judge, "kind": Kind.HUMAN, "seconds": 4 + 9 * chance.random()}
        likely = {(0, 1): 0.62, (0, 2): 0.85, (1, 2): 0.74}[one, two]
        choice = Choice.TIE if chance.random() < 0.1 else Choice.A if chance.random() < likely else Choice.B
        a, b = _reply(number, one), _reply(number, two)
        shown: Any = ("a", "b") if chance.random() < 0.5 else ("b", "a")
        yield ComparisonRecord(**common, id=f"c{number}", pair=f"{number:016x}", a=a, b=b, choice=choice, shown=shown)
        if number % 3 == 0:
            value = min(5, max(1, round(chance.gauss((4.2, 3.4, 1.9)[one], 0.8))))
            yield RatingRecord(**common, id=f"r{number}", reply=a, scale=Scale.SOUNDS_LIKE_ME, value=value)


def _blind_test() -> None:
    """Friends took the double for Juno about half the time, and the base hardly ever."""
    number = guesses.make_round("Who is the real Juno?")
    chance = random.Random(2)
    asked: list[tuple[int, str]] = []
    for context, (new, _, base, real) in MOMENTS:
        for arm, model, said in (("double", NEW, new), ("base", BASE, base)):
            sides = {
                "real": guesses.Writing(messages=real),
                "other": guesses.Writing(messages=said, model=model, arm=arm),
            }
            asked.append((guesses.add_question(number, context, SPEAKER, **sides), arm))
    for friend in [judges.guest().id for _ in range(3)]:
        for question, arm in asked:
            guesses.guess(question, friend, Side.LEFT, face="web")
            _settle(question, friend, right=chance.random() > (0.46 if arm == "double" else 0.08))


def _settle(question: int, judge: int, *, right: bool) -> None:
    from talkalike.store.tables import judging_tables

    judging_tables.Guess.objects.filter(question_id=question, judge_id=judge).update(right=right)


def _talk(title: str, said: list[tuple[str, tuple[str, ...]]]) -> int:
    """A conversation of the owner's, whose name there is Edgar."""
    number = conversations.begin(OWNER, name="Edgar", model=NEW)
    parent: int | None = None
    for text, answer in said:
        _, reply, _ = messages.say(number, Saying(parent=parent, text=text, model=NEW))
        assert reply is not None
        context: Turns = (("Edgar", text),)
        item = items.put_item(JudgedReply(context=context, speaker=SPEAKER, messages=answer, model=NEW, origin="web"))
        _end(reply, {"kept": []}, answer, item)
        parent = reply
    conversations.change(OWNER, number, title=title)
    return number


def _picture_talk() -> tuple[int, int]:
    """Two replies to a message with a picture, of two models; their items."""
    number = conversations.begin(OWNER, name="Edgar", model=NEW)
    sent = NewPicture(name="evening.jpg", content_type="image/jpeg", width=560, height=240, data=photo())
    text = "The view from the signal box. Bořek says that the boat is not moving; I maintain that it is."
    said, first, _ = messages.say(number, Saying(parent=None, text=text, pictures=(sent,), model=NEW))
    assert first is not None
    seen = {
        "kept": [
            {"id": str(said * MOST_PARTS), "speaker": "Edgar", "text": f"[picture, not seen: {sent.name}]\n{text}"}
        ]
    }
    context: Turns = (("Edgar", f"[picture, not seen: {sent.name}]\n{text}"),)
    made = []
    replies = ((first, NEW, ("bořek is right", "its parked", "sorry edgar")),
               (messages.answer(number, said, model=OLD), OLD, ("nice view", "it looks like a boat")))  # fmt: skip
    for reply, model, written in replies:
        told = JudgedReply(context=context, speaker=SPEAKER, messages=written, model=model, origin="web")
        made.append(items.put_item(told))
        _end(reply, seen, written, made[-1])
    conversations.change(OWNER, number, title="The view from the signal box")
    return made[0], made[1]


def _end(reply: int, seen: dict[str, Any], written: tuple[str, ...], item: int) -> None:
    messages.note_begun(reply, speaker=SPEAKER, model=NEW, seen=seen, sampling={})
    parts = tuple(BurstPart(text=text) for text in written)
    messages.end(reply, Ending(state=ReplyState.DONE), parts, item_id=item)
