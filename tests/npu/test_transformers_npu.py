"""transformers' Llama on NPU tensors: with its eager attention, which only needs the emulated operators, and with
attn_implementation="triangle", against the CPU."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch_npu  # noqa: F401  torch.npu
import transformers
import triangle_attn_op
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from triangle_attn_op.integrations import transformers as integration

transformers.logging.set_verbosity_error()
pytestmark = pytest.mark.xdist_group("npu-transformers")  # the import is slow: once is enough

NPU = torch.device("npu:0")
VOCAB = 96


def llama(attention: str, **changes: Any) -> LlamaForCausalLM:
    """Two layers, GQA; the same weights in every call."""
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0, bos_token_id=None, eos_token_id=None,
        **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM._from_config(config, attn_implementation=attention)
    with torch.no_grad():  # attention far from uniform, or its errors would not show
        for name, weight in model.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                weight.mul_(8)
    return model


def tokens(seed: int, batch: int, length: int) -> Tensor:
    return torch.randint(1, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))


def train(model: LlamaForCausalLM, ids: Tensor, steps: int = 2, **options: Any) -> list[float]:
    """The losses of some AdamW steps with clipped gradients."""
    ids = ids.to(model.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, **options)
    losses = []
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.simulated  # a real NPU may take HF32 for fp32 products, which is coarser
@pytest.mark.parametrize("options", [{}, {"foreach": False}, {"fused": True}], ids=["foreach", "single", "fused"])
def test_training_with_eager_attention(options: dict[str, Any], seed: int) -> None:
    model, ids = llama("eager"), tokens(seed, 2, 20)
    want = train(copy.deepcopy(model), ids, 3)
    got = train(model.to(NPU), ids, 3, **options)
    assert got == pytest.approx(want, rel=1e-4)


@pytest.mark.simulated
def test_sgd(seed: int) -> None:
    """Momentum and weight decay, too."""
    model, ids = llama("eager"), tokens(seed, 1, 12)
    weights = []
    for device in ("cpu", NPU):
        replica = copy.deepcopy(model).to(device)
        optimizer = torch.optim.SGD(replica.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        for _ in range(2):
            optimizer.zero_grad()
            replica(input_ids=ids.to(device), labels=ids.to(device)).loss.backward()
            optimizer.step()
        weights.append([p.detach().cpu() for p in replica.parameters()])
    for want, got in zip(*weights):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)


# ---- attn_implementation="triangle" ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    integration.register()


def npu_calls(direction: str) -> int:
    counts = triangle_attn_op.call_counts()
    return sum(n for name, n in counts.items() if name.startswith("npu/") and name.endswith(direction))


def pair(dtype: torch.dtype) -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    """One model on the CPU in float32 with eager attention, the same on the NPU in dtype with the kernels."""
    reference = llama("eager", head_dim=64)
    model = llama("triangle", head_dim=64)
    model.load_state_dict(reference.state_dict())
    rounded = model.to(dtype)
    reference.load_state_dict({name: t.float() for name, t in rounded.state_dict().items()})
    return reference.eval(), rounded.to(NPU).eval()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_triangle_forward_and_backward(dtype: torch.dtype, seed: int) -> None:
    reference, model = pair(dtype)
    ids = tokens(seed, 2, 37)
    before = npu_calls("forward"), npu_calls("backward")
    want = reference(input_ids=ids, labels=ids)
    got = model(input_ids=ids.to(NPU), labels=ids.to(NPU))
    scale = want.logits.abs().max()
    limit = 0.02 if dtype == torch.float16 else 0.1
    assert (got.logits.cpu().float() - want.logits).abs().max() < limit * scale
    want.loss.backward()
    got.loss.backward()
    for (name, a), b in zip(reference.named_parameters(), model.parameters()):
        difference = (b.grad.cpu().float() - a.grad).norm() / a.grad.norm()
        assert difference < 3 * limit, name
    assert (npu_calls("forward"), npu_calls("backward")) == (before[0] + 2, before[1] + 2)  # one a layer


def test_triangle_training(seed: int) -> None:
    """Losses of AdamW steps in bf16 follow those of float32 on the CPU."""
    reference, model = pair(torch.bfloat16)
    ids = tokens(seed, 1, 33)
    want, got = train(reference, ids, 3), train(model, ids, 3)
    assert got[-1] < got[0]
    assert got == pytest.approx(want, rel=0.05)


def test_triangle_padding(seed: int) -> None:
    """A batch padded on the left: the mask of keys reaches the kernels."""
    reference, model = pair(torch.float16)
    ids, mask = tokens(seed, 2, 24), torch.ones(2, 24, dtype=torch.int64)
    ids[1, :7], mask[1, :7] = 0, 0
    with torch.no_grad():
        want = reference(input_ids=ids, attention_mask=mask).logits
        got = model(input_ids=ids.to(NPU), attention_mask=mask.to(NPU)).logits.cpu().float()
    kept = mask.bool()
    assert (got[kept] - want[kept]).abs().max() < 0.02 * want[kept].abs().max()


def test_triangle_greedy_generation(seed: int) -> None:
    """Prefill and decode with a cache give the tokens that the model gives without one; each is among the CPU's best
    within rounding."""
    reference, model = pair(torch.float16)
    ids = tokens(seed, 1, 19)
    before = npu_calls("forward")
    with torch.no_grad():
        made = model.generate(ids.to(NPU), max_new_tokens=5, do_sample=False)
        logits = reference(made.cpu()).logits
    assert made.shape == (1, 24)
    assert npu_calls("forward") == before + 2 * 5
    for position in range(19, 24):
        row = logits[0, position - 1]
        assert row[made[0, position].cpu()] > row.max() - 0.02 * row.abs().max()
