"""Pictures of pages, for the docs and for looking at."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image
from playwright.async_api import Page

COLOURS = 160  # as many as a page needs; it keeps the files small


async def picture(page: Page, name: str, folder: Path | None = None, *, full_page: bool = False) -> None:
    """The page as `name`.png in `folder`; without one, where the environment's PICTURES says, or nowhere."""
    asked = os.environ.get("PICTURES")
    if folder is None and asked is None:
        return
    taken = await page.screenshot(caret="initial", full_page=full_page)  # hiding the caret takes a style
    with Image.open(io.BytesIO(taken)) as shot:
        small = shot.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save((folder or Path(asked or "")) / f"{name}.png", optimize=True)
