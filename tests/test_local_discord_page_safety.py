"""The page of the local Discord keeps out other sites and scripts, and can be read and used by everybody."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect

from discord_page import DiscordPage, browser, message, page, write

pytestmark = pytest.mark.asyncio(loop_scope="module")
__all__ = ["browser", "page"]  # fixtures


# ---------------------------------------------------------------------------------------------------------- the door
async def _token(session: aiohttp.ClientSession, base: str) -> str:
    async with session.get(f"{base}/page") as answer:
        return (await answer.text()).partition('name="page-token" content="')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"Origin": "{base}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"X-Page-Token": "wrong"}, 403),
        ({"X-Page-Token": ""}, 403),
    ],
)
async def test_only_the_page_itself_may_act(page: DiscordPage, changed: dict[str, str], status: int) -> None:
    base = page.server.base_url
    async with aiohttp.ClientSession() as session:
        headers = {"X-Page-Token": await _token(session, base)}
        headers |= {name: value.replace("{base}", base) for name, value in changed.items()}
        order = {
            "as": str(page.table.anna.id),
            "action": "typing",
            "args": {"channel_id": str(page.table.general.id)},
        }
        async with session.post(f"{base}/page/act", json=order, headers=headers) as answer:
            assert answer.status == status, await answer.text()
        socket_headers = {k: v for k, v in headers.items() if k != "X-Page-Token"}
        query = {"as": str(page.table.anna.id), "token": headers["X-Page-Token"]}
        if status == 200:
            async with session.ws_connect(f"{base}/page/ws", params=query, headers=socket_headers) as socket:
                assert (await socket.receive_json())["t"] == "snapshot"
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{base}/page/ws", params=query, headers=socket_headers)
            assert refused.value.status == 403


async def test_a_foreign_name_does_not_even_get_the_page(page: DiscordPage) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{page.server.base_url}/page", headers={"Host": "rebound.example"}) as answer:
            assert answer.status == 403
            assert "page-token" not in await answer.text()
        for name in ("../page.py", "%2e%2e%2fpage.py", "index.html"):
            async with session.get(f"{page.server.base_url}/page/static/{name}") as answer:
                assert answer.status == 404


async def _act(
    page: DiscordPage, session: aiohttp.ClientSession, user_id: int, action: str, args: Any
) -> tuple[int, Any]:
    base = page.server.base_url
    headers = {"X-Page-Token": await _token(session, base)}
    order = {"as": str(user_id), "action": action, "args": args}
    async with session.post(f"{base}/page/act", json=order, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_what_a_person_may_not_see_is_not_sent_and_cannot_be_reached(page: DiscordPage) -> None:
    table = page.table
    secret = table.world.send(table.ben.id, table.private.id, "the secret plan")
    async with aiohttp.ClientSession() as session:
        query = {"as": str(table.carl.id), "token": await _token(session, page.server.base_url)}
        async with session.ws_connect(f"{page.server.base_url}/page/ws", params=query) as socket:
            snapshot = await socket.receive_str()
            table.world.send(table.ben.id, table.private.id, "more of it")
            table.world.send(table.ben.id, table.general.id, "in the open")
            following = await socket.receive_str()
        assert "secret plan" not in snapshot and "back-room" not in snapshot
        assert json.loads(following)["message"]["content"] == "in the open"
        place = {"channel_id": str(table.private.id)}
        for action, args in [
            ("send", {**place, "content": "hi"}),
            ("history", {**place, "before": str(secret.id)}),
            ("commands", place),
            ("react", {"message_id": str(secret.id), "emoji": "👍"}),
            ("edit", {"message_id": str(secret.id), "content": "mine"}),
            ("delete", {"message_id": str(secret.id)}),
        ]:
            status, answer = await _act(page, session, table.carl.id, action, args)
            assert (status, bool(answer["error"])) == (403, True), (action, answer)
    assert [m.content for m in table.private.messages.values()] == ["the secret plan", "more of it"]


@pytest.mark.parametrize(
    ("action", "args"),
    [
        ("send", {}),
        ("send", {"channel_id": "12a", "content": "x"}),
        ("send", {"channel_id": "١٢", "content": "x"}),
        ("send", {"channel_id": 7, "content": "x"}),
        ("invoke", {"channel_id": "1", "command_id": "2", "path": ["a", "b", "c"], "values": {}}),
        ("build", {}),
        ("send", []),
    ],
)
async def test_nonsense_is_refused_in_words(page: DiscordPage, action: str, args: Any) -> None:
    async with aiohttp.ClientSession() as session:
        status, answer = await _act(page, session, page.table.anna.id, action, args)
        assert status == 400
        assert "Reload the page." in answer["error"]
        status, answer = await _act(page, session, page.table.bot_id, "send", {})
        assert (status, answer["error"]) == (400, "There is no such person here. Choose who you are again.")


async def test_a_file_over_the_cap_is_told(page: DiscordPage) -> None:
    page.table.world.faults.upload_cap = 1000
    anna = await page.open_as(page.table.anna)
    file = {"name": "big.bin", "mimeType": "application/octet-stream", "buffer": b"x" * 1001}
    await anna.locator("#file-input").set_input_files([file])
    await write(anna, "here it comes")
    await expect(anna.locator("#trouble")).to_contain_text("too large")
    await expect(anna.get_by_label("Message", exact=True)).to_have_value("here it comes")
    assert not page.table.general.messages
    page.problems.clear()  # the browser notes the 413 in its console


# ----------------------------------------------------------------------------------------------- nothing of it is HTML
EVIL = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'


async def test_nothing_that_is_written_becomes_markup(page: DiscordPage) -> None:
    table = page.table
    table.ben.global_name = table.server.members[table.ben.id].nick = EVIL
    table.world.add_channel(table.server, EVIL, topic=EVIL)
    sent = table.world.send(
        table.ben.id, table.general.id, f"{EVIL} ```{EVIL}``` **{EVIL}** [{EVIL}](https://a.example)"
    )
    table.world.send(table.ben.id, table.general.id, "[x](javascript:alert(1)) <javascript:alert(1)>", reply_to=sent.id)
    table.world.send(table.ben.id, table.general.id, "f", attachments=[("a.svg", b"<svg onload='window.hit=1'/>")])
    anna = await page.open_as(table.anna, viewport={"width": 1300, "height": 800})
    await expect(anna.locator("#messages .message")).to_have_count(3)
    await anna.get_by_role("button", name="<img src").first.click()
    assert await anna.locator("img, body script").count() == 0
    assert await anna.locator("a[href^=javascript]").count() == 0
    assert await anna.evaluate("window.hit") is None
    refused = await anna.evaluate("try { document.body.innerHTML = '<b>x</b>'; 'let in' } catch (e) { e.name }")
    assert refused == "TypeError"  # the page's own policy forbids markup from text
    assert len(page.problems) == 1 and "TrustedHTML" in page.problems.pop()  # and the browser says so
    svg = next(iter(list(table.general.messages.values())[-1].attachments))
    address = f"{page.server.base_url}/attachments/{svg.channel_id}/{svg.id}/{svg.filename}"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


MARKDOWN = {
    "**b** *i* _i_ __u__ ~~s~~": "<p><strong>b</strong> <em>i</em> <em>i</em> <u>u</u> <s>s</s></p>",
    "***both*** **a *b* c**": "<p><strong><em>both</em></strong> <strong>a <em>b</em> c</strong></p>",
    "snake_case_name 2 * 3 * 4": "<p>snake_case_name 2 * 3 * 4</p>",
    "\\*plain\\* `**code**` ``a`b``": "<p>*plain* <code>**code**</code> <code>a`b</code></p>",
    "**open and *crossed": "<p>**open and *crossed</p>",
    "> one\n> two\nthree": "<blockquote><p>one\ntwo</p></blockquote><p>three</p>",
    ">>> one\ntwo": "<blockquote><p>one\ntwo</p></blockquote>",
    "# Big\n-# small": '<h3 class="md-h1">Big</h3><p class="md-small">small</p>',
    "#tag": "<p>#tag</p>",
    "- a\n- b\n1. c": '<ul class="md-list"><li class="level-0">a</li><li class="level-0">b</li></ul>'
    '<ol class="md-list" start="1"><li class="level-0">c</li></ol>',
    "a\n```py\nx = '**'\n```b": '<p>a</p><pre tabindex="0" aria-label="Code: py"><span class="code-language" '
    "aria-hidden=\"true\">py</span><code>x = '**'</code></pre><p>b</p>",
    "<@1>": '<p><span class="mention" data-user="1">@someone (1)</span></p>',
}


async def test_markdown(page: DiscordPage) -> None:
    anna = await page.open_as(page.table.anna)
    script = """async (text) => {
        const { markdown } = await import("/page/static/markdown_view.js");
        const box = document.createElement("div");
        box.append(...markdown(text));
        return [box.innerHTML, box.textContent];
    }"""
    for text, wanted in MARKDOWN.items():
        assert (await anna.evaluate(script, text))[0] == wanted, text
    assert (await anna.evaluate(script, "[bank](https://evil.example/x)"))[1] == "bank (https://evil.example/x)"
    html = (await anna.evaluate(script, "see https://a.example/b_(c)_d. (https://e.example)"))[0]
    assert 'href="https://a.example/b_(c)_d"' in html and 'href="https://e.example/"' in html
    parsed = "async (text) => (await import('/page/static/markdown.js')).parse(text).length"
    for hard in (
        "*",
        "[",
        "> ",
        "`",
        "||",
        "_a",
        "**_",
        "*a ",
        "__*a",
    ):  # slow ones run into the time limit
        assert await anna.evaluate(parsed, hard * (4000 // len(hard))) >= 1


async def test_a_spoiler_is_hidden_until_it_is_opened(page: DiscordPage) -> None:
    table = page.table
    sent = table.world.send(table.ben.id, table.general.id, "it is ||the butler|| in **bold**")
    table.world.send(table.carl.id, table.general.id, "oh", reply_to=sent.id)
    anna = await page.open_as(table.anna)
    await expect(anna.get_by_text("the butler")).to_be_hidden()
    await expect(message(anna, "oh").locator(".quoted-text")).to_have_text("it is (spoiler) in bold")
    await anna.get_by_role("button", name="Spoiler, press to show").press("Enter")
    await expect(anna.get_by_text("the butler")).to_be_visible()


# ------------------------------------------------------------------------------------------------- for everybody to use
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const part = c[i] / 255;
    return sum + weight * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    const seen = node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!seen || !text.textContent.trim() || node.closest(":disabled, .unseen, noscript, option")) continue;
    const [a, b] = [light(rgba(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${text.textContent}`);
  }
  return bad;
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, a[href]")]
  .filter((node) => node.checkVisibility() && !node.labels?.length && !node.getAttribute("aria-label")
    && !(node.matches("button, a") && node.textContent.trim()) && !node.querySelector("img[alt]"))
  .map((node) => node.outerHTML)"""


def everything(page: DiscordPage) -> None:
    table, world = page.table, page.table.world
    first = world.send(
        table.ben.id, table.general.id, f"<@{table.anna.id}> `code` <#{table.other.id}> https://a.example"
    )
    world.send(
        table.anna.id, table.general.id, "> quote\n[m](https://a.example)\n-# small\n```py\nx\n```", reply_to=first.id
    )
    world.react(table.anna.id, first.id, "👍")
    world.send(table.carl.id, table.general.id, "file", attachments=[("a.txt", b"a")])
    world.create_thread(table.ben.id, table.general.id, "Side talk", first.id)
    world.send(table.ben.id, table.other.id, f"<@{table.anna.id}> there")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 360])
async def test_contrast_names_and_width(page: DiscordPage, scheme: str, width: int) -> None:
    everything(page)
    anna = await page.open_as(page.table.anna, color_scheme=scheme, viewport={"width": width, "height": 700})
    await expect(message(anna, "file")).to_be_visible()
    assert await anna.evaluate(CONTRAST) == []
    assert await anna.evaluate(NAMELESS) == []
    assert await anna.evaluate("document.documentElement.scrollWidth") <= width
    if width == 360:
        await anna.get_by_role("button", name="Servers and channels").click()
        assert await anna.evaluate(CONTRAST) == []
        await anna.get_by_role("button", name="other 1 mentions").click()
        await expect(anna.locator("#places")).to_be_hidden()
        await expect(message(anna, "there")).to_be_visible()


async def test_everything_by_keyboard(page: DiscordPage) -> None:
    table = page.table
    for number in range(3):
        table.world.send(table.ben.id, table.general.id, f"line {number}")
    anna = await page.open_as(table.anna)
    await message(anna, "line 2").focus()
    await anna.keyboard.press("ArrowUp")
    await expect(message(anna, "line 1")).to_be_focused()
    await anna.keyboard.press("Enter")
    await expect(anna.get_by_role("menuitem", name="Reply")).to_be_focused()
    await anna.keyboard.press("Escape")
    await expect(message(anna, "line 1")).to_be_focused()
    await anna.keyboard.press("Enter")
    await anna.keyboard.press("Enter")
    await expect(anna.get_by_label("Message", exact=True)).to_be_focused()
    await anna.keyboard.type("answer")
    await anna.keyboard.press("Enter")
    await expect(message(anna, "answer").locator(".quoted")).to_contain_text("line 1")
    await anna.keyboard.press("ArrowUp")
    await anna.keyboard.press("Escape")
    await expect(anna.get_by_label("Message", exact=True)).to_have_value("")


async def test_older_messages_are_fetched_and_a_lost_connection_comes_back(page: DiscordPage) -> None:
    table = page.table
    for number in range(70):
        table.world.send(table.ben.id, table.general.id, f"number {number:03d}")
    anna = await page.open_as(table.anna)
    await expect(anna.locator("#messages .message")).to_have_count(60)
    await anna.get_by_role("button", name="Show older messages").click()
    await expect(anna.locator("#messages .message")).to_have_count(70)
    await expect(anna.get_by_role("button", name="Show older messages")).to_be_hidden()

    await page.server.close()
    await expect(anna.get_by_text("The connection to the local server is lost")).to_be_visible()
    await page.server.start()  # on the same port, with a new token: the page loads itself anew
    await expect(anna.get_by_text("The connection to the local server is lost")).to_be_hidden()
    await write(anna, "back again")
    await expect(message(anna, "back again")).to_be_visible()
    page.problems.clear()  # refused connections, as they should be
