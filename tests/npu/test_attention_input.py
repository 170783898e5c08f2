"""Bad input on the NPU: the table of the CPU's tests on NPU tensors, and what the NPU's kernels do not take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch_npu
from test_bad_input import DENSE, SCHEMA_REFUSES, VARLEN
from torch import Tensor
from triangle_attn_op import triangle_attention, triangle_attention_varlen

NPU = "npu:0"


def moved(value: Any, dtype: torch.dtype | None = None) -> Any:
    """A tensor of the table on the NPU; what cannot be there (meta, sparse) stays what it is."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type == "meta":
        return value
    if dtype is not None and value.dtype is torch.float32:
        value = value.to(dtype)
    strides = value.stride()
    there = value.detach().to(NPU)
    if value.numel() and there.stride() != strides:
        there = value.detach().as_strided((6,), (1,)).to(NPU).as_strided(value.shape, strides)
    return there.requires_grad_(value.requires_grad)


@pytest.mark.parametrize(("name", "arguments", "options", "error", "message"), DENSE, ids=[case[0] for case in DENSE])
@pytest.mark.parametrize("entry", [triangle_attention, torch.ops.triangle.attn], ids=["function", "operator"])
def test_dense(
    entry: Any, name: str, arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    if name == "sparse":
        pytest.skip("sparse tensors do not exist on the NPU")
    by_schema = entry is not triangle_attention and name in SCHEMA_REFUSES
    if entry is not triangle_attention and name in ("scale tensor", "softcap type"):
        pytest.skip(
            "the dispatcher turns a tensor of one element, or a bool, into a number before the operator sees it"
        )
    on_npu = message.replace("device cpu", "device npu:0")
    with pytest.raises((RuntimeError, TypeError) if by_schema else error, match=None if by_schema else on_npu):
        entry(*map(moved, arguments), **{key: moved(value) for key, value in options.items()})


@pytest.mark.parametrize(("name", "arguments", "error", "message"), VARLEN, ids=[case[0] for case in VARLEN])
def test_varlen(
    name: str, arguments: tuple[Any, ...], error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offsets' values are checked where TRIANGLE_ATTN_CHECK_CU_SEQ asks for it."""
    monkeypatch.setenv("TRIANGLE_ATTN_CHECK_CU_SEQ", "1")
    with pytest.raises(error, match=message):
        triangle_attention_varlen(*(moved(value, torch.float16) for value in arguments))


def half(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float16).to(NPU)


UNSUPPORTED: list[tuple[str, Any, dict[str, Any], type[Exception], str]] = [
    (
        "float32",
        lambda: torch.zeros(1, 2, 8, 16).to(NPU),
        {},
        TypeError,
        r"q: expected float16 or bfloat16, .*got torch.float32; float32 and float64 run on the CPU",
    ),
    ("D", lambda: half(1, 2, 8, 257), {}, ValueError, r"q: expected a head dimension of 1 \.\. 256, got 257"),
    (
        "dropout",
        lambda: half(1, 2, 8, 16),
        {"dropout_p": 0.5},
        NotImplementedError,
        r"dropout_p: not supported on the NPU yet, expected 0.0, got 0.5",
    ),
]


@pytest.mark.parametrize(
    ("name", "make", "options", "error", "message"), UNSUPPORTED, ids=[case[0] for case in UNSUPPORTED]
)
def test_what_the_kernels_do_not_take(
    name: str, make: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    q = make()
    options = {key: moved(value) for key, value in options.items()}
    raw = {**options, "rng_state": torch.tensor([1, 2]).to(NPU)} if name == "dropout" else options
    with pytest.raises(RuntimeError, match=rf"^triangle_attn_op: {message}"):
        torch.ops.triangle.attn_lse(q, q, q, **raw)
    with pytest.raises(error, match=rf"^{message}"):
        triangle_attention(q, q, q, **options)


def test_raw_backward_is_checked() -> None:
    q = torch.randn(1, 2, 8, 16).half().to(NPU)
    out, lse = torch.ops.triangle.attn_lse(q, q, q)
    with pytest.raises(
        RuntimeError, match=r"dout: expected torch.float16 on the forward's device .*got .*\[1, 2, 4, 16\]"
    ):
        torch.ops.triangle.attn_backward(out[:, :, :4], None, q, q, q, out, lse)
    with pytest.raises(RuntimeError, match=r"lse: expected torch.float32 on the forward's device"):
        torch.ops.triangle.attn_backward(out, None, q, q, q, out, lse.cpu())


@pytest.mark.parametrize("name", ["q", "k", "v", "attn_mask", "dout", "lse"])
def test_private_formats_are_refused(name: str) -> None:
    """FRACTAL_NZ, as npu_format_cast(t, 29) leaves it: the memory is not what the strides say."""
    q = torch.randn(1, 2, 32, 16).half().to(NPU)
    out, lse = torch.ops.triangle.attn_lse(q, q, q)
    arguments = {"dout": q, "dlse": None, "q": q, "k": q, "v": q, "out": out, "lse": lse}
    arguments["attn_mask"] = torch.ones(32, 32, dtype=torch.bool).to(NPU)
    like = arguments[name]
    arguments[name] = torch_npu.empty_with_format(like.shape, dtype=like.dtype, device=NPU, acl_format=29)
    wanted = rf"{name}: expected a tensor in a plain format \(ND\), got FRACTAL_NZ \(29\)"
    with pytest.raises(RuntimeError, match=wanted):
        torch.ops.triangle.attn_backward(**arguments)
    if name in ("q", "k", "v", "attn_mask"):
        forward = {key: arguments[key] for key in ("q", "k", "v", "attn_mask")}
        with pytest.raises(RuntimeError, match=wanted):
            torch.ops.triangle.attn_lse(**forward)
