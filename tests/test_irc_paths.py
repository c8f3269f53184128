"""The path reader of IRC logs: network, window and day come apart, in every client's layout."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from talkalike.chats.importers.irc.paths import network_key, place_of

# As the clients' manuals give them. {n} network, {w} window, {y} {m} {d} the day.
WITH_DATES = {
    "irssi, by year": "irclogs/{y}/{n}/{w}.{m}-{d}.log",
    "irssi, by day": "irclogs/{n}/{w}-{y}-{m}-{d}.log",
    "irssi, a folder for each": "irclogs/{n}/{w}/{y}-{m}-{d}.log",
    "irssi, by logrotate": "irclogs/{n}/{w}.log-{y}{m}{d}",
    "irssi, rotated by hand": "irclogs/{n}/{w}.log.{y}{m}{d}",
    "WeeChat, by day": "logs/irc/{n}/{w}/{y}-{m}-{d}.weechatlog",
    "WeeChat, by year and month": "weechat/logs/{y}/{m}/{n}/{w}.{d}.weechatlog",
    "HexChat, by day": "hexchat/logs/{n}/{w}/{y}{m}{d}.log",
    "mIRC, with folders": "mIRC/logs/{n}/{w}.{y}{m}{d}.log",
    "ZNC 1.6, by network": "users/me/networks/{n}/moddata/log/{w}/{y}-{m}-{d}.log",
    "ZNC 1.6, by user": "users/me/moddata/log/{n}/{w}/{y}-{m}-{d}.log",
    "ZNC 1.6, for all": "moddata/log/me/{n}/{w}/{y}-{m}-{d}.log",
    "Ubuntu's archive": "{n}/{y}/{m}/{d}/{w}.txt",
    "Textual": "Logs/{n} (1A2B3C4D)/Channels/{w}/{y}-{m}-{d}.txt",
    "Pidgin": "purple/logs/irc/me@{n}/{w}.chat/{y}-{m}-{d}.101500+0100CET.txt",
}
WITHOUT_DATES = {
    "irssi": ".irssi/irclogs/{n}/{w}.log",
    "irssi, by logrotate": "irclogs/{n}/{w}.log.2",
    "HexChat": ".config/hexchat/logs/{n}/{w}.log",
    "The Lounge": ".thelounge/logs/me/{n}/{w}.log",
    "The Lounge, with an id": "logs/me/{n}-5b0f-4f86-9ad0-9a1f6b1f0c2d/{w}.log",
}
# Channels only: the window's own name shows where it begins.
IN_ONE_NAME = {
    "WeeChat": "logs/irc.{n}.{w}.weechatlog",
    "XChat": "xchatlogs/{n}-{w}.log",
    "Konversation": "konversation/logs/{n}_{w}.log",
    "ZNC 1.0": "moddata/log/{n}_{w}_{y}{m}{d}.log",
    "LimeChat": "LimeChat/{w}/{y}-{m}-{d}_{n}.txt",
}

networks = st.sampled_from(["Freenode", "libera", "EFnet", "OFTC", "QuakeNet", "work", "chat-at-home"])
names = st.from_regex(r"[a-z][a-z0-9\[\]^`|-]{0,12}[a-z\]]", fullmatch=True)
channels = st.builds("{}{}".format, st.sampled_from(["#", "##"]), names)
days = st.dates(date(1995, 1, 1), date(2035, 12, 31))


def written(layout: str, network: str, window: str, day: date) -> str:
    """The path a client would write."""
    return layout.format(n=network, w=window, y=f"{day:%Y}", m=f"{day:%m}", d=f"{day:%d}")


@pytest.mark.parametrize("layout", WITH_DATES.values(), ids=list(WITH_DATES))
@given(networks, channels | names.filter(lambda nick: len(nick) > 2), days)
def test_the_parts_come_back_apart(layout, network, window, day):
    assume(window not in ("all", "old", "new", "irc", "log", "logs"))
    place = place_of(written(layout, network, window, day))
    assert (network_key(place.network), place.window) == (network_key(network), window)
    assert place.day == day


@pytest.mark.parametrize("layout", WITHOUT_DATES.values(), ids=list(WITHOUT_DATES))
@given(networks, channels | names.filter(lambda nick: len(nick) > 2))
def test_layouts_without_a_date(layout, network, window):
    assume(window not in ("all", "old", "new", "irc", "log", "logs"))
    place = place_of(written(layout, network, window, date(2000, 1, 1)))
    assert (network_key(place.network), place.window, place.day) == (network_key(network), window, None)


@pytest.mark.parametrize("layout", IN_ONE_NAME.values(), ids=list(IN_ONE_NAME))
@given(networks, channels, days)
def test_a_channel_beside_its_network_in_one_name(layout, network, channel, day):
    place = place_of(written(layout, network, channel, day))
    assert (network_key(place.network), place.window) == (network_key(network), channel)
    assert place.day in (None, day)


everywhere = st.sampled_from([*WITH_DATES.values(), *WITHOUT_DATES.values()])


@given(everywhere, networks, networks, channels | names, channels | names, days, days)
def test_two_windows_are_never_one_and_two_days_of_one_always_are(layout, net, net2, window, window2, day, day2):
    def key(network: str, name: str, at: date) -> tuple[str, str]:
        place = place_of(written(layout, network, name, at))
        return network_key(place.network), place.window or place.family

    assert key(net, window, day) == key(net, window, day2)
    if (net, window) != (net2, window2):
        assert key(net, window, day) != key(net2, window2, day)


@pytest.mark.parametrize(
    ("path", "network", "window", "day"),
    [
        ("2012-05-06-#c.log", "", "#c", date(2012, 5, 6)),
        ("2020_05_06_#c.txt", "", "#c", date(2020, 5, 6)),
        ("#c.08Nov2010.log", "", "#c", date(2010, 11, 8)),
        ("chan.log.08Nov2010", "", "chan", date(2010, 11, 8)),
        ("chan.log.yesterday", "", "chan", None),
        ("2008/01/02/%23ubuntu-cz.txt", "", "#ubuntu-cz", date(2008, 1, 2)),
        ("logs/#c.QuakeNet.log", "quakenet", "#c", None),
        ("logs/#c.QuakeNet.20100308.log", "quakenet", "#c", date(2010, 3, 8)),
        ("logs/#ruby.cz.log", "", "#ruby.cz", None),
        ("logs/bob.QuakeNet.log", "quakenet", "bob", None),
        ("xchatlogs/FreeNode-bob.log", "freenode", "bob", None),
        ("irc.libera.bob.weechatlog", "libera", "bob", None),
        ("irc.server.libera.weechatlog", "libera", "server", None),
        ("irc.chat.freenode.net.#c.weechatlog", "freenode", "#c", None),
        ("Libera.Chat/##c.log", "libera", "##c", None),
        ("irc.oftc.net/#c.log", "oftc", "#c", None),
        ("irclogs/Freenode/#c-2020-03.log", "freenode", "#c", date(2020, 3, 1)),
        ("2019/Freenode/#c.log", "freenode", "#c", date(2019, 1, 1)),
        ("irclogs/2020/Freenode/#c.01-31.log", "freenode", "#c", date(2020, 1, 31)),
        ("irclogs/Freenode/#c.01-31.log", "freenode", "#c.01-31", None),  # of which year? then it is a name
        ("#debconf-2019.log", "", "#debconf-2019", None),
        ("home/me/irclogs/#c.log", "", "#c", None),
        ("znc/#c/2020-03-02.log", "", "#c", date(2020, 3, 2)),
        ("backup/freenode/old/#c.log", "freenode", "#c", None),
        ("&local.log", "", "&local", None),
    ],
)
def test_paths_as_people_have_them(path, network, window, day):
    place = place_of(path)
    assert (network_key(place.network), place.window, place.day) == (network, window, day)


def test_the_exports_own_name_tells_a_network_only_where_it_is_one():
    assert place_of("#c.log", "Freenode").network == "Freenode"
    assert place_of("#c.log", "irc.example.org").network == "irc.example.org"
    assert place_of("#c.log", "Downloads").network == ""
    assert place_of("2020-01-01.log", "club").window == "club"
    assert not place_of("2020-01-01.log", "club").sure
