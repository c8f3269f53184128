"""The whole score from replies to page: two invented people, scripted engines, real tiny models."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from likeness_people import assistant, bursts, lena, ruben
from talkalike.engine.protocol import Prompt, Sampling
from talkalike.engine.scripted import ScriptedEngine
from talkalike.errors import UserError
from talkalike.evaluation.intervals import Estimate, undefined
from talkalike.evaluation.likeness import (
    Arm,
    LikenessReport,
    LikenessSettings,
    Material,
    choose,
    score_likeness,
)
from talkalike.evaluation.report_html import report_html
from talkalike.evaluation.words import headline, reasons, remarks, show, summary_table
from talkalike.examples.copies import Copy
from talkalike.examples.heldout import ReferenceReply, Said
from talkalike.examples.reactions import SIGN, emoji_of, reaction_turn
from talkalike.examples.render import Turn
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.workspace.cards import Catalog
from tiny_model import build_tiny_llama

SETTINGS = LikenessSettings(
    sampling=Sampling(seed=1, max_tokens=60), replies=44, bits_replies=8, bootstrap=100, samples=5, seed=3
)
ATTACK = "<script>alert('x')</script> & \"$x^{$ ]]> <b>"


def material(*, replies: int = 50) -> Material:
    def talk(count: int, seed: int) -> tuple[list[ReferenceReply], list[Said]]:
        answered: list[ReferenceReply] = []
        said: list[Said] = []
        for index, (asks, says) in enumerate(
            zip(bursts(ruben, count, seed=seed), bursts(lena, count, seed=seed + 1), strict=True)
        ):
            context = tuple(Turn("Ruben", text) for text in asks)
            answered.append(
                ReferenceReply(conversation="c", context=context, speaker="Lena", messages=tuple(says), sent_ms=index)
            )
            for speaker, texts in (("Ruben", asks), ("Lena", says)):
                said += [
                    Said(conversation="c", speaker=speaker, text=text, sent_ms=index, chosen=speaker == "Lena")
                    for text in texts
                ]
        return answered, said

    training, training_messages = talk(200, 10)
    heldout, heldout_messages = talk(replies, 20)
    elsewhere = [Said(conversation="d", speaker="Stranger", text="hahaa :)", sent_ms=0, chosen=False)] * 500
    return Material(
        author="Lena",
        heldout=[*heldout, replace(heldout[0], speaker="Ruben")],
        training=training,
        heldout_messages=heldout_messages,
        training_messages=[*training_messages, *elsewhere],
    )


def answering(author: list[list[str]], name: str) -> Arm:
    def answer(prompt: Prompt) -> list[str]:
        words = tuple(turn for turn in prompt.turns if emoji_of(turn.text) is None)
        return author[random.Random(repr(words)).randrange(len(author))]

    return Arm(engine=ScriptedEngine(answer, name=name), loaded=None, fingerprint=name)


def twin() -> Arm:
    return answering(bursts(lena, 300, seed=77), "lena-double")


def stock() -> Arm:
    return answering(bursts(assistant, 300, seed=78), "stock")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    root = tmp_path_factory.mktemp("models")
    return load_for_inference(build_tiny_llama(root / "tiny"), catalog=Catalog(root), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def report(tiny: LoadedModel) -> LikenessReport:
    arms = {"double": replace(twin(), loaded=tiny), "base": replace(stock(), loaded=tiny)}
    return asyncio.run(score_likeness(material(), **arms, settings=SETTINGS))


def value(found: Estimate) -> float:
    assert found.value is not None
    return found.value


async def test_a_twin_scores_high_on_everything_and_the_stock_model_low(report: LikenessReport) -> None:
    assert report.style is not None and report.bits is not None
    assert value(report.style.recovery) > 0.95 and value(report.style.recovery_log_odds) > 0.8
    assert report.style.other_speakers == 1  # who speaks only in other conversations is no opponent
    assert value(report.two_sample.double) < 0.75 < 0.99 < value(report.two_sample.base)
    assert value(report.habits.double) < 2 < value(report.habits.base)
    assert value(report.bits.gain) == 0.0 and report.bits.double == report.bits.base  # the same weights in both arms
    assert report.counts.replies == 44 and report.counts.heldout_replies == 50
    assert report.counts.training_replies == 200 and report.counts.conversations == 1
    assert len(report.samples) == 5 and report.samples[0].context[0].speaker == "Ruben"
    assert report.notes == () and reasons(report) == []


async def test_swapped_arms_swap_the_verdict() -> None:
    swapped = await score_likeness(material(), double=stock(), base=twin(), settings=SETTINGS)
    assert swapped.style is not None and swapped.style.recovery.value is None
    assert "no distance to recover" in headline(swapped)
    assert value(swapped.habits.double) > value(swapped.habits.base)
    assert value(swapped.two_sample.double) > value(swapped.two_sample.base)


async def test_a_double_equal_to_its_base_recovers_nothing() -> None:
    same = await score_likeness(material(), double=stock(), base=stock(), settings=SETTINGS)
    assert same.style is not None and value(same.style.recovery) == 0.0
    assert headline(same).startswith("The double sounds no more like Lena than the base model")


async def test_a_double_that_parrots_the_training_is_found() -> None:
    long = [["we really should take the boat to the island before it rains again :)"]]
    data = material()
    data = replace(
        data, training_messages=[*data.training_messages, replace(data.training_messages[0], text=long[0][0])]
    )
    found = await score_likeness(data, double=answering(long, "parrot"), base=stock(), settings=SETTINGS)
    assert value(found.copying.double.from_anyone) == 1.0 and value(found.copying.double.from_author) == 0.0
    assert found.copying.longest[0].span == long[0][0] and found.copying.longest[0].speaker == "Ruben"


async def test_the_same_seed_gives_the_same_report(report: LikenessReport, tiny: LoadedModel) -> None:
    arms = {"double": replace(twin(), loaded=tiny), "base": replace(stock(), loaded=tiny)}
    assert await score_likeness(material(), **arms, settings=SETTINGS) == report
    assert report_html(report) == report_html(report)


async def test_everything_is_told_as_plain_json_and_as_rows(report: LikenessReport) -> None:
    again = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert again["style"]["recovery"]["value"] == value(report.style.recovery)  # type: ignore[union-attr]
    rows = summary_table(report)
    assert [row.measure for row in rows] == [
        "style recovery", "style recovery, log-odds", "attributed to the author", "bits per character", "speaker lift",
        "context lift", "real or generated (AUC)", "habit distance", "verbatim copies",
    ]  # fmt: skip
    assert all(row.double and row.base and row.author and row.ideal and row.meaning for row in rows)


async def test_progress_is_told_stage_by_stage(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    settings = replace(SETTINGS, cache_folder=tmp_path)
    await score_likeness(
        material(), double=twin(), base=stock(), settings=settings, progress=lambda *step: seen.append(step)
    )
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == [
        "the double replies", "the base model replies", "comparing styles",
    ]  # fmt: skip
    assert ("the double replies", 44, 44) in seen and seen[-1] == ("comparing styles", 4, 4)
    silent = twin()
    await score_likeness(material(), double=silent, base=stock(), settings=settings)
    assert isinstance(silent.engine, ScriptedEngine) and silent.engine.prompts == []


async def test_little_data_gives_reasons_instead_of_numbers() -> None:
    few = material(replies=8)
    few = replace(few, training=few.training[:5], training_messages=few.training_messages[:30])
    found = await score_likeness(few, double=twin(), base=stock(), settings=SETTINGS)
    assert found.style is None and found.bits is None
    assert found.two_sample.double.value is None and found.habits.double.value is None
    assert len(found.notes) == 2 and len(reasons(found)) >= 2
    assert "cannot be said" in headline(found)
    page = report_html(found)
    for reason in (*found.notes, *reasons(found)):
        assert reason.split(".")[0].split("'")[0] in page
    assert "None" not in text_of(page).replace("None of the", "") and "nan" not in text_of(page).split()


async def test_reactions_are_counted_and_change_no_measure_of_words() -> None:
    words = material(replies=44)
    thumb, heart = (reaction_turn("Lena", emoji).text for emoji in "👍❤")

    def reacting(replies: Sequence[ReferenceReply]) -> list[ReferenceReply]:
        """Every fourth reply of hers gets a reaction, in front or behind."""
        return [
            replace(
                reply,
                context=(*reply.context, reaction_turn("Mia", "😮")),
                messages=(*[thumb] * (number % 8 == 0), *reply.messages, *[heart] * (number % 8 == 4)),
            )
            for number, reply in enumerate(replies)
        ]

    reacted = replace(words, heldout=reacting(words.heldout), training=reacting(words.training))
    reacting_double = answering([[thumb, *burst] for burst in bursts(lena, 300, seed=77)], "lena-double")
    before = await score_likeness(words, double=twin(), base=stock(), settings=SETTINGS)
    after = await score_likeness(reacted, double=reacting_double, base=stock(), settings=SETTINGS)
    for measure in ("style", "habits", "two_sample", "copying", "lengths", "counts"):
        assert getattr(after, measure) == getattr(before, measure), measure
    assert [value(arm) for arm in (after.reactions.real, after.reactions.double, after.reactions.base)] == [0.25, 1, 0]
    row = summary_table(after)[-1]
    assert row.measure == "replies with a reaction"
    assert [cell.partition(" ")[0] for cell in (row.author, row.double, row.base)] == ["25%", "100%", "0%"]
    assert "replies with a reaction" not in [row.measure for row in summary_table(before)]
    page = text_of(report_html(after))
    assert "reacted 👍" in page and "reacted 😮" in page and "replies with a reaction" in page and SIGN not in page
    assert json.loads(json.dumps(after.as_json()))["reactions"]["real"]["value"] == 0.25

    only = [replace(words.heldout[0], messages=(heart,))] * 16
    mixed = replace(words, heldout=[*words.heldout, *only])
    found = await score_likeness(mixed, double=twin(), base=stock(), settings=replace(SETTINGS, replies=60))
    assert found.counts.replies == found.reactions.real.n == 60
    assert found.reactions.real.value == pytest.approx(16 / 60)
    assert found.two_sample.double.n == found.copying.double.from_anyone.n == 44  # where she wrote something


async def test_an_author_without_heldout_replies_is_refused() -> None:
    with pytest.raises(UserError, match="Nobody has no held-out replies"):
        await score_likeness(replace(material(), author="Nobody"), double=twin(), base=stock(), settings=SETTINGS)


def test_choosing_keeps_the_order_and_the_count() -> None:
    items = list(range(100))
    chosen = choose(items, 10, seed=1)
    assert len(chosen) == 10 and chosen == sorted(set(chosen)) and chosen != items[:10]
    assert choose(items, 10, seed=1) == chosen != choose(items, 10, seed=2)
    assert choose(items, 200, seed=1) == items


class Page(HTMLParser):
    """What a browser would see: the elements with their attributes, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside: str = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside != "style":
            self.text.append(data)


def text_of(source: str) -> str:
    return "".join(Page(source).text)


async def test_markup_in_names_and_messages_is_only_text(report: LikenessReport) -> None:
    sample = replace(
        report.samples[0], context=(Turn(ATTACK, ATTACK),), real=(ATTACK,), double=(ATTACK, " "), base=("", " ")
    )
    copy = replace(report.copying, longest=(Copy(reply=0, span=ATTACK, speaker=ATTACK),))
    hostile = replace(
        report, author=ATTACK, double=ATTACK, base=ATTACK, samples=(sample,), copying=copy, notes=(ATTACK,)
    )
    page = Page(report_html(hostile))
    tags = {tag for tag, _ in page.elements}
    plain = {tag for tag, _ in Page(report_html(report)).elements}
    assert "script" not in tags and tags <= plain | {"b", "ul", "li"}
    assert "".join(page.text).count(ATTACK) >= 10
    assert "says nothing" in "".join(page.text)


async def test_the_page_stands_alone(report: LikenessReport) -> None:
    source = report_html(report)
    page = Page(source)
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "base", "form"}
        for name, content in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "action"}:
                assert content is not None and content.startswith("#")
    outside = set(re.findall(r"https?://[^\s\"']+", source))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in source and "url(http" not in source
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "ids of the drawings collide"
    colours = set(re.findall(r"var\((--[\w-]+)\)", source))
    assert colours and colours <= set(re.findall(r"(--[\w-]+):", source)), "a colour of a drawing is not the page's"
    assert [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"] and source.count("<svg") == 6


def lifted(report: LikenessReport, learned: tuple[str, ...], speaker: Estimate, context: Estimate) -> LikenessReport:
    assert report.bits is not None
    double = replace(report.bits.double, speaker_lift=speaker, context_lift=context)
    return replace(report, bits=replace(report.bits, learned=learned, double=double))


async def test_lifts_that_cannot_be_told_from_zero_say_so(report: LikenessReport) -> None:
    above = Estimate(value=0.05, low=0.01, high=0.09, n=44)
    unclear = Estimate(value=-0.1, low=-0.29, high=0.04, n=23)
    below = Estimate(value=-0.1, low=-0.2, high=-0.05, n=60)
    two = ("Lena", "Ruben")
    for speaker, context, said in (
        (above, above, []),
        (above, below, []),
        (above, unclear, ["The double's context lift cannot be told from 0 with 23 replies."]),
        (unclear, above, ["The double's speaker lift cannot be told from 0 with 23 replies."]),
        (undefined("few"), undefined("few"), []),
    ):
        found = lifted(report, two, speaker, context)
        assert remarks(found) == said
        page = text_of(report_html(found))
        assert page.count("cannot be told from 0") == len(said) and all(remark in page for remark in said)


async def test_a_double_of_one_person_is_not_asked_who_is_who(report: LikenessReport) -> None:
    above, zero = Estimate(value=0.05, low=0.01, high=0.09, n=44), Estimate(value=0.0, low=-0.01, high=0.01, n=44)
    ideals = {}
    for learned in (("Lena",), ("Lena", "Ruben")):
        found = lifted(report, learned, zero, above)
        ideals[learned] = {row.measure: row.ideal for row in summary_table(found)}["speaker lift"]
        (remark,) = remarks(found)
        assert remark in text_of(report_html(found))
        assert ("double of one person" in remark) == (len(learned) == 1)
    assert ideals == {("Lena",): "–", ("Lena", "Ruben"): "above 0"}


async def test_fictional_people_are_labelled(report: LikenessReport) -> None:
    assert "Fictional sample" not in report_html(report)
    assert "Fictional sample" in report_html(replace(report, fictional=True))


async def test_numbers_on_the_page_are_the_reports(report: LikenessReport) -> None:
    text = text_of(report_html(report))
    for row in summary_table(report):
        for cell in (row.double, row.base, row.author):
            number, _, interval = cell.partition(" [")
            assert number in text and interval.rstrip("]").replace(", ", " to ") in text


def test_estimates_are_shown_with_their_interval() -> None:
    assert show(Estimate(value=0.514, low=0.4, high=0.6, n=9), percent=True) == "51% [40%, 60%]"
    assert show(Estimate(value=1.2345, low=-0.0, high=2, n=9), digits=1) == "1.2 [0.0, 2.0]"
    assert show(undefined("because")) == "–"
