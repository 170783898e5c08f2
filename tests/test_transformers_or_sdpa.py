"""attn_implementation="triangle_or_sdpa": what the operator is not for goes to sdpa, by the user's word only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
import triangle_attn_op
from transformers import AutoModel, AutoModelForSeq2SeqLM
from transformers_models import MARKS, VOCAB, Layer, padded, tokens
from triangle_attn_op.integrations import transformers as integration

pytestmark = MARKS
ADVICE = r'use attn_implementation="triangle_or_sdpa".*\{"text_config": "triangle", "vision_config": "sdpa"\}'


def bart() -> Any:
    return transformers.BartConfig(
        vocab_size=VOCAB, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64,
    )  # fmt: skip


def t5() -> Any:
    return transformers.T5Config(
        vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0
    )


def whisper() -> Any:
    return transformers.WhisperConfig(
        vocab_size=VOCAB, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, num_mel_bins=8,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_source_positions=20,
        max_target_positions=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip


def clip() -> Any:
    part = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return transformers.CLIPConfig(
        text_config={**part, "vocab_size": VOCAB, "max_position_embeddings": 32, "eos_token_id": VOCAB - 1},
        vision_config={**part, "image_size": 8, "patch_size": 4},
    )


def make(config: Any, implementation: Any, auto: Any = AutoModelForSeq2SeqLM) -> Any:
    torch.manual_seed(0)
    model = auto.from_config(config, attn_implementation=implementation).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape) * 0.2)
    return model


def inputs(kind: str, seed: int) -> dict[str, Any]:
    target = tokens(seed, 2, 9)
    if kind == "whisper":
        return {"input_features": torch.randn(2, 8, 40), "labels": target}
    return {"input_ids": tokens(seed + 1, 2, 13), "attention_mask": padded(13, -4, 0), "labels": target}


@pytest.mark.parametrize(("config", "causal_layers"), [(bart, 2), (t5, 0), (whisper, 2)], ids=["bart", "t5", "whisper"])
def test_encoder_decoder(config: Callable[[], Any], causal_layers: int, seed: int):
    auto = transformers.AutoModelForSpeechSeq2Seq if config is whisper else AutoModelForSeq2SeqLM
    sdpa, model = make(config(), "sdpa", auto), make(config(), "triangle_or_sdpa", auto)
    batch = inputs(config.__name__, seed)
    calls = sum(triangle_attn_op.call_counts().values())
    got = model(**batch)
    assert sum(triangle_attn_op.call_counts().values()) - calls == causal_layers, "T5's layers have a position bias"
    expected = sdpa(**batch)
    torch.testing.assert_close(got.logits, expected.logits, rtol=1e-3, atol=1e-3)
    for out in (got, expected):
        out.loss.backward()
    for mine, theirs in zip(model.parameters(), sdpa.parameters()):
        if theirs.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-6 + 1e-3 * float(theirs.grad.max()))
    del batch["labels"]
    options = {"max_new_tokens": 6, "do_sample": False, "num_beams": 2}
    for cache in ("dynamic", "static"):
        made = [m.generate(**batch, **options, cache_implementation=cache) for m in (model, sdpa)]
        assert torch.equal(*made)


@pytest.mark.parametrize("config", [bart, t5, whisper], ids=["bart", "t5", "whisper"])
def test_never_without_being_asked_to(config: Callable[[], Any], seed: int):
    auto = transformers.AutoModelForSpeechSeq2Seq if config is whisper else AutoModelForSeq2SeqLM
    with pytest.raises(NotImplementedError, match=rf"^is_causal: .*{ADVICE}|^position_bias: .*triangle_or_sdpa"):
        make(config(), "triangle", auto)(**inputs(config.__name__, seed))


def test_parts_of_a_vision_language_model(seed: int):
    batch = {"input_ids": tokens(seed, 2, 9), "pixel_values": torch.randn(2, 3, 8, 8)}
    with pytest.raises(NotImplementedError, match=rf"^is_causal: .*{ADVICE}.*got CLIPAttention"):
        make(clip(), "triangle", AutoModel)(**batch)
    expected = make(clip(), "sdpa", AutoModel)(**batch).logits_per_image
    for named in ({"text_config": "triangle", "vision_config": "sdpa"}, "triangle_or_sdpa"):
        calls = sum(triangle_attn_op.call_counts().values())
        torch.testing.assert_close(make(clip(), named, AutoModel)(**batch).logits_per_image, expected)
        assert sum(triangle_attn_op.call_counts().values()) - calls == 2


@pytest.mark.parametrize("name", ["s_aux", "softcap", "cache", "cu_seq_lens_q"])
def test_what_sdpa_would_ignore_is_refused(name: str):
    q, layer = torch.randn(1, 2, 5, 8), Layer()
    layer.is_causal = False
    with pytest.raises(NotImplementedError, match=rf"^{name}: not supported"):
        integration.triangle_or_sdpa_forward(layer, q, q, q, None, **{name: torch.ones(2)})
    out, _ = integration.triangle_or_sdpa_forward(layer, q, q, q, None)
    torch.testing.assert_close(out.transpose(1, 2), torch.nn.functional.scaled_dot_product_attention(q, q, q))
