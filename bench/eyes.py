"""What looking costs: a phone's photo made ours, the small eye's tags and text, and the memory that it adds.

    python bench/eyes.py [--eye FOLDER] [--rounds 5]

Processor seconds, for other work does not change them much; memory is what the process holds more than before.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image, ImageDraw

from talkalike.models.eyes.fetching import fetch_small_eye
from talkalike.models.eyes.kinds import describe_kind
from talkalike.models.eyes.lite0 import SIDE, load_lite0, load_names, shares
from talkalike.models.eyes.reading import open_reader
from talkalike.pictures.normalising import normalise
from talkalike.pictures.pixels import pixels, pixels_in_shape
from talkalike.workspace.eyes import EyeCatalog

PHONE = (4032, 3024)  # 12 megapixels


def photo(size: tuple[int, int]) -> bytes:
    """A JPEG with as much detail as a photograph: smooth noise, and writing on it."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).text(
        (size[0] // 8, size[1] // 3), "the 18 leaves at 9:40", fill="white", font_size=size[1] // 20
    )
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue()


def seconds(work: Callable[[], Any], rounds: int) -> float:
    """The median processor time of it, after one round that does not count."""
    work()
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return round(statistics.median(taken), 3)


def held() -> int:
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eye", type=Path, help="folder of the small eye; fetched where it is not given")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.eye
        if folder is None:
            catalog = EyeCatalog(Path(scratch))
            fetch_small_eye(catalog, say=lambda _: None)
            folder = catalog.path("small")
        data = photo(PHONE)
        torch.zeros(1).softmax(0)
        before = held()
        network, names = load_lite0(folder), load_names(folder)
        picture = normalise(photo((1600, 1200)))
        tags = seconds(lambda: describe_kind(shares(network, pixels(picture, SIDE)[None])[0], names), options.rounds)
        with_tags = held()
        read = open_reader()
        found = {
            "megabytes_of_the_photo": round(len(data) / 1e6, 1),
            "normalise_12_megapixels": seconds(lambda: normalise(data), options.rounds),
            "tags": tags,
            "memory_mb_of_tags": round((with_tags - before) / 2**20),
        }
        if read is not None:
            found["text"] = seconds(lambda: read(pixels_in_shape(picture, 1024)), options.rounds)
            found["memory_mb_with_text"] = round((held() - before) / 2**20)
            found["text_read"] = read(pixels_in_shape(picture, 1024))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
