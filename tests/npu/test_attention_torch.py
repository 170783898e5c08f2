"""The operators under PyTorch on NPU tensors: autograd, autocast, torch.compile, checkpointing, opcheck.

torch.compile: tracing, autograd and dynamic shapes run here with the backends "eager" and "aot_eager". The default
backend generates Triton code for whatever stands beside the operator, which needs triton-ascend and a device.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch_npu  # noqa: F401  torch.npu
import triangle_attn_op
from test_attention import NPU, attn, attn_lse, close, draw, qkv
from torch import Tensor
from triangle_attn_op import triangle_attention


def test_gradients_accumulate(seed: int) -> None:
    """Two uses of one leaf: the engine adds their gradients on the device."""
    inputs = qkv(seed)
    results = []
    for device in ("cpu", NPU):
        q, k, v = (t.detach().to(device).requires_grad_() for t in inputs)
        out = attn(q, k, v) + attn(q, k, v, window_size_left=9)
        out.backward(draw(seed + 3, *out.shape).to(device))
        results.append([t.grad.cpu() for t in (q, k, v)])
    for want, got in zip(*results):
        assert close(got, want)


@pytest.mark.parametrize("which", ["out", "lse"])
def test_one_output_alone(which: str, seed: int) -> None:
    inputs, dlse = qkv(seed), draw(seed + 3, 1, 4, 70, dtype=torch.float32)
    results = []
    for device in ("cpu", NPU):
        q, k, v = (t.detach().to(device).requires_grad_() for t in inputs)
        out, lse = triangle_attention(q, k, v, return_lse=True)
        taken, gradient = (out, draw(seed + 4, *out.shape)) if which == "out" else (lse, dlse)
        grads = torch.autograd.grad(taken, (q, k, v), gradient.to(device), allow_unused=True)
        results.append([torch.zeros_like(v) if g is None else g for g in grads])
    for want, got in zip(*results):
        assert close(got, want.cpu())


def test_sum_backward(seed: int) -> None:
    """The gradient of a sum is expanded, all strides 0."""
    inputs = qkv(seed)
    q, k, v = (t.to(NPU).requires_grad_() for t in inputs)
    attn(q, k, v).sum().backward()
    p, r, w = (t.requires_grad_() for t in inputs)
    attn(p, r, w).sum().backward()
    for got, want in zip((q, k, v), (p, r, w)):
        assert close(got.grad, want.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_launch_for_each_phase_gives_the_same_bits(
    dtype: torch.dtype, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a CANN that cannot promise that all blocks begin together; the second problem's tasks are cut."""
    for length in (70, 1500):
        tensors = [draw(seed + i, 1, 1, length, 64).to(dtype) for i in range(4)]
        results = []
        for launches in ("together", "split"):
            monkeypatch.setenv("TRIANGLE_SIM_LAUNCHES", launches)
            torch.use_deterministic_algorithms(True)
            try:
                q, k, v = (t.to(NPU).requires_grad_() for t in tensors[:3])
                out = attn(q, k, v)
                gradients = torch.autograd.grad(out, (q, k, v), tensors[3].to(NPU))
            finally:
                torch.use_deterministic_algorithms(False)
            results.append([t.detach().cpu() for t in (out, *gradients)])
        assert all(torch.equal(a, b) for a, b in zip(*results))
        assert float(results[1][0].abs().max()) > 0


def test_double_backward(seed: int) -> None:
    """Its recomputation, torch's own operators on the device, as on the CPU."""
    results = []
    for device in ("cpu", NPU):
        q, k, v = (t.to(device).requires_grad_() for t in qkv(seed))
        (dq,) = torch.autograd.grad(attn(q, k, v), q, draw(seed, 1, 4, 70, 64).to(device), create_graph=True)
        results.append([t.cpu().float() for t in torch.autograd.grad(dq.float().square().sum(), (q, k, v))])
    for want, got in zip(*results):
        assert float((got - want).norm()) <= 2e-2 * float(want.norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype, seed: int) -> None:
    q, k, v = (t.float() for t in qkv(seed))
    device = [t.to(NPU).requires_grad_() for t in (q, k, v)]
    with torch.autocast("npu", dtype=dtype):
        out, lse = triangle_attention(*device, return_lse=True)
        mixed = triangle_attention(device[0], device[1], device[2].to(dtype))
    assert out.dtype == mixed.dtype == dtype
    assert lse.dtype == torch.float32
    assert torch.equal(out.detach().cpu(), mixed.detach().cpu())
    assert close(out.detach(), attn(q, k, v))
    out.backward(torch.ones_like(out))
    assert all(t.grad.dtype == torch.float32 for t in device)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile(backend: str, seed: int) -> None:
    """One graph, no break, both directions; the compiled operator is the kernel, bit for bit."""

    def step(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return triangle_attention(q, k, v, window_size_left=30, return_lse=True)

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend=backend)
    for length in (70, 90):
        inputs = [t.to(NPU) for t in qkv(seed, sq=length, sk=length)]
        results = []
        for function in (step, compiled):
            q, k, v = (t.detach().requires_grad_() for t in inputs)
            out, lse = function(q, k, v)
            grads = torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
            results.append([t.detach().cpu() for t in (out, lse, *grads[1:])])
        for want, got in zip(*results):
            assert torch.equal(got, want)
    assert triangle_attn_op.last_backend().startswith("npu/")


def test_compile_reports_what_the_kernels_do_not_take() -> None:
    q = torch.zeros(1, 2, 8, 16).to(NPU)
    torch._dynamo.reset()
    compiled = torch.compile(triangle_attention, fullgraph=True, backend="eager")
    with pytest.raises(RuntimeError, match=r"q: expected float16 or bfloat16.*got torch.float32"):
        compiled(q, q, q)


def test_fake_kernels_tell_the_npu_layout(seed: int) -> None:
    """Shapes, strides, dtypes and devices of the real results are what compilers are told."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    inputs = [t.permute(0, 2, 1, 3).contiguous().permute(0, 2, 1, 3).to(NPU) for t in qkv(seed)]
    real = attn_lse(*inputs)
    with FakeTensorMode() as mode:
        fake = attn_lse(*(mode.from_tensor(t) for t in inputs))
    for a, b in zip(real, fake):
        assert (a.shape, a.stride(), a.dtype, a.device) == (b.shape, b.stride(), b.dtype, b.device)


def test_opcheck(seed: int) -> None:
    """Without PyTorch's check of the autograd registration, which knows no devices but CPU, CUDA and XPU."""
    inputs = [t.to(NPU).requires_grad_() for t in qkv(seed, sq=20, sk=20)]
    torch.library.opcheck(
        torch.ops.triangle.attn_lse.default,
        tuple(inputs),
        test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_dynamic"),
    )


def test_checkpoint(seed: int) -> None:
    from torch.utils.checkpoint import checkpoint

    results = []
    for recompute in (False, True):
        q, k, v = (t.to(NPU).requires_grad_() for t in qkv(seed))
        run: Any = checkpoint if recompute else lambda f, *args, **_: f(*args)
        out = run(attn, q, k, v, **({"use_reentrant": False} if recompute else {}))
        out.backward(draw(seed, *out.shape).to(NPU))
        results.append([t.grad.cpu() for t in (k, v)])
    for want, got in zip(*results):
        assert close(got, want)


def test_inputs_are_not_written(seed: int) -> None:
    inputs = [t.to(NPU) for t in qkv(seed)]
    out, lse = attn_lse(*inputs)
    saved = [t.cpu() for t in (*inputs, out, lse)]
    torch.ops.triangle.attn_backward(out, lse, *inputs, out, lse)
    for t, before in zip((*inputs, out, lse), saved):
        assert torch.equal(t.cpu(), before)


def test_a_nan_gradient_of_an_empty_rows_lse_stays_there(seed: int) -> None:
    """logaddexp(-inf, -inf) sends NaN back to a row that sees nothing; all gradients are those without that row."""
    torch.manual_seed(seed)
    host = [torch.randn(1, 2, rows, 32).half() for rows in (40, 24, 24)]  # bottom right: 16 empty rows
    gradients = []
    for device in (NPU, "cpu"):
        q, k, v = (t.to(device).requires_grad_() for t in host)
        out, lse = triangle_attn_op.triangle_attention(q, k, v, return_lse=True)
        dlse = torch.where(lse.cpu() == -torch.inf, torch.nan, 1.0).to(device)
        gradients.append([g.cpu() for g in torch.autograd.grad((out, lse), (q, k, v), (torch.ones_like(out), dlse))])
    for ours, theirs in zip(*gradients):
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)
