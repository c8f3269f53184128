"""The drawings of the tasks that are shipped: how they were made. Run it to write them anew."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).resolve().parent.parent / "src" / "talkalike" / "chat" / "seeing" / "drawings"
WIDTH, HEIGHT = 192, 144


def house() -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), (190, 225, 250))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 104, WIDTH, HEIGHT), fill=(110, 170, 90))
    pen.ellipse((140, 12, 176, 48), fill=(255, 214, 60))
    pen.rectangle((52, 66, 112, 116), fill=(200, 60, 50))
    pen.polygon([(44, 66), (82, 36), (120, 66)], fill=(110, 60, 50))
    pen.rectangle((74, 88, 90, 116), fill=(90, 50, 30))
    return image


def boat() -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), (225, 238, 250))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 96, WIDTH, HEIGHT), fill=(40, 90, 160))
    pen.polygon([(50, 90), (142, 90), (124, 112), (68, 112)], fill=(110, 70, 40))
    pen.line((92, 24, 92, 90), fill=(70, 50, 40), width=3)
    pen.polygon([(96, 26), (96, 82), (138, 82)], fill=(250, 250, 245))
    return image


def grey() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))


DRAWINGS = {"house": house, "boat": boat, "grey": grey}


def as_jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.jpg").write_bytes(as_jpeg(draw()))
