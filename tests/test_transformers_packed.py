"""Packed documents under attn_implementation="triangle": by position_ids or by offsets, never as a mask of S x S."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DataCollatorWithFlattening
from transformers_models import MARKS, MODELS, TIGHT, VOCAB, Layer, build, pair, record_packed, tokens
from triangle_attn_op.integrations import transformers as integration
from triangle_attn_op.integrations._transformers_mask import CausalMask

pytestmark = MARKS
LENGTHS = (5, 17, 1, 14)


def flattened(seed: int, **options: Any) -> dict[str, Any]:
    documents = [{"input_ids": tokens(seed + i, n).tolist()} for i, n in enumerate(LENGTHS)]
    return dict(DataCollatorWithFlattening(return_tensors="pt", **options)(documents))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("by", ["position_ids", "offsets", "offsets, with a cache"])
def test_flattened_batches_train_as_with_sdpa(kind: str, by: str, seed: int, monkeypatch: pytest.MonkeyPatch):
    sdpa, triangle = build(kind, "sdpa", seed), build(kind, "triangle", seed)
    seen = record_packed(monkeypatch)
    batch = flattened(seed, return_flash_attn_kwargs=by != "position_ids")
    losses = []
    for model in (triangle, sdpa):
        loss = model(**batch, use_cache=model is triangle and "cache" in by).loss
        loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(losses[0], losses[1], rtol=TIGHT, atol=TIGHT)
    for mine, theirs in zip(triangle.parameters(), sdpa.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=TIGHT, atol=TIGHT * float(theirs.grad.abs().max()))
    assert seen == [[0, 5, 22, 23, 37]] * 2


def test_documents_of_several_rows(seed: int, monkeypatch: pytest.MonkeyPatch):
    eager, triangle = pair("mistral", seed)
    seen = record_packed(monkeypatch)
    positions = torch.stack([torch.arange(20) % 20, torch.arange(20) % 13])
    x = tokens(seed, 2, 20)
    got, expected = (model(x, position_ids=positions, use_cache=False).logits for model in (triangle, eager))
    torch.testing.assert_close(got, expected, rtol=TIGHT, atol=TIGHT)
    assert seen == [[0, 20, 33, 40]] * 2


def test_compiled_code_is_right_with_a_written_mask(seed: int):
    torch._dynamo.reset()
    eager, triangle = pair("llama", seed, torch.float32, num_hidden_layers=1)
    batch = flattened(seed)
    compiled = torch.compile(triangle.model, backend="eager", fullgraph=True)
    given = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"], "use_cache": False}
    got, expected = (model(**given).last_hidden_state for model in (compiled, eager.model))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cu_seq_lens_k": None}, r"cu_seq_lens_k: expected beside cu_seq_lens_q, max_length_q, max_length_k"),
        ({"max_length_q": None}, r"max_length_q: expected beside cu_seq_lens_q"),
        ({"cu_seq_lens_q": torch.tensor([0, 4])}, r"cu_seq_k: expected cu_seq_q's 2 entries"),
        ({"attention_mask": torch.ones(1, 1, 5, 5).bool()}, r"attention_mask: expected None beside cu_seq_lens_q"),
        # What compiled code makes of packed positions: it cannot be told what else such a mask says.
        ({"attention_mask": CausalMask((1, 1, 5, 5), written=torch.ones(1, 1, 5, 5).bool())}, r"attention_mask: expec"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str):
    q = torch.randn(1, 2, 5, 8)
    offsets = torch.tensor([0, 2, 5])
    given = {"cu_seq_lens_q": offsets, "cu_seq_lens_k": offsets, "max_length_q": 3, "max_length_k": 3}
    mask = change.pop("attention_mask", None)
    with pytest.raises(ValueError, match=message):
        integration.triangle_attention_forward(Layer(), q, q, q, mask, **{**given, **change})
    integration.triangle_attention_forward(Layer(), q, q, q, None, **given)


def test_padding_beside_offsets_is_refused(seed: int):
    model, batch = build("llama", "triangle", seed), flattened(seed, return_flash_attn_kwargs=True)
    padding = torch.ones_like(batch["input_ids"])
    padding[:, :2] = 0
    with pytest.raises(ValueError, match="attention_mask: expected None beside cu_seq_lens_q"):
        model(**batch, attention_mask=padding)
    assert int(batch["input_ids"].max()) < VOCAB
