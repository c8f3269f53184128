"""Pictures in the website's chat as the double reads them: what an eye saw, looked at once."""

from __future__ import annotations

from typing import Any

from scripted_eyes import AnsweringEye
from talkalike.chat.looking import Onlooker
from talkalike.website.services import SiteServices
from test_website_chat import png
from website_chat import Talking, begin, say

pytest_plugins = ("website_site", "website_chat_site")


def test_what_an_eye_saw_in_pictures_is_told_once(person: Any, talking: Talking, services: SiteServices) -> None:
    engine = talking(("pretty",), ("it was red",), ("yes",))
    eye = AnsweringEye(lambda picture, ask: f"a picture of {picture.width} pixels")
    services.onlooker = Onlooker(eye)
    try:
        anna = person("judge")
        address = begin(anna, "look", pictures=[png("red"), png("blue")])
        (told,) = {line for line in engine.prompts[0].turns[0].text.split("\n") if line.startswith("[")}
        assert told.startswith("[picture: a picture of ") and engine.prompts[0].turns[0].text.endswith("look")
        say(anna, address, "what was it?")
        assert engine.prompts[1].turns[0] == engine.prompts[0].turns[0]
        assert len(eye.looked) == 2
    finally:
        services.onlooker = None
