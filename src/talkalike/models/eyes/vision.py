"""A vision model of transformers, any image-text one by name: pictures and words in, words out.

Pictures are encoded once and kept by their hash; what was read of a conversation is kept too, compared token by token
with the pictures' hashes in the place of their tokens, which all have the same id. Never needs torchvision.
"""

from __future__ import annotations

import inspect
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talkalike.errors import TalkalikeError, UserError
from talkalike.models.precision import choose_device, choose_dtype
from talkalike.models.quiet import quiet_transformers
from talkalike.pictures.picture import Picture
from talkalike.pictures.pixels import frame_count, pixels_in_shape

MOST_FEATURES = 64 * 2**20  # bytes of encoded pictures that are kept
MOST_READ = 4  # conversations whose keys and values are kept
_SPLIT = frozenset({"idefics3", "smolvlm"})  # which cut a picture into tiles, and enlarge it for that
_ROWS_ALONE = frozenset({"idefics3", "smolvlm", "llava"})  # what they read of a picture is its rows, and no more
Key = int | tuple[str, int]  # a token, or the picture whose n-th token stands there


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionTurn:
    """A turn as the model reads it: `role`, and words and pictures in their order."""

    role: str
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeness:
    """How large pictures are shown: at most `longest` pixels, and cut into tiles or not."""

    name: str
    longest: int
    tiles: bool


GLANCE = Closeness(name="glance", longest=512, tiles=False)
LOOK = Closeness(name="look", longest=1024, tiles=True)
STUDY = Closeness(name="study", longest=2048, tiles=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionAnswer:
    """What the model wrote. `picture_tokens` of its prompt stood for pictures; `encoded` pictures were new."""

    text: str
    prompt_tokens: int
    picture_tokens: int
    encoded: int
    read: int  # tokens of the prompt that had not been read before


@dataclass(slots=True)
class _Read:
    """A conversation as it was read: what its keys and values stand for."""

    keys: list[Key]
    cache: Any


class VisionModel:
    """The model in memory. Safe to use from several threads: one writes at a time."""

    def __init__(self, folder: Path, *, device: str = "auto", dtype: str = "auto") -> None:
        """Raises UserError where the folder holds no image-text model that can be read."""
        # transformers: only where such a model is
        from transformers import AutoModelForImageTextToText

        quiet_transformers()
        place = choose_device(device)
        try:
            self._model = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=choose_dtype(dtype, place), local_files_only=True, use_safetensors=True
            )
            self._processor = _open_processor(folder)
        except (ValueError, OSError, KeyError, ImportError) as problem:
            reason = str(problem).strip().split("\n")[0][:200]
            raise UserError(
                f"{folder} holds no vision model that can be opened: {reason}",
                hint="Choose an image-text model of transformers, such as SmolVLM-256M-Instruct.",
            ) from problem
        self._model.to(place).eval().requires_grad_(False)
        self._kind = str(self._model.config.model_type)
        self._image_token = int(self._model.config.image_token_id)
        self._features: OrderedDict[tuple[str, int, str], Tensor] = OrderedDict()
        self._read: list[_Read] = []
        self._lock = threading.Lock()
        self.encodes = 0  # pictures encoded so far

    @property
    def context_length(self) -> int:
        """Tokens, pictures included."""
        return int(getattr(self._model.config.get_text_config(), "max_position_embeddings", 0) or 2048)

    @torch.inference_mode()
    def write(self, turns: Sequence[VisionTurn], closeness: Closeness, options: Mapping[str, Any]) -> VisionAnswer:
        """What the assistant says next. `options` are `generate`'s; `seed` sets where sampling begins.

        Raises TalkalikeError where the conversation does not fit.
        """
        with self._lock:
            pictures = [part for turn in turns for part in turn.parts if isinstance(part, Picture)]
            shown = [(picture, frame) for picture in pictures for frame in range(frame_count(picture))]
            inputs = self._inputs(turns, shown, closeness)
            ids = inputs["input_ids"]
            wanted = int(options.get("max_new_tokens", 0))
            if ids.shape[1] + wanted > self.context_length:
                raise TalkalikeError(
                    f"The pictures and words are {ids.shape[1]:,} tokens; with the answer there is room for "
                    f"{self.context_length:,}.",
                    hint="Show fewer pictures, or look less closely.",
                )
            if self._kind in _ROWS_ALONE:
                return self._write_remembering(inputs, shown, closeness, options)
            self.encodes += len(shown)
            text = self._generate(options, **inputs)
            picture_tokens = int((ids == self._image_token).sum())
            return VisionAnswer(
                text=text,
                prompt_tokens=ids.shape[1],
                picture_tokens=picture_tokens,
                encoded=len(shown),
                read=ids.shape[1],
            )

    def forget(self) -> None:
        """Nothing of conversations and pictures stays in memory."""
        with self._lock:
            self._features.clear()
            self._read.clear()

    # ------------------------------------------------------------------------------------------- what is kept
    def _write_remembering(
        self, inputs: dict[str, Tensor], shown: Sequence[tuple[Picture, int]], closeness: Closeness, options: Any
    ) -> VisionAnswer:
        before = self.encodes
        rows = [self._rows(picture, frame, closeness) for picture, frame in shown]
        ids = inputs["input_ids"]
        names = [f"{picture.hash}/{frame}/{closeness.name}" for picture, frame in shown]
        keys, starts = _keys(ids[0].tolist(), self._image_token, list(zip(names, map(len, rows), strict=True)))
        read = self._take(keys)
        ready = min(_common(read.keys, keys), len(keys) - 1) if read else 0
        ready = _not_inside_a_picture(keys, ready)
        cache = read.cache if read else self._new_cache()
        if surplus := cache.get_seq_length() - ready:
            cache.crop(-surplus)
        left = [row for row, start in zip(rows, starts, strict=True) if start >= ready]
        text, whole = self._generate_from(cache, inputs, left, options)
        # The last token was written, but not read.
        self._keep(_Read(keys=[*keys, *whole[0, ids.shape[1] :].tolist()][: cache.get_seq_length()], cache=cache))
        return VisionAnswer(
            text=text,
            prompt_tokens=len(keys),
            picture_tokens=sum(map(len, rows)),
            encoded=self.encodes - before,
            read=len(keys) - ready,
        )

    def _rows(self, picture: Picture, frame: int, closeness: Closeness) -> Tensor:
        """The frame as the language model reads it, (tokens, width)."""
        key = (picture.hash, frame, closeness.name)
        found = self._features.pop(key, None)
        if found is None:
            prepared = self._processor.image_processor(
                images=[[pixels_in_shape(picture, closeness.longest, frame)]],
                return_tensors="pt",
                **self._sizes(closeness),
            )
            takes = inspect.signature(self._model.get_image_features).parameters
            tensors = {name: self._moved(value) for name, value in prepared.items() if name in takes}
            encoded = self._model.get_image_features(**tensors, return_dict=True)
            found = torch.cat(list(encoded.pooler_output)).reshape(-1, encoded.pooler_output[0].shape[-1])
            self.encodes += 1
        self._features[key] = found  # the one used last stands last
        while sum(row.nbytes for row in self._features.values()) > MOST_FEATURES and len(self._features) > 1:
            self._features.popitem(last=False)
        return found

    def _take(self, keys: list[Key]) -> _Read | None:
        """The conversation that begins most alike, if it is worth it; it is the caller's until it is kept again."""
        best = max(self._read, key=lambda one: _common(one.keys, keys), default=None)
        if best is None or _common(best.keys, keys) == 0:
            return None
        self._read.remove(best)
        return best

    def _keep(self, read: _Read) -> None:
        self._read = [*self._read[-(MOST_READ - 1) :], read]

    def _new_cache(self) -> Any:
        from transformers import DynamicCache  # transformers: only where such a model is

        return DynamicCache(config=self._model.config.get_text_config())

    # ------------------------------------------------------------------------------------------- the model itself
    def _inputs(
        self, turns: Sequence[VisionTurn], shown: Sequence[tuple[Picture, int]], closeness: Closeness
    ) -> dict[str, Tensor]:
        messages = [{"role": turn.role, "content": [*_content(turn)]} for turn in turns]
        text = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        images = [pixels_in_shape(picture, closeness.longest, frame) for picture, frame in shown]
        if not images:
            found = self._processor.tokenizer([text], return_tensors="pt", add_special_tokens=False)
        else:
            found = self._processor(
                text=[text], images=[images], return_tensors="pt", add_special_tokens=False, **self._sizes(closeness)
            )
        return {name: self._moved(value) for name, value in found.items() if isinstance(value, Tensor)}

    def _sizes(self, closeness: Closeness) -> dict[str, Any]:
        """One tile stays one: what a family enlarges and cuts by itself is told not to."""
        if self._kind not in _SPLIT:
            return {}
        tile = self._processor.image_processor.max_image_size["longest_edge"]
        longest = min(closeness.longest, 4 * tile) if closeness.tiles else tile
        return {"do_image_splitting": closeness.tiles, "size": {"longest_edge": longest}}

    def _moved(self, value: Tensor) -> Tensor:
        value = value.to(self._model.device)
        return value.to(self._model.dtype) if value.is_floating_point() else value

    def _generate_from(
        self, cache: Any, inputs: dict[str, Tensor], rows: list[Tensor], options: Mapping[str, Any]
    ) -> tuple[str, Tensor]:
        from transformers.modeling_outputs import BaseModelOutputWithPooling  # transformers: only where such a model is

        features = {"image": BaseModelOutputWithPooling(pooler_output=[torch.cat(rows)])} if rows else {}
        ids = inputs["input_ids"]
        whole = self._sampled(
            options,
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=cache,
            mm_encoder_outputs=features,
        )
        return self._decode(whole[0, ids.shape[1] :]), whole

    def _generate(self, options: Mapping[str, Any], **inputs: Tensor) -> str:
        whole = self._sampled(options, **inputs)
        return self._decode(whole[0, inputs["input_ids"].shape[1] :])

    def _sampled(self, options: Mapping[str, Any], **inputs: Any) -> Tensor:
        chosen = dict(options)
        seed = chosen.pop("seed", None)
        with torch.random.fork_rng(devices=[self._model.device] if self._model.device.type == "cuda" else []):
            if seed is not None:
                torch.manual_seed(seed)
            found: Tensor = self._model.generate(
                **inputs, **chosen, use_cache=True, suppress_tokens=[self._image_token]
            )
        return found

    def _decode(self, ids: Tensor) -> str:
        return str(self._processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()


def _content(turn: VisionTurn) -> list[dict[str, Any]]:
    """Always a list of parts: some templates lose a plain text beside pictures."""
    parts: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, Picture):
            parts += [{"type": "image"}] * frame_count(part)
        else:
            parts.append({"type": "text", "text": part})
    return parts


def _open_processor(folder: Path) -> Any:
    """The processor, of what works without torchvision. SmolVLM's own wants to see videos: Idefics3's does the same."""
    # transformers: only where such a model is
    from transformers import AutoConfig, AutoProcessor, AutoTokenizer, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    if kind not in _SPLIT:
        return AutoProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    images = Idefics3ImageProcessorPil.from_pretrained(folder, local_files_only=True)
    own = folder / "processor_config.json"
    stated = json.loads(own.read_text(encoding="utf-8")) if own.is_file() else {}
    length = int(stated.get("image_seq_len") or 64)
    return Idefics3Processor(images, tokenizer, image_seq_len=length, chat_template=tokenizer.chat_template)


# ------------------------------------------------------------------------------------------------------- what was read
def _keys(ids: list[int], image_token: int, pictures: Sequence[tuple[str, int]]) -> tuple[list[Key], list[int]]:
    """The prompt with each picture's name and the number of its token where the model has one and the same id; and
    where each picture begins.

    `pictures`: their names, and how many tokens each has. Raises TalkalikeError where the two do not agree.
    """
    places = [place for place, one in enumerate(ids) if one == image_token]
    stands = [(name, number) for name, count in pictures for number in range(count)]
    if len(places) != len(stands):
        raise TalkalikeError(f"The prompt has {len(places)} tokens for pictures, and the pictures have {len(stands)}.")
    keys: list[Key] = [*ids]
    for place, key in zip(places, stands, strict=True):
        keys[place] = key
    return keys, [place for place, (_, number) in zip(places, stands, strict=True) if number == 0]


def _common(a: Sequence[Key], b: Sequence[Key]) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _not_inside_a_picture(keys: Sequence[Key], ready: int) -> int:
    """A place at or before `ready` at which no picture is cut in two."""
    while ready < len(keys) and isinstance(key := keys[ready], tuple) and key[1] > 0:
        ready -= 1
    return ready
