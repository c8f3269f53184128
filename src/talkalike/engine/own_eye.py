"""An eye with weights of its own: a text model, and the connector or gated layers that were trained for it.

A picture goes through the encoder once, whatever is asked about it, and what the model read of a task's examples is
kept: a question with the same ones reads its own picture and words alone. Everything computes in one thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from talkalike.engine.cache import PicturePlace, PrefixCache
from talkalike.engine.decoding import text_decoder
from talkalike.engine.eyes import OWN_SIGHT, Grade, Looked, Sight
from talkalike.engine.passes import SHARED_ATTENTION, Shared
from talkalike.engine.protocol import ContextTooLongError, Sampling
from talkalike.engine.sampling import choose, penalise_repetition
from talkalike.errors import UserError
from talkalike.models.eyes.adapter import SeeingAdapter
from talkalike.models.eyes.files import KIND, EyeAbout, check_width, load_adapter
from talkalike.models.eyes.grid import GRID_VERSION, picture_grids
from talkalike.models.eyes.lite0 import Lite0, load_lite0
from talkalike.models.eyes.seen import IMAGE, SeenByTokens
from talkalike.models.forward import logits
from talkalike.models.int8 import keep_in_int8
from talkalike.models.load import LoadedModel, load_for_inference
from talkalike.models.own_attention import has_own_attention
from talkalike.pictures.picture import Picture
from talkalike.workspace.cards import Catalog

MOST_IMAGES = OWN_SIGHT.max_images  # of one question, its examples' included
PREFIXES = 4  # kept, the latest used
SEEN_BYTES = 64 * 2**20  # of pictures as the model sees them
_IMAGE, _END = "<image>", "<|endofchunk|>"


@dataclass(slots=True)
class EyeWork:
    """What was computed so far: pictures that were encoded, and tokens that the model read."""

    encoded: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A text with pictures as the model reads it. `places`: what stands where pictures are; `media_NKD`: as seen."""

    ids: list[int]
    places: list[PicturePlace]
    media_NKD: Tensor


class OwnEye:
    """A `ContinuingEye` in this process."""

    def __init__(self, loaded: LoadedModel, adapter: SeeingAdapter, about: EyeAbout, *, encoder: Lite0) -> None:
        """Raises UserError where the adapter does not fit the model."""
        check_width(about, loaded.model, loaded.name)
        if has_own_attention(loaded.model) or loaded.is_encoder_decoder or loaded.soft_prompt_PD is not None:
            raise UserError(f"'{loaded.name}' cannot see with an eye of its own.", hint="Choose a causal model.")
        self.work = EyeWork()
        self._loaded, self._adapter, self._about, self._encoder = loaded, adapter, about, encoder
        self._seen: OrderedDict[str, Tensor] = OrderedDict()
        self._prefixes: list[PrefixCache] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="eye")

    @property
    def name(self) -> str:
        return f"{self._loaded.name} with {self._about.shape.kind} on {self._about.encoder}"

    @property
    def sight(self) -> Sight:
        return OWN_SIGHT

    async def look(self, picture: Picture, *, grade: Grade = Grade.GLANCE, ask: str = "") -> Looked:
        """What it says of the picture as it was trained to, or after `ask`; the likeliest words."""
        text = f"{_IMAGE}{ask.strip() or self._about.prompt}"
        return await self.go_on(text, (picture,), Sampling(temperature=0, repetition_penalty=1), grade=grade)

    async def go_on(
        self, text: str, pictures: tuple[Picture, ...], sampling: Sampling, *, grade: Grade = Grade.GLANCE
    ) -> Looked:
        """What follows on `text`, up to the end of the chunk. Raises UserError for too many pictures or words."""
        sampling.check()
        if sampling.best_of > 1:
            raise UserError("This eye does not choose the best of several answers.", hint="Set best_of to 1.")
        if text.count(_IMAGE) != len(pictures):
            raise UserError(
                f"There are {len(pictures)} pictures for {text.count(_IMAGE)} places.",
                hint=f"Write {_IMAGE} once for each picture.",
            )
        if len(pictures) > MOST_IMAGES:
            raise UserError(f"This eye takes at most {MOST_IMAGES} pictures at once.", hint="Show fewer examples.")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._go_on, text, pictures, sampling)

    async def close(self) -> None:
        """Ends its thread and frees what was kept."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._seen.clear()
        self._prefixes.clear()

    # ---------------------------------------------------------------------------------------------- in its own thread
    @torch.inference_mode()
    def _go_on(self, text: str, pictures: tuple[Picture, ...], sampling: Sampling) -> Looked:
        began = time.monotonic()
        written = self._written(text, pictures)
        room = self._loaded.context_length - len(written.ids)
        if room < 1:
            raise ContextTooLongError(
                f"The pictures and words take {len(written.ids):,} tokens, and this eye reads "
                f"{self._loaded.context_length:,} at once.",
                hint="Show fewer examples, or ask in fewer words.",
            )
        cache = self._prefix(written)
        start = cache.keep_common_prefix(written.ids[:-1], written.places)
        logits_V = self._read(cache, written.ids[start:], written)
        generator = torch.Generator()
        if sampling.seed is not None:
            generator.manual_seed(sampling.seed)
        else:
            generator.seed()
        used_V = torch.zeros(len(logits_V), dtype=torch.bool)
        decoder, words = text_decoder(self._loaded.tokenizer), ""
        for number in range(min(sampling.max_tokens, room)):
            token = choose(penalise_repetition(logits_V, used_V, sampling.repetition_penalty), sampling, generator)
            if token == self._about.end:
                break
            used_V[token] = True
            words += decoder.push(token)
            if number + 1 < min(sampling.max_tokens, room):
                logits_V = self._read(cache, [token], written)
        self._prefixes = [cache, *self._prefixes][:PREFIXES]
        return Looked(
            words=words.strip(), sure=bool(words.strip()), seconds=time.monotonic() - began, tokens=len(written.places)
        )

    def _written(self, text: str, pictures: tuple[Picture, ...]) -> _Written:
        ids: list[int] = []
        places: list[PicturePlace] = []
        waiting = iter(pictures)
        for number, after in enumerate(text.split(_IMAGE)):
            if number:
                hash_ = next(waiting).hash
                places += [PicturePlace(hash_, place) for place in range(self._adapter.places)]
                ids += [IMAGE] * self._adapter.places
            for chunk, piece in enumerate(after.split(_END)):
                ids += [self._about.end] if chunk else []
                ids += self._loaded.tokenizer.encode(piece, add_special_tokens=False).ids if piece else []
        return _Written(ids=ids, places=places, media_NKD=self._media(pictures))

    def _media(self, pictures: Sequence[Picture]) -> Tensor:
        """The pictures as the model sees them; the encoder looks at those alone that it did not see yet."""
        new = list({one.hash: one for one in pictures if one.hash not in self._seen}.values())
        if new:
            grids_NMC = torch.stack(list(picture_grids(self._encoder, new)))
            self.work.encoded += len(new)
            media_NKD = self._adapter.media(grids_NMC.float().to(self._loaded.model.device))
            self._seen |= {one.hash: media_KD for one, media_KD in zip(new, media_NKD.unbind(), strict=True)}
        found = [self._seen[one.hash] for one in pictures]
        for one in pictures:
            self._seen.move_to_end(one.hash)
        while len(self._seen) > 1 and sum(media.nbytes for media in self._seen.values()) > SEEN_BYTES:
            self._seen.popitem(last=False)
        return torch.stack(found) if found else torch.empty(0, self._adapter.places, self._about.shape.width)

    def _prefix(self, written: _Written) -> PrefixCache:
        """The memory that has most of it already, taken from those kept; an empty one where none has any."""
        shared = [cache.common_prefix(written.ids, written.places) for cache in self._prefixes]
        if not any(shared):
            return PrefixCache(self._loaded.model)
        return self._prefixes.pop(shared.index(max(shared)))

    def _read(self, cache: PrefixCache, ids: list[int], written: _Written) -> Tensor:
        """Reads these tokens after what the memory holds; the logits (V) after the last of them."""
        network, each = self._loaded.model, self._adapter.places
        ids_T = torch.tensor(ids, device=network.device)
        is_place_T = ids_T == IMAGE
        before_T = is_place_T.cumsum(0) + len(cache.places)
        seen = SeenByTokens(
            media_NKD=written.media_NKD,
            picture_T=(before_T + each - 1) // each - 1,
            place_T=torch.where(is_place_T, (before_T - 1) % each, -1),
        )
        positions_T = torch.arange(cache.length, cache.length + len(ids), device=network.device)
        cache.intact = False
        logits_1V = logits(
            network,
            self._adapter.embedded(network, ids_T, seen),
            positions_T,
            torch.tensor([len(ids) - 1], device=network.device),
            attends=SHARED_ATTENTION,
            beside=self._adapter.beside(seen),
            shared=Shared(caches=(cache,), lengths=(len(ids),)),
        )
        cache.tokens += ids
        cache.places += written.places[len(cache.places) : len(cache.places) + int(is_place_T.sum())]
        cache.intact = True
        self.work.read += len(ids)
        return logits_1V[0].float().cpu()


def open_own_eye(
    catalog: Catalog, name: str, *, encoder: Path, model: str = "", dtype: str = "auto", int8: bool = False
) -> OwnEye:
    """The eye of this name before its base, or before another model of the same sizes; `encoder`: the small eye's
    folder. `int8`: the model's matrices are kept in 8 bits. Raises UserError where something is missing."""
    card = catalog.card(name)
    if card.kind != KIND:
        raise UserError(f"'{name}' is no eye.", hint="Train one: talkalike train --eye …")
    adapter, about = load_adapter(catalog.path(name))
    if about.encoder != GRID_VERSION:
        raise UserError(
            f"The eye '{name}' was trained on '{about.encoder}', and this version looks by '{GRID_VERSION}'.",
            hint="Train it again: talkalike train --eye …",
        )
    loaded = load_for_inference(catalog.path(model or card.base), catalog=catalog, dtype=dtype)
    if int8:
        keep_in_int8(loaded.model)
    adapter.to(loaded.model.device)
    return OwnEye(loaded, adapter, about, encoder=load_lite0(encoder))
