"""One chat told by several logs, and one nick that speaks for many: each message once, and by whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import succeed
from exports import imported, stored
from irc_logs import import_logs, spoken, told, write_logs
from talkalike.chats.archive import Archive
from talkalike.chats.bridges import BridgeWatch

ZNC = {
    "znc/#x/2020-03-02.log": "[09:59:00] *** Joins: ann (a@host)\n[10:00:12] <bob> hello there\n"
    "[10:01:30] <ann> hi bob\n[10:02:01] <bob> how are you\n[10:02:02] * bob waves\n[10:02:58] <ann> ok\n"
    "[10:03:04] <ann> ok\n[10:03:10] <bob> only here\n"
}
IRSSI = {
    "irssi/#x.log": "--- Log opened Mon Mar 02 10:00:00 2020\n10:00 <@bob> hello there\n10:01 < ann> hi bob\n"
    "10:01 < ann> only in irssi\n10:02 <@bob> how are you\n10:02  * bob waves\n10:02 < ann> ok\n10:03 < ann> ok\n"
}
BOTH = [
    "2020-03-02 10:00:12 text bob: hello there",
    "2020-03-02 10:01:30 text ann: hi bob",
    "2020-03-02 10:01:30 text ann: only in irssi",
    "2020-03-02 10:02:01 text bob: how are you",
    "2020-03-02 10:02:02 action bob: waves",
    "2020-03-02 10:02:58 text ann: ok",
    "2020-03-02 10:03:04 text ann: ok",
    "2020-03-02 10:03:10 text bob: only here",
]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "chats")


def test_two_loggers_of_one_channel_tell_each_message_once(archive):
    report = import_logs(archive, ZNC | IRSSI)
    assert spoken(archive, "irc:x") == BOTH
    assert (report.new, report.already_there) == (9, 6)
    again = import_logs(archive, {})
    assert (again.new, again.already_there) == (0, 15)


@pytest.mark.parametrize("first", [ZNC, IRSSI], ids=["seconds first", "minutes first"])
def test_two_loggers_imported_one_after_the_other(archive, tmp_path, first):
    second = IRSSI if first is ZNC else ZNC
    import_logs(archive, first)
    imported(write_logs(tmp_path / "later", second), archive=archive)
    found = [line.partition(" ")[2][9:] for line in spoken(archive, "irc:x")]
    assert found == [line.partition(" ")[2][9:] for line in BOTH]
    for folder in ("export", "later"):
        assert imported(tmp_path / folder, archive=archive).new == 0


def test_two_computers_of_any_name_are_no_two_networks_and_two_networks_stay_two(archive):
    talk = "[10:00:12] <bob> hello there\n[10:01:30] <ann> hi bob, all well?\n[10:02:01] <bob> how are you\n"
    other = "[10:00:12] <bob> hello there\n[10:01:30] <eve> something else\n[10:02:01] <dan> and not the same\n"
    report = import_logs(
        archive,
        {
            "laptop/#x/2020-03-02.log": talk,
            "server/#x/2020-03-02.log": talk.replace("[10:00:12]", "[10:00:15]"),
            "club/#x/2020-03-02.log": other,
            "oftc/#y/2020-03-02.log": talk,
            "efnet/#y/2020-03-02.log": talk,
        },
    )
    assert list(stored(archive)) == ["irc:club/x", "irc:efnet/y", "irc:laptop/x", "irc:oftc/y"]
    assert len(spoken(archive, "irc:laptop/x")) == 3
    assert report.notes == ("#x under server and under laptop is the same conversation: the logs were merged.",)


def test_loggers_in_two_time_zones(archive):
    here = "".join(f"[{10 + n // 60:02}:{n % 60:02}:07] <{'ann' if n % 2 else 'bob'}> message {n}\n" for n in range(90))
    there = "--- Log opened Mon Mar 02 04:00:00 2020\n" + "".join(
        f"{4 + n // 60:02}:{n % 60:02} <{'ann' if n % 2 else 'bob'}> message {n}\n" for n in range(45, 95)
    )
    import_logs(archive, {"znc/#x/2020-03-02.log": here, "irssi/#x.log": there})
    found = spoken(archive, "irc:x")
    assert [line.rpartition(" ")[2] for line in found] == [str(n) for n in range(95)]
    assert found[-1].startswith("2020-03-02 11:34:00")


def test_what_people_say_again_on_another_day_is_another_message(archive, tmp_path):
    day = "[08:00:00] <robot> good morning\n[08:00:01] <robot> the weather is fine\n[09:00:00] <ann> hi\n"
    import_logs(archive, {"#x/2020-03-02.log": day})
    imported(write_logs(tmp_path / "later", {"#x/2020-03-03.log": day}), archive=archive)
    assert len(spoken(archive, "irc:x")) == 6
    imported(write_logs(tmp_path / "third", {"znc/#x/2020-03-02.log": "[09:20:00] <ann> hi\n"}), archive=archive)
    assert len(spoken(archive, "irc:x")) == 7


words = st.sampled_from(["ok", "haha", "what is this", "no idea really", "see you", "one more thing", "yes"])
talk = st.lists(st.tuples(st.sampled_from(["ann", "bob", "cat"]), words, st.integers(5, 400)), min_size=4, max_size=30)


@settings(max_examples=40, deadline=None)
@given(talk, st.integers(-8, 8))
def test_any_talk_told_by_two_clocks_is_told_once(written, apart):
    second, fine, coarse = 36_000, [], ["--- Log opened Mon Mar 02 09:00:00 2020"]
    for nick, text, step in written:
        second += step
        there = second + apart
        fine.append(f"[{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}] <{nick}> {text}")
        coarse.append(f"{there // 3600:02}:{there // 60 % 60:02} <{nick}> {text}")
    if len({(nick, text) for nick, text, _ in written}) < len(written) / 2:
        return  # nothing but repetitions: which is which cannot be told, and nothing is left out
    with TemporaryDirectory() as folder:
        archive = Archive(Path(folder, "chats"))
        logs = {"znc/#x/2020-03-02.log": "\n".join(fine) + "\n", "irssi/#x.log": "\n".join(coarse) + "\n"}
        import_logs(archive, logs)
        (messages,) = stored(archive).values()
        once = [key for key in messages if [m.text for m in messages].count(key.text) == 1]
        told_in = [(nick, text) for nick, text, _ in written]
        assert all(told_in.count((m.author.name, m.text)) == 1 for m in once)
        assert len(messages) >= len(written)


BRIDGED = {
    "#club.log": "--- Log opened Mon Mar 02 10:00:00 2020\n10:00 <@relay> <alice> hello from over there\n"
    "10:01 <bob> hi alice\n10:01 <@relay> <carol> good morning\n10:02 <relay> [\u200balice] bob: brackets\n"
    "10:03 <bob> alice: fine\n10:04 <relay> [web] <Dan D.> another network\n10:05 <relay> I am a bot\n"
    "10:06 <bob> <alice> hello from over there (I quote)\n"
}


def test_bridged_messages_are_their_authors(archive):
    import_logs(archive, BRIDGED, bridges=["Relay"])
    assert [line.partition(" text ")[2] for line in told(archive)] == [
        "alice: hello from over there",
        "bob: hi alice",
        "carol: good morning",
        "alice: bob: brackets",
        "bob: alice: fine",
        "Dan D.: another network",
        "relay: I am a bot",
        "bob: <alice> hello from over there (I quote)",
    ]
    (messages,) = stored(archive).values()
    assert [m.reply_to for m in messages if m.reply_to] == ["bob", "alice"]
    (chat,) = Archive(archive.root).conversations()
    assert {person.name for person in chat.participants} == {"alice", "bob", "carol", "Dan D.", "relay"}


def test_a_bridge_named_later_changes_what_is_stored_and_is_remembered(archive):
    assert import_logs(archive, BRIDGED).new == 8
    report = import_logs(archive, BRIDGED, bridges=["relay"])
    assert (report.new, report.already_there, report.updated) == (0, 8, 4)
    longer = BRIDGED["#club.log"] + "10:07 <relay> <carol> later\n"
    report = import_logs(archive, {"#club.log": longer})
    assert (report.new, report.updated) == (1, 0)
    assert told(archive)[-1].endswith("carol: later")


def test_a_bridge_is_suspected_by_what_it_mostly_says(archive):
    import_logs(archive, BRIDGED)
    watch = BridgeWatch()
    (messages,) = stored(archive).values()
    for message in messages:
        watch.see(message)
    (bridge,) = watch.suspects()
    assert (bridge.name, bridge.messages, bridge.speaks_for) == ("relay", 4, ("alice", "carol", "Dan D."))


def test_people_names_the_bridge_and_what_to_do(tmp_path):
    root = tmp_path / "workspace"
    export = write_logs(tmp_path / "export", BRIDGED)
    succeed("init", root)
    succeed("import", export, "-w", root)
    out = " ".join(succeed("people", "-w", root).out.split())
    assert "relay seems to be a bot that relays others' messages: 4 of them, of alice, carol, Dan D." in out
    assert '--bridge "relay"' in out
    assert 'prepare --speaker "bob"' in out, "a bridge is nobody to learn from"
    succeed("import", export, "-w", root, "--bridge", "relay")
    assert succeed("people", "-w", root, "--json").json["bridges"] == []
