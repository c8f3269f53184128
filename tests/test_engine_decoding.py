"""Text from tokens: whatever the tokens, only whole characters come out, and all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkalike.engine.decoding import text_decoder
from talkalike.examples.render import Renderer
from tiny_model import byte_level_tokenizer, unigram_tokenizer

BYTE_LEVEL = byte_level_tokenizer()
RENDERER = Renderer(BYTE_LEVEL)
UNIGRAM = unigram_tokenizer()

chatty = st.text(
    st.one_of(st.sampled_from("ěščřžýáíé😂🧑‍🚀👍🏽 \nåß"), st.characters(exclude_categories=("Cs",))), max_size=40
)


@given(chatty)
def test_every_piece_is_whole_and_nothing_is_lost(text):
    decoder = text_decoder(BYTE_LEVEL)
    shown = ""
    for token in RENDERER.encode_text(text):
        shown += decoder.push(token)
        assert text.startswith(shown)
    assert shown == text


def test_a_character_of_several_tokens_is_held_back():
    ids = RENDERER.encode_text("🧀")  # not in the training text, so it is several tokens
    decoder = text_decoder(BYTE_LEVEL)
    assert [decoder.push(token) for token in ids] == [""] * (len(ids) - 1) + ["🧀"]
    assert len(ids) > 1


@given(st.lists(st.integers(3, BYTE_LEVEL.get_vocab_size() - 1), max_size=40))
def test_any_tokens_decode_as_the_tokenizer_does(ids):
    decoder = text_decoder(BYTE_LEVEL)
    shown = "".join(decoder.push(token) for token in ids)
    whole = BYTE_LEVEL.decode(ids, skip_special_tokens=False)
    assert whole.rstrip("�") == shown.rstrip("�")  # at the end half a character shows nothing
    assert whole.startswith(shown)


@pytest.mark.parametrize("text", ["hello there", "how are you today", "ok"])
def test_vocabularies_with_word_marks(text):
    ids = UNIGRAM.encode(text, add_special_tokens=False).ids
    decoder = text_decoder(UNIGRAM)
    assert "".join(decoder.push(token) for token in ids) == UNIGRAM.decode(ids) == text
