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


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_compiled_code_makes_nothing_of_size_s_squared(kind: str, seed: int):
    """One graph for any length, its largest tensor that of the activations; loss and gradients as with sdpa."""
    torch._dynamo.reset()
    sdpa, triangle = (build(kind, name, seed, num_hidden_layers=1) for name in ("sdpa", "triangle"))
    shapes: list[list[int]] = []

    def keep_shapes(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        class Shapes(torch.fx.Interpreter):
            def run_node(self, node: torch.fx.Node) -> Any:
                result = super().run_node(node)
                shapes.extend(list(t.shape) for t in (result,) if isinstance(t, torch.Tensor))
                return result

        return lambda *args: Shapes(graph).run(*args)

    compiled = torch.compile(triangle, backend=keep_shapes, fullgraph=True, dynamic=True)
    for batch in (flattened(seed), flattened(seed, return_flash_attn_kwargs=True)):
        losses = [model(**batch, use_cache=False).loss for model in (compiled, sdpa)]
        torch.testing.assert_close(losses[0], losses[1], rtol=TIGHT, atol=TIGHT)
        gradients = [torch.autograd.grad(loss, model.parameters()) for loss, model in zip(losses, (triangle, sdpa))]
        for mine, theirs in zip(*gradients):
            torch.testing.assert_close(mine, theirs, rtol=TIGHT, atol=TIGHT * float(theirs.abs().max()))
    s = sum(LENGTHS)
    assert [1, s, VOCAB] in shapes
    assert [shape for shape in shapes if shape.count(s) > 1] == []


def test_compiled_code_leaves_other_implementations_as_they_are(seed: int):
    torch._dynamo.reset()
    sdpa = build("mistral", "sdpa", seed, num_hidden_layers=1)
    batch = {**flattened(seed), "use_cache": False}
    compiled = torch.compile(sdpa, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(**batch).loss, sdpa(**batch).loss, rtol=TIGHT, atol=TIGHT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cu_seq_lens_k": None}, r"cu_seq_lens_k: expected beside cu_seq_lens_q, max_length_q, max_length_k"),
        ({"max_length_q": None}, r"max_length_q: expected beside cu_seq_lens_q"),
        ({"cu_seq_lens_q": torch.tensor([0, 4])}, r"cu_seq_k: expected cu_seq_q's 2 entries"),
        ({"attention_mask": torch.ones(1, 1, 5, 5).bool()}, r"attention_mask: expected None beside cu_seq_lens_q"),
        # A rule of the model's own: it cannot be told what else such a mask says.
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
