"""attn_implementation="triangle" in transformers' own models, against "eager": registration, logits, gradients, and
what is refused."""

from __future__ import annotations

import copy
import importlib.util
import sys
from typing import Any

import pytest
import torch
import transformers
import triangle_attn_op
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM, MistralConfig
from transformers_models import MARKS, MODELS, SIZES, TIGHT, VOCAB, Layer, build, padded, pair, record_calls, tokens
from triangle_attn_op.integrations import transformers as integration

pytestmark = MARKS


def loss_and_gradients(
    model: Any, x: Tensor, labels: Tensor | None = None, **inputs: Any
) -> tuple[Tensor, list[Tensor]]:
    model.zero_grad()
    loss = model(x, labels=x if labels is None else labels, **inputs).loss
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.parameters()]


def assert_same_training(eager: Any, triangle: Any, x: Tensor, tolerance: float, **inputs: Any) -> None:
    before = dict(triangle_attn_op.call_counts())
    loss, gradients = loss_and_gradients(triangle, x, **inputs)
    assert triangle_attn_op.call_counts() != before, "the operator was not called"
    expected_loss, expected = loss_and_gradients(eager, x, **inputs)
    torch.testing.assert_close(loss, expected_loss, rtol=tolerance, atol=tolerance)
    for gradient, reference in zip(gradients, expected):
        torch.testing.assert_close(gradient, reference, rtol=tolerance, atol=tolerance * float(reference.abs().max()))


# Registration


def test_import_registers_both_interfaces():
    assert AttentionInterface()["triangle"] is integration.triangle_attention_forward
    assert AttentionMaskInterface()["triangle"] is integration.triangle_mask


def test_too_old_a_transformers_is_an_import_error(monkeypatch: pytest.MonkeyPatch):
    # What an import statement finds now: transformers, a lazy module, may have put another object there since.
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "4.57.1")
    spec = importlib.util.spec_from_file_location("another_copy", integration.__file__)
    with pytest.raises(ImportError, match=r"expected transformers >= 5\.4\.0, got 4\.57\.1"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_can_be_switched_to_on_a_live_model(seed: int):
    eager, model = build("llama", "eager", seed), build("llama", "eager", seed)
    model.set_attn_implementation("triangle")
    x = tokens(seed, 2, 21)
    torch.testing.assert_close(model(x).logits, eager(x).logits, rtol=TIGHT, atol=TIGHT)


# Training


@pytest.mark.parametrize("kind", MODELS)
def test_logits_and_gradients(kind: str, seed: int):
    eager, triangle = pair(kind, seed)
    x = tokens(seed, 2, 37)
    torch.testing.assert_close(triangle(x).logits, eager(x).logits, rtol=TIGHT, atol=TIGHT)
    assert_same_training(eager, triangle, x, TIGHT)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("pads", [(6, 0, 13), (-6, 0, -13), (9, -4, 0)], ids=["left", "right", "both"])
def test_padding(kind: str, pads: tuple[int, ...], seed: int):
    # float32: eager's float64 mask overflows to NaN in rows that are all padding.
    eager, triangle = pair(kind, seed, torch.float32)
    x, mask = tokens(seed, 3, 37), padded(37, *pads)
    kept = mask.bool()
    torch.testing.assert_close(
        triangle(x, attention_mask=mask).logits[kept], eager(x, attention_mask=mask).logits[kept], rtol=1e-3, atol=1e-3
    )
    # Only pairs of a real token and its real successor count.
    labels = x.masked_fill(~kept, -100)
    labels[:, 1:] = labels[:, 1:].masked_fill(~kept[:, :-1], -100)
    assert_same_training(eager, triangle, x, 2e-3, labels=labels, attention_mask=mask)


@pytest.mark.parametrize("kind", ["gpt_oss", "gemma2"])
def test_sinks_and_softcap(kind: str, seed: int):
    """gpt-oss has sinks, Gemma 2 softcap, both windows in every other layer: logits, gradients, a cache, padding."""
    eager, triangle = pair(kind, seed, torch.float32)  # gpt-oss' experts take no float64
    x = tokens(seed, 2, 25)
    torch.testing.assert_close(triangle(x).logits, eager(x).logits, rtol=1e-3, atol=1e-3)
    assert_same_training(eager, triangle, x, 2e-3)
    steps = (model.generate(x[:1], max_new_tokens=6, do_sample=False, eos_token_id=None) for model in (triangle, eager))
    assert torch.equal(*steps)
    mask = padded(25, 6, -5)
    kept = mask.bool()
    padded_logits = (model(x, attention_mask=mask).logits[kept] for model in (triangle, eager))
    torch.testing.assert_close(*padded_logits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", MODELS)
def test_packed_documents_never_see_each_other(kind: str, seed: int):
    eager, triangle = pair(kind, seed)
    lengths = (5, 17, 1, 14)
    x = tokens(seed, 2, sum(lengths))
    positions = torch.cat([torch.arange(n) for n in lengths]).expand(2, -1)
    logits = triangle(x, position_ids=positions, use_cache=False).logits
    alone = torch.cat([triangle(document).logits for document in x.split(lengths, dim=1)], dim=1)
    torch.testing.assert_close(logits, alone, rtol=1e-9, atol=1e-9)
    assert_same_training(eager, triangle, x, TIGHT, position_ids=positions, use_cache=False)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("right_of_diagonal", [False, True])
def test_a_4d_float_mask_says_everything(kind: str, right_of_diagonal: bool, seed: int):
    """The user's own mask is added to the scores, as in eager: a bias, hidden pairs, and a prefix that sees itself both
    ways."""
    eager, triangle = pair(kind, seed, torch.float32)
    generator = torch.Generator().manual_seed(seed)
    bias = torch.randn(2, 1, 30, 30, generator=generator)
    hidden = torch.ones(30, 30, dtype=torch.bool).triu(1)
    if right_of_diagonal:
        hidden[:11, :11] = False
    mask = bias.masked_fill(hidden, torch.finfo(torch.float32).min)
    x = tokens(seed, 2, 30)
    torch.testing.assert_close(
        triangle(x, attention_mask=mask).logits, eager(x, attention_mask=mask).logits, rtol=1e-3, atol=1e-3
    )


def test_a_4d_bool_mask_says_everything(seed: int):
    sdpa, triangle = build("mistral", "sdpa", seed), build("mistral", "triangle", seed)
    mask = torch.rand(2, 1, 30, 30, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask |= torch.eye(30, dtype=torch.bool)
    x = tokens(seed, 2, 30)
    torch.testing.assert_close(
        triangle(x, attention_mask=mask).logits, sdpa(x, attention_mask=mask).logits, rtol=1e-9, atol=1e-9
    )


def test_gradient_checkpointing(seed: int):
    eager, triangle = pair("mistral", seed)
    for model in (eager, triangle):
        model.train()
        model.gradient_checkpointing_enable()
    assert_same_training(eager, triangle, tokens(seed, 2, 37), TIGHT, use_cache=False)


def test_attention_dropout(seed: int, monkeypatch: pytest.MonkeyPatch):
    model = build("llama", "triangle", seed, attention_dropout=0.25)
    seen = record_calls(monkeypatch)
    x = tokens(seed, 2, 37)
    model(x)
    model.train()
    torch.manual_seed(seed)
    first = model(x).logits
    torch.manual_seed(seed)
    again, other = model(x).logits, model(x).logits
    assert [call["dropout_p"] for call in seen] == [0.0] * 2 + [0.25] * 6
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("kind", MODELS)
def test_bfloat16_is_as_exact_as_eager(kind: str, seed: int):
    x = tokens(seed, 2, 61)
    with torch.no_grad():
        exact = build(kind, "eager", seed).bfloat16().double()(x).logits
        errors = [
            (build(kind, name, seed, torch.bfloat16)(x).logits.double() - exact).abs() for name in ("triangle", "eager")
        ]
    assert errors[0].mean() <= 2 * errors[1].mean() + torch.finfo(torch.bfloat16).eps
    assert errors[0].max() <= 3 * errors[1].max() + torch.finfo(torch.bfloat16).eps


def test_autocast_where_rotary_leaves_q_and_k_in_float32(seed: int):
    eager, triangle = pair("llama", seed, torch.float32)
    x = tokens(seed, 2, 61)
    with torch.no_grad():
        exact = eager(x).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            errors = [(model(x).logits.float() - exact).abs() for model in (triangle, eager)]
    assert errors[0].mean() <= 2 * errors[1].mean() + torch.finfo(torch.bfloat16).eps
    loss, gradients = torch.tensor(0.0), []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, gradients = loss_and_gradients(triangle, x)
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(("kind", "with_mask"), [("llama", True), ("mistral", False)])
def test_compile_fullgraph(kind: str, with_mask: bool, seed: int):
    torch._dynamo.reset()
    eager, triangle = pair(kind, seed, torch.float32)
    compiled = torch.compile(triangle, fullgraph=True, backend="aot_eager")
    x = tokens(seed, 2, 37)
    inputs = {"attention_mask": padded(37, -5, 0)} if with_mask else {}
    labels = x.masked_fill(inputs["attention_mask"] == 0, -100) if with_mask else x
    loss, gradients = loss_and_gradients(compiled, x, labels=labels, use_cache=False, **inputs)
    expected_loss, expected = loss_and_gradients(eager, x, labels=labels, use_cache=False, **inputs)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-4, atol=1e-4)
    for gradient, reference in zip(gradients, expected):
        torch.testing.assert_close(gradient, reference, rtol=2e-3, atol=2e-3 * float(reference.abs().max()))


# What is refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position_bias", torch.zeros(1, 2, 5, 5)),
        ("sinks", torch.zeros(2)),
        ("head_mask", torch.ones(2)),
        ("cache", object()),
        ("output_attentions", True),
        ("is_causal", False),
    ],
)
def test_unsupported_arguments_raise_and_are_named(name: str, value: Any):
    q = torch.randn(1, 2, 5, 8)
    with pytest.raises(NotImplementedError, match=rf"^{name}: "):
        integration.triangle_attention_forward(Layer(), q, q, q, None, **{name: value})
    integration.triangle_attention_forward(Layer(), q, q, q, None, **{name: True if name == "is_causal" else None})


def test_a_module_that_is_not_causal_raises():
    layer, q = Layer(), torch.randn(1, 2, 5, 8)
    layer.is_causal = False
    with pytest.raises(NotImplementedError, match=r"^is_causal: expected True"):
        integration.triangle_attention_forward(layer, q, q, q, None)
    integration.triangle_attention_forward(layer, q, q, q, None, is_causal=True)


def test_models_that_need_what_is_unsupported_raise(seed: int):
    x = tokens(seed, 1, 9)
    llama = build("llama", "triangle", seed)
    with pytest.raises(NotImplementedError, match="output_attentions"):
        llama(x, output_attentions=True)
    with pytest.raises(ValueError, match="output_attentions"):
        llama.config.output_attentions = True
    both_ways = build("llama", "triangle", seed, is_causal=False)
    with pytest.raises(NotImplementedError, match="is_causal"):
        both_ways(x)
    bert = transformers.BertConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(NotImplementedError, match="is_causal"):
        transformers.AutoModel.from_config(bert, attn_implementation="triangle")(x)


def test_a_window_the_layer_does_not_pass_on_raises():
    config = copy.copy(MistralConfig(**SIZES, sliding_window=4))
    q = torch.randn(1, 2, 5, 8)
    with pytest.raises(NotImplementedError, match=r"^sliding_window: Layer has a window of 4"):
        integration.triangle_attention_forward(Layer(config), q, q, q, None)
    integration.triangle_attention_forward(Layer(config), q[:, :, :4], q[:, :, :4], q[:, :, :4], None)


def test_malformed_masks_raise():
    q = torch.randn(1, 2, 5, 8)
    bad = [
        (torch.zeros(1, 1, 1, 5), ValueError, r"attention_mask: expected a shape of .*5, 5\], got \[1, 1, 1, 5\]"),
        (torch.ones(1, 5, dtype=torch.bool), ValueError, r"attention_mask: expected 4 dimensions"),
        (torch.ones(1, 1, 5, 6, dtype=torch.bool), ValueError, r"attention_mask: expected a shape"),
        (torch.ones(1, 1, 5, 5, dtype=torch.long), TypeError, r"attn_mask: expected bool"),
    ]
    for mask, error, message in bad:
        with pytest.raises(error, match=message):
            integration.triangle_attention_forward(Layer(), q, q, q, mask)


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_compiled_whole(kind: str) -> None:
    """Every number of these models is an attribute or a symbolic size: one graph."""
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=1, n_head=4, n_positions=128)
    else:
        config = transformers.Qwen3Config(**{**SIZES, "num_hidden_layers": 1}, head_dim=8)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="triangle").eval()
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    for length in (19, 26):
        x = tokens(0, 2, length)
        torch.testing.assert_close(compiled(x, use_cache=False).logits, model(x, use_cache=False).logits)


# torch.jit.trace


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("options", [{}, {"use_cache": False}, {"padding": True}], ids=["cache", "no cache", "padding"])
def test_traced_with_any_length(options: dict[str, Any], seed: int):
    class Logits(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return self.model(x, attention_mask=mask, use_cache="use_cache" not in options).logits

    eager, triangle = (Logits(model) for model in pair("llama", seed, torch.float32))

    def inputs(length: int) -> tuple[Tensor, ...]:
        x = tokens(seed + length, 2, length)
        return (x, padded(length, 3, 0)) if "padding" in options else (x,)

    with torch.no_grad():
        traced = torch.jit.trace(triangle, inputs(21), check_trace=False)
        for length in (21, 34):
            got, expected = traced(*inputs(length)), eager(*inputs(length))
            torch.testing.assert_close(got[:, 3:], expected[:, 3:], rtol=1e-3, atol=1e-3)
