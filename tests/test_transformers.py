"""attn_implementation="triangle" in transformers' own models, against "eager": logits, gradients, generated tokens, and
what is refused."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
import triangle_attn_op
from torch import Tensor
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForCausalLM,
    DynamicCache,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    StaticCache,
    masking_utils,
)
from transformers.masking_utils import (
    and_masks,
    causal_mask_function,
    chunked_causal_mask_function,
    or_masks,
    packed_sequence_mask_function,
    sdpa_mask,
    sliding_window_causal_mask_function,
)
from triangle_attn_op.integrations import transformers as integration

transformers.logging.set_verbosity_error()
pytestmark = pytest.mark.xdist_group("transformers")  # the import is slow: once is enough

VOCAB, WINDOW = 96, 7
TIGHT = 1e-4  # against eager in float64, whose softmax is float32 all the same
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=WINDOW),
    # The first layer sees everything, the second a window.
    "qwen2": lambda: Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
}
MODELS = list(CONFIGS)


@pytest.fixture(autouse=True)
def one_thread(two_threads: None) -> None:
    """The models are tiny: more threads would only wait for each other."""
    torch.set_num_threads(1)


def build(kind: str, implementation: str, seed: int, dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
    """A tiny model whose attention is far from uniform; the same weights for the same seed, whatever the
    implementation."""
    config = CONFIGS[kind]()
    for name, value in changes.items():
        setattr(config, name, value)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.to(dtype).eval()


def pair(kind: str, seed: int, dtype: torch.dtype = torch.float64, **changes: Any) -> tuple[Any, Any]:
    return build(kind, "eager", seed, dtype, **changes), build(kind, "triangle", seed, dtype, **changes)


def tokens(seed: int, *shape: int) -> Tensor:
    return torch.randint(1, VOCAB, shape, generator=torch.Generator().manual_seed(seed + 1))


def padded(length: int, *pads: int) -> Tensor:
    """int64 [B, length]: a row for each pad, positive from the left, negative from the right."""
    mask = torch.ones(len(pads), length, dtype=torch.long)
    for row, pad in zip(mask, pads):
        row[: max(pad, 0)] = 0
        row[length + min(pad, 0) :] = 0
    return mask


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


@pytest.mark.parametrize("kind", ["llama", "mistral"])
@pytest.mark.parametrize("with_mask", [False, True])
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


# Generation


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("prompt", [3, 19], ids=["shorter than the window", "longer"])
def test_greedy_generation_gives_the_same_tokens(kind: str, cache: str, prompt: int, seed: int):
    for s in range(seed, seed + 3):
        eager, triangle = pair(kind, s, torch.float32)
        x = tokens(s, 3, prompt)
        for mask in (torch.ones_like(x), padded(prompt, 2, 0, 1)):
            options = {"attention_mask": mask, "max_new_tokens": 20, "do_sample": False, "cache_implementation": cache}
            assert_same_tokens(eager, triangle.generate(x, **options), eager.generate(x, **options), mask)


def assert_same_tokens(eager: Any, got: Tensor, expected: Tensor, mask: Tensor) -> None:
    """Equal, or apart only from where eager's own logits are a tie within rounding, which fresh seeds do meet."""
    for row, (mine, theirs) in enumerate(zip(got, expected)):
        differing = (mine != theirs).nonzero()
        if len(differing) == 0:
            continue
        first = int(differing[0])
        seen = torch.cat([mask[row], mask.new_ones(first - mask.shape[1])])
        logits = eager(theirs[None, :first], attention_mask=seen[None]).logits[0, -1]
        assert (logits[theirs[first]] - logits[mine[first]]).abs() < 1e-4, f"row {row}, position {first}"


def test_beam_search_gives_the_same_tokens():
    seed = 11  # fixed: beams that tie within rounding are not told from wrong ones
    eager, triangle = pair("mistral", seed, torch.float32)
    x = tokens(seed, 2, 11)
    options = {"attention_mask": padded(11, 4, 0), "max_new_tokens": 12, "num_beams": 3, "do_sample": False}
    assert torch.equal(triangle.generate(x, **options), eager.generate(x, **options))


CACHES = {
    "dynamic": lambda config: DynamicCache(config=config),
    "dynamic, every layer whole": lambda config: DynamicCache(),
    "static": lambda config: StaticCache(config=config, max_cache_len=48),
    "static, just enough": lambda config: StaticCache(config=config, max_cache_len=29),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("chunks", [(1, 6, 1, 1, 20), (3, 9, 2, 14, 1), (8, 21)], ids=str)
def test_chunked_prefill(kind: str, cache: str, chunks: tuple[int, ...], seed: int):
    """A prompt fed in pieces of any length, single tokens among them, through every cache, gives the logits of the
    whole."""
    eager, triangle = pair(kind, seed, torch.float32)
    x, mask = tokens(seed, 2, 29), padded(29, 5, 0)
    kept = mask.bool()
    with torch.no_grad():
        expected = eager(x, attention_mask=mask, use_cache=False).logits[kept]
        for given in (None, mask):
            past, pieces, begin = CACHES[cache](triangle.config), [], 0
            for length in chunks:
                piece = slice(begin, begin + length)
                begin += length
                seen = None if given is None else given[:, :begin]
                pieces.append(triangle(x[:, piece], attention_mask=seen, past_key_values=past, use_cache=True).logits)
            logits = torch.cat(pieces, dim=1)
            if given is None:
                torch.testing.assert_close(logits[1], eager(x, use_cache=False).logits[1], rtol=1e-3, atol=1e-3)
            else:
                torch.testing.assert_close(logits[kept], expected, rtol=1e-3, atol=1e-3)


# Masks


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Keyword arguments of every call of the operator from now on; the calls still run."""
    seen: list[dict[str, Any]] = []

    def call(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Any:
        seen.append({"q": q, "k": k, **options})
        return triangle_attn_op.triangle_attention(q, k, v, **options)

    monkeypatch.setattr(integration, "triangle_attention", call)
    return seen


def visible(call: dict[str, Any]) -> Tensor:
    """bool [B, 1, Sq, Sk]: the pairs that a recorded call lets attend, by the operator's definition."""
    batch, _, rows, _ = call["q"].shape
    cols = call["k"].shape[2]
    p = torch.arange(rows).unsqueeze(1) + call["diagonal"]
    j = torch.arange(cols)
    seen = j <= p
    if call["window_size_left"] is not None:
        seen = seen & (j >= p - call["window_size_left"])
    seen = seen.expand(batch, 1, rows, cols)
    return seen if call["attn_mask"] is None else seen & call["attn_mask"]


def packed(rule: Callable[..., Any], positions: Tensor, documents: Tensor) -> Callable[..., Any]:
    """transformers' mask function for packed documents; older versions do not remap positions."""
    remapping = getattr(masking_utils, "packed_sequence_compatibility_function", None)
    if remapping is not None:
        return remapping(rule, positions, documents)
    return and_masks(rule, packed_sequence_mask_function(documents))


class Layer(torch.nn.Module):
    is_causal = True

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = config


@pytest.mark.parametrize("window", [None, 1, 4, 100])
@pytest.mark.parametrize("pads", [None, (0, 0), (2, 0), (-1, 3)])
def test_visible_pairs_are_those_of_transformers(
    window: int | None, pads: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
):
    """Mask function and attention function together hide exactly what transformers' own written-out mask hides, for all
    lengths and offsets."""
    seen = record_calls(monkeypatch)
    config = MistralConfig(**SIZES, sliding_window=window) if window else LlamaConfig(**SIZES)
    function = sliding_window_causal_mask_function(window) if window else causal_mask_function
    for rows, cols, q_offset, kv_offset in itertools.product((1, 2, 5), (1, 5, 8), (0, 1, 4), (0, 1, 3)):
        padding = None if pads is None else padded(q_offset + rows + 1, *pads)[:, 1:].bool()
        for offset in (q_offset, torch.tensor(q_offset)):
            arguments: dict[str, Any] = {
                "batch_size": 2,
                "q_length": rows,
                "kv_length": cols,
                "q_offset": offset,
                "kv_offset": kv_offset,
                "mask_function": function,
                "attention_mask": padding,
                "local_size": window,
            }
            expected = sdpa_mask(**arguments, allow_is_causal_skip=False)
            mask = integration.triangle_mask(**arguments, config=config, dtype=torch.float32)
            q, k = torch.randn(2, 4, rows, 8), torch.randn(2, 2, cols, 8)
            integration.triangle_attention_forward(Layer(config), q, k, k, mask, sliding_window=window)
            got = visible(seen.pop())
            assert torch.equal(got, expected), (rows, cols, q_offset, kv_offset)
            if q_offset + rows == kv_offset + cols and rows > 1:
                assert mask is None or mask.shape == (2, 1, 1, cols), (
                    "nothing of size Sq x Sk where the operator's rule says it"
                )


def test_rules_of_other_kinds_are_written_out(monkeypatch: pytest.MonkeyPatch):
    seen = record_calls(monkeypatch)
    positions = torch.tensor([[0, 1, 2, 0, 1, 0]])
    documents = torch.tensor([[0, 0, 0, 1, 1, 2]])
    prefix = or_masks(causal_mask_function, lambda b, h, q, k: (q < 3) & (k < 3))
    tail = and_masks(causal_mask_function, lambda b, h, q, k: k > 1)
    chunked = chunked_causal_mask_function(4, torch.zeros(1, dtype=torch.long))
    cases = {
        "packed": (packed(causal_mask_function, positions, documents), {}, 0),
        "packed, window": (
            packed(sliding_window_causal_mask_function(2), positions, documents),
            {"local_size": 2},
            0,
        ),
        "packed, prefix": (packed(prefix, positions, documents), {}, 5),
        "packed over prefix": (
            or_masks(packed(causal_mask_function, positions, documents), prefix),
            {},
            5,
        ),
        "prefix": (prefix, {}, 5),
        "tail": (tail, {}, 0),
    }
    for name, (function, options, diagonal) in cases.items():
        arguments = {
            "batch_size": 1,
            "q_length": 6,
            "kv_length": 6,
            "mask_function": function,
            "allow_is_causal_skip": False,
            **options,
        }
        mask = integration.triangle_mask(**arguments, config=MistralConfig(**SIZES, sliding_window=2))
        q = torch.randn(1, 2, 6, 8)
        integration.triangle_attention_forward(Layer(), q, q, q, mask, sliding_window=2)
        assert torch.equal(visible(seen[-1]), sdpa_mask(**arguments)), name
        assert seen[-1]["diagonal"] == diagonal, f"{name}: the diagonal decides how many blocks are skipped"
    # Chunked attention leaves the flag on: its local size must not pass for a window.
    config = LlamaConfig(**SIZES)
    config.attention_chunk_size = config.sliding_window = 4
    arguments = {"batch_size": 1, "q_length": 6, "kv_length": 6, "mask_function": chunked, "local_size": 4}
    mask = integration.triangle_mask(**arguments, config=config)
    assert torch.equal(mask, sdpa_mask(**arguments, allow_is_causal_skip=False))


def test_plain_training_makes_no_mask(seed: int, monkeypatch: pytest.MonkeyPatch):
    for kind in MODELS:
        model, x = build(kind, "triangle", seed), tokens(seed, 2, 37)
        seen = record_calls(monkeypatch)
        model(x)
        model(x, attention_mask=torch.ones_like(x))
        assert [call["attn_mask"] for call in seen] == [None] * 4
        windows = {"llama": [None, None], "mistral": [WINDOW - 1] * 2, "qwen2": [None, WINDOW - 1]}[kind]
        assert [call["window_size_left"] for call in seen] == windows * 2
        assert all(call["diagonal"] == 0 for call in seen)


# What is refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position_bias", torch.zeros(1, 2, 5, 5)),
        ("s_aux", torch.zeros(2)),
        ("sinks", torch.zeros(2)),
        ("softcap", 30.0),
        ("head_mask", torch.ones(2)),
        ("cache", object()),
        ("cu_seq_lens_q", torch.tensor([0, 5])),
        ("cu_seq_lens_k", torch.tensor([0, 5])),
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
    gemma = transformers.Gemma2Config(**{**SIZES, "head_dim": 8}, attn_logit_softcapping=50.0)
    with pytest.raises(NotImplementedError, match="softcap"):
        AutoModelForCausalLM.from_config(gemma, attn_implementation="triangle")(x)
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
        (torch.zeros(1, 1, 1, 5), ValueError, r"attention_mask: expected 5 rows"),
        (torch.ones(1, 5, dtype=torch.bool), ValueError, r"attention_mask: expected 4 dimensions"),
        (torch.ones(1, 1, 5, 6, dtype=torch.bool), ValueError, r"attn_mask: expected a shape"),
        (torch.ones(1, 1, 5, 5, dtype=torch.long), TypeError, r"attn_mask: expected bool"),
    ]
    for mask, error, message in bad:
        with pytest.raises(error, match=message):
            integration.triangle_attention_forward(Layer(), q, q, q, mask)
