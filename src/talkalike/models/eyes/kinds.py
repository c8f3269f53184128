"""What the small eye says it sees: the network's 1,000 kinds gathered into those that people speak of.

The network was taught 118 breeds of dogs, but no rose, no person and no planet. So what is
said first is a family of kinds, whose shares are added up, and the kind itself only as a guess beside it. Where it is
sure of neither, the small eye says nothing. The thresholds were chosen on cut-outs of 430 things; of 111 answers to 384
other pictures, 105 were right (docs/lab-notebook.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SURE = 0.7  # of a family, by the shares of its kinds together
SURE_OF_KIND = 0.8  # of a kind that belongs to no family
PERHAPS = 0.5  # from here on the kind is named beside its family
_PAGES = frozenset({"website", "comic book", "dust jacket", "menu", "crossword"})  # what any page looks like

_WITHOUT_ARTICLE = frozenset(
    {"fish", "bread", "squash", "guacamole", "carbonara", "wool", "hay", "espresso", "broccoli"}
)

# Numbers of the network's kinds, as ranges (both ends belong to them) or alone.
_Members = tuple[int | tuple[int, int], ...]
FAMILIES: tuple[tuple[str, _Members], ...] = (
    ("fish", (0, 1, (389, 397))),
    ("shark", ((2, 4),)),
    ("bird", ((7, 24), (80, 100), (127, 146))),
    ("salamander", ((25, 29),)),
    ("frog", ((30, 32),)),
    ("turtle", ((33, 37),)),
    ("lizard", ((38, 48),)),
    ("crocodile", (49, 50)),
    ("snake", ((52, 68),)),
    ("spider", ((72, 77),)),
    ("crab", ((118, 121), 125)),
    ("dog", ((151, 268),)),
    ("wolf or wild dog", ((269, 275),)),
    ("fox", ((277, 280),)),
    ("cat", ((281, 285),)),
    ("big cat", ((286, 293),)),
    ("bear", ((294, 297),)),
    ("beetle", ((300, 307),)),
    ("insect", ((300, 326),)),
    ("butterfly", ((321, 326),)),
    ("rabbit or hare", ((330, 332),)),
    ("horse", (339, 603)),
    ("pig", ((341, 342),)),
    ("cow or ox", ((345, 347), 690)),
    ("horned animal", ((345, 353),)),
    ("camel or llama", ((354, 355),)),
    ("weasel or otter", ((356, 360),)),
    ("ape", ((365, 369),)),
    ("monkey", ((370, 382),)),
    ("elephant", (101, 385, 386)),
    ("panda", (387, 388)),
    ("animal", ((0, 50), (52, 397))),
    ("aeroplane", (404, 895, 908)),
    ("bicycle", (444, 671)),
    ("motorcycle or scooter", (665, 670)),
    ("car", (407, 436, 468, 511, 581, 609, 627, 656, 661, 734, 751, 817)),
    ("lorry", (555, 569, 675, 717, 864, 867)),
    ("bus", (654, 779, 874)),
    ("train", (466, 547, 565, 705, 820, 829)),
    ("boat or ship", (403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914)),
    ("guitar or banjo", (402, 420, 546)),
    ("string instrument", (402, 420, 486, 546, 594, 889)),
    ("wind instrument", (432, 513, 558, 566, 683, 684, 699, 776, 875)),
    ("piano", (579, 881)),
    ("ball", (429, 430, 522, 574, 722, 768, 805, 852, 890)),
    ("clock or watch", (409, 530, 531, 826, 892)),
    ("computer", (508, 526, 527, 590, 620, 664, 673, 681, 782)),
    ("telephone", (487, 528, 707)),
    ("gun", (413, 763, 764)),
    ("hat", (439, 515, 808, 667)),
    ("helmet", (518, 560)),
    ("shoe", (502, 514, 630, 770, 774)),
    ("cup or mug", (504, 505, 968, 967)),
    ("bottle", (440, 720, 737, 898, 907)),
    ("pot or pan", (469, 521, 544, 567, 909)),
    ("mushroom", (947, (991, 997))),
    ("bread", (930, 931, 932)),
    ("squash", ((939, 942),)),
    ("citrus fruit", (950, 951)),
    ("church, mosque or temple", (442, 497, 663, 668, 832)),
    ("bridge", (821, 839, 888)),
    ("mountain", (970, 972, 979, 980)),
    ("sea shore", ((975, 978),)),
    ("flower", (985, 986)),
)


def describe_kind(shares: NDArray[np.float32], names: Sequence[str]) -> str:
    """What one picture shows, by the network's shares (1000,); empty where it is not sure enough to say anything."""
    best = int(shares.argmax())
    if names[best] in _PAGES:
        return ""
    around = [(name, numbers) for name, numbers in _FAMILIES if best in numbers]
    for family, numbers in around:  # the narrowest first
        if shares[numbers].sum() >= SURE:
            named = _with_article(family)
            return f"{named}, perhaps {_with_article(names[best])}" if shares[best] >= PERHAPS else named
    return _with_article(names[best]) if not around and shares[best] >= SURE_OF_KIND else ""


def _with_article(name: str) -> str:
    name = name.partition(" (")[0]
    if name in _WITHOUT_ARTICLE or (name.endswith("s") and not name.endswith("ss")):
        return name
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _numbers(members: _Members) -> list[int]:
    found: list[int] = []
    for member in members:
        found += [member] if isinstance(member, int) else range(member[0], member[1] + 1)
    return found


_FAMILIES = sorted(((name, _numbers(members)) for name, members in FAMILIES), key=lambda family: len(family[1]))
