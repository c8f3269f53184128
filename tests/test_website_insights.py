"""What people think: the numbers on the page and in the files, and who may see which."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from runs_workspace import fill
from talkalike.store.judging import guesses, items, judgements, judges, pairs, undoing, voting
from talkalike.store.judging.judgement_values import Choice, JudgedReply, Kind, Scale, Side
from talkalike.website.insights.tables import Column, Table, as_csv
from talkalike.website.services import SiteServices

pytest_plugins = ("website_site",)

MALICE = "<script>alert(1)</script>"


def item(number: int, model: str) -> int:
    context = (("Ben", f"A private question {number}?"), ("Cleo", "Well."))
    return items.put_item(
        JudgedReply(context=context, speaker="Mira", messages=(f"Reply {number} of {model}", MALICE), model=model)
    )


def judged(count: int = 30) -> None:
    """mira-2 beats the base whenever two people compare them, and is rated 4; the base is rated 2, and once 1."""
    one, two = judges.of_account(901).id, judges.of_account(902).id
    batch = pairs.make_batch("first", seed=1)
    for number in range(count):
        pair = pairs.make_pair(item(number, "mira-2"), item(number, "tiny"), batch)
        for judge in (one, two):
            better = Choice.B if judge == two and number < 5 else Choice.A
            voting.compare(pair, judge, better, seconds=4.0, face="web")
        judgements.rate(item(number, "mira-2"), one, Scale.HELPFUL, 4, face="web")
        judgements.rate(item(number, "tiny"), one, Scale.HELPFUL, 1 if number == 3 else 2, face="web")


def blind_test() -> None:
    """The double is taken for the real one in 3 of 4, the base in none of 4."""
    judge, test = judges.of_account(901).id, guesses.make_round("friends")
    for number in range(4):
        for arm, model in (("double", "mira-2"), ("base", "tiny")):
            real = guesses.Writing(messages=(f"real {number} {arm}",))
            other = guesses.Writing(messages=(f"other {number}",), model=model, arm=arm)
            question = guesses.add_question(test, (("Ben", f"hi {number}"),), "Mira", real=real, other=other)
            told = guesses.guess(question, judge, Side.LEFT, face="web")
            if told.right is (arm == "double" and number > 0):
                guesses_table(question, not told.right)


def guesses_table(question: int, right: bool) -> None:
    from talkalike.store.tables import judging_tables

    judging_tables.Guess.objects.filter(question_id=question).update(right=right)


def rows_of(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_an_empty_site_says_so(person: Callable[..., Any], services: SiteServices) -> None:
    page = person("viewer").get("/insights/").content.decode()
    assert "Nobody has judged yet" in page and "Nobody has compared two models yet." in page
    assert "not enough yet (0 of 20)" in page
    assert rows_of(person("viewer", name="two").get("/insights/standings.csv")) == []


def test_numbers_follow_what_was_said(person: Callable[..., Any], services: SiteServices) -> None:
    services.store.call(judged)
    services.store.call(blind_test)
    who = person("viewer")
    page = who.get("/insights/").content.decode()
    assert "60" in page and page.count('class="chart"') == 4
    standings = rows_of(who.get("/insights/standings.csv"))
    assert [(row["Model"], row["Wins"], row["Losses"]) for row in standings] == [
        ("mira-2", "55", "5"),
        ("tiny", "5", "55"),
    ]
    assert (
        0.6 < float(standings[0]["From"]) < float(standings[0]["Beats an average one"]) < float(standings[0]["To"]) < 1
    )
    ratings = rows_of(who.get("/insights/ratings.csv"))
    assert [(row["Scale"], row["Model"], row["Ratings"], row["4"], row["1"]) for row in ratings] == [
        ("helpful", "mira-2", "30", "30", "0"),
        ("helpful", "tiny", "30", "0", "1"),
    ]
    agreement = {row["About"]: row for row in rows_of(who.get("/insights/agreement.csv"))}
    about = agreement["which reply is better"]
    assert (about["Judged by two or more"], about["Judgements of these"]) == ("30", "60")
    assert float(about["Krippendorff's alpha"]) < 0.1  # nearly all say the same: that says little
    assert agreement["helpful"]["Krippendorff's alpha"].startswith("not enough yet (0 of")
    test = {row["Model"]: row for row in rows_of(who.get("/insights/blind-test.csv"))}
    assert (test["mira-2"]["Times"], test["mira-2"]["Guesses"], test["mira-2"]["Taken for real"]) == ("3", "4", "0.75")
    assert test["tiny"]["Times"] == "0" and float(test["tiny"]["To"]) > 0.4  # Wilson: 0 of 4 says little
    habits = rows_of(who.get("/insights/habits.csv"))
    assert habits[0]["Of"] == "60" and habits[1]["Share"] == ""
    assert "less than 4.0 seconds" in page


def test_whoever_only_looked_is_no_judge(person: Callable[..., Any], guest: Any, services: SiteServices) -> None:
    """Nor is whoever took back all that they said."""
    services.store.call(judged)
    page = person("viewer").get("/insights/").content.decode()
    counted = re.search(r"(\d+) (?:person|people) judged", page)
    assert counted
    for _ in range(3):
        guest("judge").get("/judge/")
    silent = services.store.call(judges.guest)
    taken_back = services.store.call(judgements.rate, 1, silent.id, Scale.HELPFUL, 3, face="web")
    services.store.call(undoing.withdraw, taken_back, silent.id)
    assert counted[0] in person("viewer", name="other").get("/insights/").content.decode()


def test_the_page_changes_with_the_next_judgement(person: Callable[..., Any], services: SiteServices) -> None:
    services.store.call(judged, 2)
    who = person("viewer")
    before = rows_of(who.get("/insights/standings.csv"))
    who.get("/insights/")
    services.store.call(undoing.withdraw, 1, judges_id(services))
    after = rows_of(who.get("/insights/standings.csv"))
    assert int(before[0]["Wins"]) + int(before[1]["Wins"]) == 4
    assert int(after[0]["Wins"]) + int(after[1]["Wins"]) == 3


def judges_id(services: SiteServices) -> int:
    return services.store.call(judges.of_account, 901).id


def test_what_was_written_is_for_the_owner_alone(
    person: Callable[..., Any], guest: Callable[[str], Any], services: SiteServices
) -> None:
    services.store.call(judged, 5)
    for who in (person("viewer"), guest("viewer")):
        page = who.get("/insights/").content.decode()
        assert "A private question" not in page and "Reply 3" not in page and "Worst replies" not in page
        assert who.get("/insights/worst/").status_code == 403
        assert who.get("/insights/worst.csv").status_code == 404
        assert who.get("/insights/judges.csv").status_code == 404
    assert person("judge").get("/insights/").status_code == 403  # knowing how it stands would sway them
    assert person().get("/insights/").status_code == 302
    owner = person("owner")
    page = owner.get("/insights/worst/?scale=helpful").content.decode()
    first = page.split("<article")[1]
    assert "Reply 3 of tiny" in first and "1.0 of 5" in first and "A private question 3?" in first
    assert MALICE not in page and "&lt;script&gt;" in page
    only = owner.get("/insights/worst/?scale=helpful&model=mira-2").content.decode()
    assert "of tiny</p>" not in only and "Reply 0 of mira-2" in only
    assert owner.get("/insights/worst/?scale=nonsense").status_code == 200
    worst = rows_of(owner.get("/insights/worst.csv?scale=helpful"))
    assert worst[0]["Reply"].startswith("Reply 3 of tiny\n") and worst[0]["Mean"] == "1.0"
    assert owner.get("/insights/nonsense.csv").status_code == 404


def test_measurements_stand_below_the_judgements(person: Callable[..., Any], services: SiteServices) -> None:
    fill(services.root)
    who = person("viewer")
    page = who.get("/insights/").content.decode()
    assert ">Measurements<" in page and "mira-2-aligned" in page
    likeness = rows_of(who.get("/insights/likeness.csv"))
    assert [(row["Model"], row["Likeness"]) for row in likeness] == [
        ("mira-2-aligned", "0.66"),
        ("mira-2", "0.61"),
        ("mira-1", "0.42"),
    ]
    losses = {row["Model"]: row for row in rows_of(who.get("/insights/losses.csv"))}
    assert losses["mira-2"]["At step"] == "120.0" and losses["mira-3"]["Steps"] == "33"


def test_what_machines_say_is_kept_apart(person: Callable[..., Any], services: SiteServices) -> None:
    from talkalike.store.tables import judging_tables

    services.store.call(judged, 3)
    services.store.call(lambda: judging_tables.Tally.objects.filter(model_b="tiny").update(kind=Kind.AI.value))
    page = person("viewer").get("/insights/").content.decode()
    assert "Standings, by AI judges" in page and "Nobody has compared two models yet." in page


def test_the_page_is_light_and_obeys_the_policy(person: Callable[..., Any], services: SiteServices) -> None:
    fill(services.root)
    services.store.call(judged)
    body = person("owner").get("/insights/").content.decode()
    assert len(body) < 150_000
    assert " style=" not in body and not re.search(r"\son\w+=", body) and "<style" not in body
    assert not re.search(r"<script(?![^>]*\ssrc=)", body)
    for table in re.findall(r"<table.*?</table>", body, re.S):
        ElementTree.fromstring(re.sub(r"&\w+;", "", table))


def test_csv_files_calculate_nothing() -> None:
    columns = (Column("Model"), Column("Number", str))
    table = Table(name="t", title="T", columns=columns, rows=[("=1+1", -1.5), ("@x", None), ('a"b,c\n', 2), ("-", 1)])
    assert list(csv.reader(io.StringIO(as_csv(table)))) == [
        ["Model", "Number"],
        ["'=1+1", "-1.5"],
        ["'@x", ""],
        ['a"b,c\n', "2"],
        ["'-", "1"],
    ]
