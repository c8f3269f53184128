"""The chat page without JavaScript: each form is answered by a page with the whole reply."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image

from chat_script import DROP
from talkalike.engine.protocol import EngineBusyError
from talkalike.errors import TalkalikeError
from talkalike.examples.reactions import SIGN
from talkalike.store import scoped
from talkalike.store.judging import erasing, items, judgements, judges
from talkalike.store.judging.judgement_values import Scale, Type
from talkalike.website.services import SiteServices
from website_chat import Talking, begin, bubbles, numbers, page, say

pytest_plugins = ("website_site", "website_chat_site")


def png(color: str = "red", **info: Any) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(file, "PNG", **info)
    file.seek(0)
    file.name = f"{color}.png"
    return file


def test_a_reply_is_whole_when_the_page_comes_back(person: Any, talking: Talking) -> None:
    engine = talking(("hey", "how are you?"), (SIGN + "❤️", "nice"), ("yes",))
    anna = person("judge", name="anna")
    address = begin(anna, "hi there")
    html = say(anna, address, "fine")
    assert bubbles(html) == ["> hi there", "hey", "how are you?", "> fine", "nice"]
    assert html.count("❤️") == 1
    assert "data-live" not in html
    say(anna, address, "more")
    assert [(turn.speaker, turn.text) for turn in engine.prompts[2].turns][3:] == [
        ("anna", "fine"),
        ("Mira", SIGN + "❤️"),
        ("Mira", "nice"),
        ("anna", "more"),
    ]


def test_the_first_page_leads_to_it(person: Any, talking: Talking) -> None:
    assert "Talk to Mira" not in page(person("judge", name="early"), "/")
    talking(("hey",))
    assert "Talk to Mira" in page(person("judge"), "/")
    assert "Talk to Mira" not in page(person(), "/")


def test_words_are_shown_and_never_run(person: Any, talking: Talking) -> None:
    bad = "<script>alert(1)</script>"
    talking((bad,))
    anna = person("judge")
    address = begin(anna, f"{bad}<img src=x onerror=alert(2)>")
    for html in (page(anna, address), anna.get(f"{address}transcript.html").content.decode()):
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_conversations_are_their_owners_alone(person: Any, guest: Any, talking: Talking) -> None:
    talking(("secret words",))
    anna = person("judge", name="anna")
    address = begin(anna, "only for me", pictures=png())
    html = page(anna, address)
    mine, theirs = numbers(html, "mine")[0], numbers(html, "theirs")[0]
    reads = ("", "version/", f"{theirs}/", f"{theirs}/events/", f"{theirs}/details/", f"{mine}/edit/", "pictures/1/")
    writes = ("say/", "stop/", "reset/", "settings/", "delete/", f"{theirs}/again/", f"{mine}/edit/", f"{mine}/show/")
    writes += (f"{theirs}/rate/", f"{theirs}/correct/")
    for other in (person("judge", name="bo"), person("owner"), guest("judge")):
        assert "only for me" not in page(other, "/chat/")
        assert "only for me" not in page(other, "/chat/?q=only")
        for path in (*reads, "transcript.txt"):
            assert other.get(address + path).status_code == 404, path
        for path in writes:
            answer = other.post(address + path, {"text": "mine now", "scale": "helpful", "value": "3"})
            assert answer.status_code == 404, path
    for path in reads:
        assert anna.get(address + path).status_code == 200, path
    assert bubbles(page(anna, address)) == bubbles(html)
    assert person().get(address).status_code == 302
    assert person("guesser").get("/chat/").status_code == 403


def test_a_forged_form_is_refused(person: Any, talking: Talking) -> None:
    engine = talking(("hey",))
    anna = person("judge", csrf=True)
    assert anna.post("/chat/new/", {"text": "hello"}).status_code == 403
    assert engine.prompts == []


def test_a_reply_can_be_judged_with_what_the_model_saw(person: Any, talking: Talking, services: SiteServices) -> None:
    talking(("one", "two"), ("three",))
    anna = person("judge", name="anna")
    address = begin(anna, "first")
    anna.post(f"{address}settings/", {"temperature": "0.3", "name": "Anna"})
    reply = numbers(say(anna, address, "second"), "theirs")[1]
    rate = f"{address}{reply}/rate/"
    assert anna.post(rate, {"scale": "sounds_like_me", "value": "5", "from": "thumb"}).status_code == 303
    anna.post(rate, {"scale": "honest", "value": "2"})
    anna.post(f"{address}{reply}/correct/", {"text": "three\nand four"})
    anna.post(f"{address}{reply}/correct/", {"type": "flag", "text": "rude"})

    judge = services.store.call(judges.of_account, 1)
    (number,) = {one.item_id for one in services.store.call(_all_of, judge.id)}
    item = services.store.call(items.item, number)
    assert item is not None
    assert item.context == (("Anna", "first"), ("Mira", "one"), ("Mira", "two"), ("Anna", "second"))
    assert (item.speaker, item.messages, item.model, item.origin) == ("Mira", ("three",), "mira-2", "web")
    assert item.sampling["temperature"] == 0.3
    said = {(one.type, one.scale): one.value or one.text for one in services.store.call(_all_of, judge.id)}
    assert said == {
        (Type.RATING, Scale.SOUNDS_LIKE_ME): 5,
        (Type.RATING, Scale.HONEST): 2,
        (Type.CORRECTION, None): "three\nand four",
        (Type.FLAG, None): "rude",
    }
    assert page(anna, address).count('aria-pressed="true"') == 1
    anna.post(rate, {"scale": "sounds_like_me", "value": "5", "from": "thumb"})  # the same once more takes it back
    assert 'aria-pressed="true"' not in page(anna, address)
    for bad in ({"scale": "sounds_like_me", "value": "6"}, {"scale": "beauty", "value": "3"}, {}):
        assert anna.post(rate, bad).status_code == 400


def _all_of(judge_id: int) -> list[Any]:
    from talkalike.store.judging.models import Item

    return [one for item in Item.objects.all() for one in judgements.of_item(item.pk, judge_id)]


def test_what_it_saw_is_told_with_reasons(person: Any, talking: Talking) -> None:
    talking(("noted",), ("ok",))
    anna = person("judge")
    address = begin(anna, "before")
    say(anna, address, "/reset")
    say(anna, address, "!not for you")
    html = say(anna, address, "after")
    details = anna.get(f"{address}{numbers(html, 'theirs')[-1]}/details/").content.decode()
    assert "side talk (!)" in details
    assert "before the last reset" in details
    assert details.count('<span class="badge good">seen</span>') == 1


def test_what_was_said_aside_or_before_a_reset_is_not_seen(person: Any, talking: Talking) -> None:
    engine = talking(("one",), ("two",))
    anna = person("judge")
    address = begin(anna, "old")
    html = say(anna, address, "!secret")
    assert bubbles(html) == ["> old", "one", "> !secret"]
    say(anna, address, "/reset")
    html = say(anna, address, "new")
    assert [[turn.text for turn in prompt.turns] for prompt in engine.prompts] == [["old"], ["new"]]
    assert len(numbers(html, "reset")) == 1


def test_an_edit_is_a_branch_and_the_old_one_is_kept(person: Any, talking: Talking) -> None:
    engine = talking(("one",), ("two",), ("three",), ("four",))
    anna = person("judge")
    address = begin(anna, "first")
    html = say(anna, address, "second")
    first = numbers(html, "mine")[0]
    assert "first" in anna.get(f"{address}{first}/edit/").content.decode()
    anna.post(f"{address}{first}/edit/", {"text": "first, edited"})
    html = page(anna, address)
    assert bubbles(html) == ["> first, edited", "three"]
    assert [turn.text for turn in engine.prompts[-1].turns] == ["first, edited"]
    anna.post(f"{address}{first}/show/")
    assert bubbles(page(anna, address)) == ["> first", "one", "> second", "two"]

    reply = numbers(page(anna, address), "theirs")[1]
    anna.post(f"{address}{reply}/again/")
    assert bubbles(page(anna, address)) == ["> first", "one", "> second", "four"]
    assert [turn.text for turn in engine.prompts[-1].turns] == ["first", "one", "second"]
    anna.post(f"{address}{reply}/show/")
    assert bubbles(page(anna, address)) == ["> first", "one", "> second", "two"]


def test_another_tab_makes_a_branch_and_loses_nothing(person: Any, talking: Talking) -> None:
    talking(("one",), ("two",), ("three",))
    anna = person("judge")
    address = begin(anna, "first")
    seen = numbers(page(anna, address), "theirs")[0]
    say(anna, address, "from here", parent=seen)
    html = say(anna, address, "from there", parent=seen)
    assert bubbles(html) == ["> first", "one", "> from there", "three"]
    assert '2<span aria-hidden="true"> / </span>' in html
    anna.post(f"{address}{numbers(html, 'mine')[1] - 2}/show/")
    assert bubbles(page(anna, address)) == ["> first", "one", "> from here", "two"]


def test_a_form_that_comes_twice_is_one_message(person: Any, talking: Talking) -> None:
    engine = talking(("one",), ("two",), ("three",))
    anna = person("judge")
    address = begin(anna, "first")
    say(anna, address, "again", token="abc")
    html = say(anna, address, "again", token="abc")
    assert bubbles(html) == ["> first", "one", "> again", "two"]
    assert len(engine.prompts) == 2
    html = say(anna, address, "went back and wrote this", token="abc")
    assert bubbles(html)[-2:] == ["> went back and wrote this", "three"]


def test_pictures_are_written_anew_and_told_to_the_model(person: Any, talking: Talking) -> None:
    engine = talking(("pretty",), ("again",))
    anna = person("judge")
    address = begin(anna, "", pictures=[png("red"), png("blue")])
    answers = [anna.get(f"{address}pictures/{number}/") for number in (1, 2)]
    assert [answer["Content-Type"] for answer in answers] == ["image/jpeg", "image/jpeg"]
    reds = [Image.open(io.BytesIO(answer.content)).getpixel((2, 2))[0] for answer in answers]
    assert reds[0] > 200 > 50 > reds[1]
    assert engine.prompts[0].turns[0].text == "[picture, not seen: red.png]\n[picture, not seen: blue.png]"
    mine = numbers(page(anna, address), "mine")[0]
    anna.post(f"{address}{mine}/edit/", {"text": "look"})
    assert page(anna, address).count('<a class="picture"') == 2

    broken = io.BytesIO(b"<svg onload=alert(1)>")
    broken.name = "x.png"
    answer = anna.post(f"{address}say/", {"text": "hi", "pictures": broken})
    assert answer.status_code == 400
    assert "no picture" in answer.content.decode()
    assert anna.post(f"{address}say/", {"pictures": [png() for _ in range(5)]}).status_code == 400


@pytest.mark.parametrize(
    ("burst", "words"),
    [
        ((), "chose not to reply"),
        (EngineBusyError("full"), "busy with other people"),
        (TalkalikeError("The model's process has died.", hint="Look at its log."), "process has died"),
        (("half", "of it", DROP), "broke off before its end"),
    ],
)
def test_a_reply_that_was_none_is_told_in_words(person: Any, talking: Talking, burst: Any, words: str) -> None:
    talking(burst, ("better",))
    anna = person("judge")
    address = begin(anna, "hello")
    html = page(anna, address)
    assert words in html
    said = [one for one in burst if one != DROP] if isinstance(burst, tuple) else []
    assert bubbles(html) == ["> hello", *said]
    anna.post(f"{address}{numbers(html, 'theirs')[0]}/again/")
    assert bubbles(page(anna, address)) == ["> hello", "better"]


def test_a_model_that_is_gone_is_told(person: Any, talking: Talking, services: SiteServices) -> None:
    talking(("hey",))
    anna = person("judge")
    address = begin(anna, "hello", model="base")
    assert "I am the base." in page(anna, address)
    services.engines.engines.pop("base")  # type: ignore[union-attr]
    services.engines.described = services.engines.described[:1]  # type: ignore[union-attr]
    html = say(anna, address, "still there?")
    assert "There is no model &#x27;base&#x27;" in html
    assert "no longer there" in html
    anna.post(f"{address}settings/", {"model": "mira-2"})
    assert bubbles(say(anna, address, "and now?"))[-1] == "hey"
    services.engines = None
    assert "nobody to talk to" in page(anna, "/chat/")
    assert anna.post("/chat/new/", {"text": "hi"}).status_code == 400


def test_settings_reach_the_model_and_wrong_ones_change_nothing(person: Any, talking: Talking) -> None:
    engine = talking(("one",), ("two",))
    anna = person("judge")
    address = begin(anna, "hello")
    given = {"temperature": "0.25", "seed": "7", "persona": "You are tired.", "name": "Bo", "max_messages": "3"}
    assert anna.post(f"{address}settings/", given).status_code == 303
    say(anna, address, "hm")
    sampling, prompt = engine.samplings[-1], engine.prompts[-1]
    assert (sampling.temperature, sampling.seed, sampling.max_messages) == (0.25, 7, 3)
    assert [(turn.speaker, turn.text) for turn in prompt.turns][:2] == [("system", "You are tired."), ("Bo", "hello")]
    answer = anna.post(f"{address}settings/", {"temperature": "hot", "top_p": "2"})
    assert answer.status_code == 400
    assert "temperature" in answer.content.decode()
    assert "top_p" in answer.content.decode()
    assert 'value="0.25"' in page(anna, address)


def test_the_list_is_searched(person: Any, talking: Talking) -> None:
    talking(("about whales",), ("about bees",))
    anna = person("judge")
    begin(anna, "sea animals")
    begin(anna, "insects")
    assert "sea animals" in page(anna, "/chat/?q=whales")
    assert "insects" not in page(anna, "/chat/?q=whales")
    assert "insects" in page(anna, "/chat/?q=BEES+insects")
    assert "Nothing found" in page(anna, "/chat/?q=whales+bees")


def test_the_conversation_as_a_file(person: Any, talking: Talking) -> None:
    talking((SIGN + "👍", "line one\nline two"))
    anna = person("judge", name="anna")
    address = begin(anna, "hello", pictures=png())
    files = {form: anna.get(f"{address}transcript.{form}") for form in ("txt", "json", "html")}
    assert all("attachment" in file["Content-Disposition"] for file in files.values())
    text = files["txt"].content.decode()
    assert "anna: hello" in text
    assert "Mira: line one\n    line two\n" in text
    told = json.loads(files["json"].content)["messages"]
    assert told[0]["pictures"] == ["red.png"]
    assert told[1]["messages"] == [{"reaction": "👍"}, {"text": "line one\nline two"}]
    assert "data:image/jpeg;base64," in files["html"].content.decode()
    assert anna.get(f"{address}transcript.exe").status_code == 404


def test_a_reply_of_a_dead_process_is_marked_and_keeps_its_words(
    person: Any, talking: Talking, services: SiteServices
) -> None:
    talking(("hey", "you"))
    anna = person("judge")
    address = begin(anna, "hello")

    def as_if_killed() -> None:
        from talkalike.store.talking.models import WebMessage

        for row in WebMessage.objects.filter(kind="reply"):
            row.state, row.at = "writing", row.at - timedelta(minutes=1)
            row.save()

    services.store.call(as_if_killed)
    html = page(anna, address)
    assert bubbles(html) == ["> hello", "hey", "you"]
    assert "This reply is incomplete" in html
    assert "data-live" not in html


def test_nonsense_is_refused_in_words(person: Any, talking: Talking) -> None:
    engine = talking(("hey",))
    anna = person("judge")
    address = begin(anna, "hello")
    for fields in ({"text": "  "}, {"text": "x" * 20_001}):
        assert anna.post(f"{address}say/", fields).status_code == 400
    for path in ("/chat/999999/", "/chat/99999999999999999999999/", f"{address}999999/edit/", f"{address}0/details/"):
        assert anna.get(path).status_code == 404
    assert anna.get(f"{address}say/").status_code == 405
    assert len(engine.prompts) == 1
    assert anna.post(f"{address}delete/").status_code == 303
    assert anna.get(address).status_code == 404


def test_deleting_a_conversation_takes_its_words_from_what_can_be_judged(
    person: Any, talking: Talking, services: Any
) -> None:
    from talkalike.store.judging import items
    from talkalike.store.tables import judging_tables

    talking(("hey", "you"))
    anna = person("judge")
    address = begin(anna, "a secret")
    number = services.store.call(lambda: judging_tables.Item.objects.get().pk)
    assert "a secret" in str(services.store.call(items.item, number))
    assert services.engines.forgotten == []
    assert anna.post(f"{address}delete/").status_code == 303
    assert services.engines.forgotten == [(f"web-{address.strip('/').rpartition('/')[2]}",)]
    left = services.store.call(lambda: str(judging_tables.Item.objects.values_list().get()))
    assert "secret" not in left and "hey" not in left
    assert services.store.call(items.item, number) is None


def test_a_daily_budget_is_told_when_it_is_used_up(
    person: Any, guest: Any, talking: Talking, services: SiteServices
) -> None:
    engine = talking(*[("fine",)] * 9)
    services.store.call(scoped.put, "bot", 0, "daily_replies_user", 2, by=1)
    anna = person("judge")
    address = begin(anna, "one")
    say(anna, address, "two")
    for path, fields in ((f"{address}say/", {"text": "three"}), ("/chat/new/", {"text": "three"})):
        refused = anna.post(path, fields)
        words = refused.content.decode()
        assert refused.status_code == 400 and "today&#x27;s 2 replies for one person. It renews at midnight" in words
    reply = numbers(page(anna, address), "theirs")[0]
    assert anna.post(f"{address}{reply}/again/").status_code == 400
    assert bubbles(page(anna, address)) == ["> one", "fine", "> two", "fine"]
    say(anna, address, "! aside costs nothing")
    begin(guest("judge"), "one")  # somebody else's day
    assert len(engine.prompts) == 3

    services.store.call(scoped.remove, "bot", 0, "daily_replies_user", by=1)
    services.store.call(scoped.put, "bot", 0, "daily_tokens_user", 1, by=1)
    assert "length for one person (1 token)" in anna.post(f"{address}say/", {"text": "x"}).content.decode()
    services.store.call(erasing.forget_judge, judges.of_account(1).id)
    assert anna.post(f"{address}say/", {"text": "x"}).status_code == 303
