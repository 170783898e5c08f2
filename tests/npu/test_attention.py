"""Attention on NPU tensors: which kernels ran, streams, devices, strides, packed sequences, the deterministic backward.

Accuracy is the case table's: pytest tests/test_accuracy.py --backend npu. What is compared here is bits with bits, or
with the CPU where a coarse difference is enough.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
import torch_npu  # noqa: F401  torch.npu
import triangle_attn_op
from backends import as_it_lies
from torch import Tensor
from triangle_attn_op import TriangleAttention, triangle_attention, triangle_attention_varlen

NPU = "npu:0"
attn, attn_lse = torch.ops.triangle.attn, torch.ops.triangle.attn_lse


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def qkv(seed: int, sq: int = 70, sk: int = 70, heads: tuple[int, int] = (4, 2), d: int = 64) -> list[Tensor]:
    shapes = ((1, heads[0], sq, d), (1, heads[1], sk, d), (1, heads[1], sk, d))
    return [draw(seed + i, *shape) for i, shape in enumerate(shapes)]


def gradients(q: Tensor, k: Tensor, v: Tensor, dout: Tensor, **options: Any) -> tuple[Tensor, ...]:
    q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
    out = triangle_attention(q, k, v, **options)
    return tuple(t.detach().cpu() for t in (out, *torch.autograd.grad(out, (q, k, v), dout)))


def close(got: Tensor, want: Tensor) -> bool:
    return bool((got.cpu().float() - want.float()).abs().max() < 2e-2)


def test_says_which_kernels_ran(seed: int) -> None:
    q, k, v = (t.to(NPU).requires_grad_() for t in qkv(seed))
    before = triangle_attn_op.call_counts()
    out = attn(q, k, v)
    backend, direction = triangle_attn_op.last_backend().split()
    assert backend.startswith("npu/Ascend910")
    assert direction == "forward"
    torch.autograd.grad(out, (q, k, v), out.detach())
    assert triangle_attn_op.last_backend() == f"{backend} backward"
    counts = triangle_attn_op.call_counts()
    for name in (f"{backend} forward", f"{backend} backward"):
        assert counts[name] == before.get(name, 0) + 1


def test_what_is_found_at_first_use() -> None:
    text = triangle_attn_op.backends.npu()
    assert text.startswith("npu/Ascend910")
    assert "AI cores, cann=" in text
    assert "arch=dav-2201" in text


def test_other_streams(seed: int) -> None:
    """Copy, kernel and copy back on a stream of one's own; a result handed to the default stream behind an event."""
    inputs = qkv(seed)
    want = attn(*inputs)
    stream = torch.npu.Stream()
    with torch.npu.stream(stream):
        out = attn(*(t.to(NPU, non_blocking=True) for t in inputs))
        assert torch.npu.current_stream() == stream
    torch.npu.current_stream().wait_stream(stream)
    assert close(out, want)
    with torch.npu.stream(stream):
        assert close(attn(*(t.to(NPU) for t in inputs)), want)


def test_streams_are_in_order_by_events_only(seed: int) -> None:
    """The kernel waits for nothing but its own stream: work that an event holds back comes first."""
    inputs = qkv(seed)
    device = [t.to(NPU) for t in inputs]
    first, second = torch.npu.Stream(), torch.npu.Stream()
    torch.npu.synchronize()
    with torch.npu.stream(first):
        one = attn(*device)
    second.wait_stream(first)
    with torch.npu.stream(second):
        two = attn(one, one[:, ::2], one[:, ::2])
    torch.npu.current_stream().wait_stream(second)
    want = attn(*inputs)
    assert close(two, attn(want, want[:, ::2], want[:, ::2]))


def test_two_devices(seed: int) -> None:
    if torch.npu.device_count() < 2:
        pytest.skip("one device only")
    inputs = qkv(seed)
    want = attn(*inputs)
    torch.npu.set_device(0)
    q, k, v = (t.to("npu:1").requires_grad_() for t in inputs)
    out, lse = attn_lse(q, k, v)
    grads = torch.autograd.grad(out, (q, k, v), out.detach())
    assert {t.device for t in (out, lse, *grads)} == {torch.device("npu:1")}
    assert torch.npu.current_device() == 0
    assert close(out, want)
    assert torch.equal(out.detach().cpu(), attn(*(t.to(NPU) for t in inputs)).cpu())


@pytest.mark.parametrize("name", ["k", "v", "attn_mask", "cu_seq_q", "other NPU"])
def test_devices_do_not_mix(name: str, seed: int) -> None:
    q, k, v = (t.to(NPU) for t in qkv(seed))
    options: dict[str, Any] = {}
    if name == "k":
        k = k.cpu()
    elif name == "v":
        v = v.cpu()
    elif name == "attn_mask":
        options["attn_mask"] = torch.ones(70, 70, dtype=torch.bool)
    elif name == "cu_seq_q":
        cu = torch.tensor([0, 70], dtype=torch.int32)
        with pytest.raises(ValueError, match=r"cu_seq_q: expected q's device npu:0, got cpu"):
            triangle_attention_varlen(*(t[0].transpose(0, 1) for t in (q, k, v)), cu, cu.to(NPU), 70, 70)
        return
    else:
        if torch.npu.device_count() < 2:
            pytest.skip("one device only")
        name, k = "k", k.cpu().to("npu:1")
    with pytest.raises(ValueError, match=rf"{name}: expected q's device npu:0, got (cpu|npu:1)"):
        triangle_attention(q, k, v, **options)
    with pytest.raises(RuntimeError):
        attn_lse(q, k, v, **options)


LAYOUTS = {"bshd": (0, 2, 1, 3), "sbhd": (2, 0, 1, 3)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strided_inputs_are_read_in_place(layout: str, seed: int) -> None:
    """Three allocations a forward: out, lse and the workspace. Bits as from contiguous inputs; out in q's order."""
    order = LAYOUTS[layout]
    inverse = [order.index(i) for i in range(4)]
    inputs = qkv(seed)
    strided = [as_it_lies(t.permute(order).contiguous().permute(inverse), NPU) for t in inputs]
    plain = [t.to(NPU) for t in inputs]
    want = attn(*plain)
    torch.npu.synchronize()
    before = allocations()
    out, lse = attn_lse(*strided)
    assert allocations() - before == 3
    assert out.permute(order).is_contiguous()
    assert lse.is_contiguous()
    assert torch.equal(out.cpu(), want.cpu())


def allocations() -> int:
    """Blocks that torch's allocator has handed out so far on the current device."""
    return int(torch.npu.memory_stats()["allocation.all.allocated"])


def test_nothing_waits_and_nothing_is_left(seed: int) -> None:
    """A call returns while its stream still has work, and holds no memory once its results are gone."""
    inputs = [t.to(NPU) for t in qkv(seed)]
    attn(*inputs)
    torch.npu.synchronize()
    before = torch.npu.memory_allocated()
    begun = torch.npu.Event()
    begun.record()
    out = attn(*inputs)
    done = torch.npu.Event()
    done.record()
    if os.environ.get("ASCEND_SIM_STREAMS") == "late":  # a call that waits would have let this pass; hardware is quick
        assert not begun.query()
    del out
    torch.npu.synchronize()
    assert done.query()
    assert torch.npu.memory_allocated() == before


@pytest.mark.parametrize("window", [None, 20])
def test_packed_documents_have_the_bits_they_have_alone(window: int | None, seed: int) -> None:
    lens = [40, 0, 1, 90]
    cu = torch.tensor([0, *torch.tensor(lens).cumsum(0).tolist()], dtype=torch.int32)
    q, k, v = (draw(seed + i, sum(lens), h, 64).to(NPU) for i, h in enumerate((4, 2, 2)))
    out, lse = triangle_attention_varlen(
        q, k, v, cu.to(NPU), cu.to(NPU), max(lens), max(lens), window_size_left=window, return_lse=True
    )
    for begin, end in zip(cu.tolist(), cu.tolist()[1:]):
        alone = (t[begin:end].transpose(0, 1)[None] for t in (q, k, v))
        one, one_lse = triangle_attention(*alone, window_size_left=window, return_lse=True)
        assert torch.equal(out[begin:end].transpose(0, 1)[None].cpu(), one.cpu())
        assert torch.equal(lse[begin:end].transpose(0, 1)[None].cpu(), one_lse.cpu())


BAD_OFFSETS = [[0, 4, 1000], [0, 11, 10], [0, -5, 10], [3, 4, 10], [-(2**31), 2**31 - 1, 5]]


@pytest.mark.parametrize("values", BAD_OFFSETS, ids=str)
def test_wrong_offsets_stay_inside(values: list[int], seed: int) -> None:
    """Offsets are not read back, so wrong ones give wrong rows; but the kernels stay within the tensors."""
    q, k, v = (draw(seed + i, 10, 2, 32).to(NPU).requires_grad_() for i in range(3))
    cu = torch.tensor(values, dtype=torch.int32).to(NPU)
    out = triangle_attention_varlen(q, k, v, cu, cu, 10, 10)
    torch.autograd.grad(out, (q, k, v), draw(seed, 10, 2, 32).to(NPU))
    torch.npu.synchronize()  # a finding of the simulator's checkers, or a fault of the device, would be raised here


def test_offsets_are_checked_on_request(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (draw(seed + i, 10, 2, 32).to(NPU) for i in range(3))
    good = torch.tensor([0, 4, 10], dtype=torch.int32).to(NPU)
    monkeypatch.setenv("TRIANGLE_ATTN_CHECK_CU_SEQ", "1")
    triangle_attention_varlen(q, k, v, good, good, 6, 6)
    with pytest.raises(ValueError, match=r"max_k: expected at least the longest document, 6 rows, got 5"):
        triangle_attention_varlen(q, k, v, good, good, 6, 5)
    bad = torch.tensor([0, 11, 10], dtype=torch.int32).to(NPU)
    with pytest.raises(ValueError, match=r"cu_seq_q: expected non-decreasing offsets, got 10 after 11"):
        triangle_attention_varlen(q, k, v, bad, good, 11, 6)


def test_prefix_and_decode_have_the_same_bits(seed: int) -> None:
    q, k, v = (t.to(NPU) for t in qkv(seed, sq=300, sk=300))
    whole = attn(q, k, v).cpu()
    for n in (1, 129, 200):
        assert torch.equal(attn(q[:, :, :n], k[:, :, :n], v[:, :, :n]).cpu(), whole[:, :, :n])
        assert torch.equal(attn(q[:, :, n - 1 : n], k[:, :, :n], v[:, :, :n]).cpu(), whole[:, :, n - 1 : n])


def test_deterministic_gradients(seed: int) -> None:
    """The deterministic path gives the same bits in another batch; both paths are close to the CPU's gradients."""
    q, k, v = (draw(seed + i, 2, h, 150, 64) for i, h in enumerate((4, 2, 2)))
    dout = draw(seed + 3, 2, 4, 150, 64)
    want = gradients(q, k, v, dout)
    device = [t.to(NPU) for t in (q, k, v, dout)]
    fast = gradients(*device)
    torch.use_deterministic_algorithms(True)
    try:
        whole, again = gradients(*device), gradients(*device)
        alone = gradients(*(t[1:] for t in device))
    finally:
        torch.use_deterministic_algorithms(False)
    for a, b, c in zip(whole, again, alone):
        assert torch.equal(a, b)
        assert torch.equal(a[1:], c)
    for result in (fast, whole):
        for got, expected in zip(result, want):
            assert close(got, expected)


def test_mask_with_one_column_or_none(seed: int) -> None:
    q, k, v = qkv(seed)
    for mask in (torch.rand(1, 4, 70, 1) > 0.4, torch.tensor(True), torch.rand(70, 70).t() > 0.3):
        want = attn(q, k, v, attn_mask=mask)
        assert close(attn(*(t.to(NPU) for t in (q, k, v)), attn_mask=as_it_lies(mask, NPU)), want)


def test_an_expanded_mask_of_hidden_keys_is_inverted_unexpanded(seed: int) -> None:
    """As TriangleAttention has it (True = masked out): [B, 1, 1, Sk] expanded to the scores' shape."""
    q, k, v = qkv(seed)
    size = (*q.shape[:3], k.shape[2])
    hidden = torch.rand(size[0], 1, 1, size[3]) > 0.7
    want = torch.ops.triangle.attn_lse(q, k, v, hidden.expand(size), mask_hides=True)
    on_npu = [t.to(NPU) for t in (q, k, v, hidden)]
    peaks = []
    for mask, hides in ((~on_npu[3], False), (on_npu[3], True)):
        torch.npu.synchronize()
        torch.npu.reset_peak_memory_stats()
        before = torch.npu.memory_allocated()
        got = torch.ops.triangle.attn_lse(*on_npu[:3], mask.expand(size), mask_hides=hides)
        peaks.append(torch.npu.max_memory_allocated() - before)
        assert close(got[0], want[0])
    assert peaks[1] - peaks[0] <= 1024 < want[1].numel() * size[3]


def test_module(seed: int) -> None:
    """TriangleAttention, [b, n, s, d] to [b, s, n*d], causal and with Megatron's mask (True = masked out)."""
    q, k, v = (draw(seed + i, 2, 4, 80, 32) for i in range(3))
    hidden = torch.zeros(2, 1, 80, 80, dtype=torch.bool)
    hidden[1, :, :, :7] = True
    for mask in (None, hidden):
        want = TriangleAttention()(q, k, v, mask)
        got = TriangleAttention()(*(t.to(NPU) for t in (q, k, v)), None if mask is None else mask.to(NPU))
        assert got.shape == (2, 80, 128)
        assert close(got, want)
