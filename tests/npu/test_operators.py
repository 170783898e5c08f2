"""The emulated operators of libopapi.so, called through torch_npu, against the CPU's results."""

from __future__ import annotations

import ctypes
import re
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_npu
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_cases import CASES, ELSEWHERE, Case
from torch import Tensor

NPU = torch.device("npu:0")
README = Path(__file__).parents[2] / "sim/acl/opapi/README.md"
pytestmark = pytest.mark.simulated

# Relative to the result, and absolute: CPU and emulation round the same sums and functions differently.
TOLERANCES = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.fixture(autouse=True)
def no_fallback() -> Iterator[None]:
    """torch_npu computes some missing operators on the CPU, with a warning: here that is a failure."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(fall back|fallback|not currently supported on the NPU).*")
        yield


@pytest.fixture(scope="session")
def opapi() -> ctypes.CDLL:
    library = ctypes.CDLL("libopapi.so")
    library.ascend_sim_opapi_calls.restype = ctypes.c_uint64
    return library


def torch_npu_names(function: str) -> bool:
    """Whether the installed torch_npu has the name; where it has not, it makes the result by another function: 2.10
    computes ceil_ by aclnnCeil.
    """
    library = Path(torch_npu.__file__).parent / "lib" / "libtorch_npu.so"
    return f"\0{function}\0".encode() in library.read_bytes()


# ---- inputs ----------------------------------------------------------------------------------------------------------

# A layout makes the memory (on the CPU) and the view of it that is the argument; the view is taken on each device.
View = Callable[[Tensor], Tensor]


def _padded(t: Tensor) -> tuple[Tensor, View]:
    """Every second element of the last dimension, starting at 1."""
    base = t.new_ones((*t.shape[:-1], 2 * t.shape[-1] + 1)) if t.dim() else t.new_ones(3)
    if t.dim():
        base[..., 1::2] = t
        return base, lambda b: b[..., 1::2]
    base[1] = t
    return base, lambda b: b[1]


def _transposed(t: Tensor) -> tuple[Tensor, View]:
    if t.dim() < 2:
        return t, lambda b: b
    return t.transpose(0, -1).contiguous(), lambda b: b.transpose(0, -1)


LAYOUTS: dict[str, Callable[[Tensor], tuple[Tensor, View]]] = {
    "contiguous": lambda t: (t, lambda b: b),
    "transposed": _transposed,
    "padded": _padded,
}


def draw(generator: torch.Generator, sizes: tuple[int, ...], dtype: torch.dtype, domain: str) -> Tensor:
    if dtype == torch.bool:
        return torch.randint(0, 2, sizes, generator=generator).bool()
    if domain == "small":
        values = torch.randint(1, 5, sizes, generator=generator)
        if dtype != torch.uint8:
            values = values * (2 * torch.randint(0, 2, sizes, generator=generator) - 1)
        return values.to(dtype)
    if not dtype.is_floating_point:
        low = 0 if dtype == torch.uint8 or domain == "positive" else -6
        return torch.randint(low, 7, sizes, generator=generator).to(dtype)
    values = torch.randn(sizes, generator=generator)
    return (values.abs() + 0.1 if domain == "positive" else values).to(dtype)


def sizes_of(case: Case) -> list[tuple[tuple[int, ...], ...]]:
    """The sizes of the arguments, one tuple a run."""
    if case.sizes is not None:
        return [tuple(case.sizes)]
    shapes: list[tuple[int, ...]] = [(3, 4, 5), (0, 4), (), (600,)]
    runs = [tuple(shape for _ in range(case.arguments)) for shape in shapes]
    if case.arguments == 2:  # the second is broadcast, which in-place operators take too
        runs += [((3, 4, 5), (4, 1)), ((2, 3), ())]
    return runs


# ---- comparison ------------------------------------------------------------------------------------------------------


def flatten(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [part for item in result for part in flatten(item)]
    return [] if result is None else [result]


def agree(got: Any, want: Any, tolerance: float | None = None) -> None:
    if not isinstance(want, Tensor):
        assert got == want
        return
    assert got.device == NPU
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    limit = TOLERANCES.get(want.dtype, 0.0) if tolerance is None else tolerance
    torch.testing.assert_close(got.cpu(), want, rtol=limit, atol=limit, equal_nan=True)


def check(case: Case, dtype: torch.dtype, layout: str, sizes: tuple[tuple[int, ...], ...], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    made = [LAYOUTS[layout](draw(generator, s, dtype, case.domain)) for s in sizes]
    bases = {"cpu": [b.clone() for b, _ in made], "npu": [b.to(NPU) for b, _ in made]}
    results = {}
    for device, memory in bases.items():
        results[device] = flatten(case.run(*(view(b) for b, (_, view) in zip(memory, made))))
    assert len(results["npu"]) == len(results["cpu"])
    for got, want in zip(results["npu"], results["cpu"]):
        agree(got, want)
    for got, want in zip(bases["npu"], bases["cpu"]):  # also what lies between the elements of a strided view
        agree(got, want)


ROWS = [pytest.param(case, dtype, id=f"{case.functions.replace(' ', '+')}-{str(dtype)[6:]}")
        for case in CASES for dtype in case.dtypes]  # fmt: skip


@pytest.mark.parametrize(("case", "dtype"), ROWS)
def test_against_cpu(case: Case, dtype: torch.dtype, seed: int, opapi: ctypes.CDLL) -> None:
    names = case.functions.split()
    before = [opapi.ascend_sim_opapi_calls(name.encode()) for name in names]
    for sizes in sizes_of(case):
        for layout in LAYOUTS:
            check(case, dtype, layout, sizes, seed)
    for name, count in zip(names, before):
        called = opapi.ascend_sim_opapi_calls(name.encode()) > count
        assert called or not torch_npu_names(name), f"{name} was not called"


# ---- the list --------------------------------------------------------------------------------------------------------


def exported(opapi: ctypes.CDLL) -> set[str]:
    """The aclnn functions that the loaded library has."""
    maps = Path("/proc/self/maps").read_text()
    path = next(line.split()[-1] for line in maps.splitlines() if line.endswith("/libopapi.so"))
    symbols = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in symbols.splitlines()}
    operators = {name for name in names if name.startswith("aclnn") and not name.endswith("GetWorkspaceSize")}
    assert {f"{name}GetWorkspaceSize" for name in operators} <= names
    return operators


def test_every_operator_is_tested(opapi: ctypes.CDLL) -> None:
    in_table = {name for case in CASES for name in case.functions.split()}
    assert sorted(in_table | ELSEWHERE) == sorted(exported(opapi))


def test_readme_lists_every_operator(opapi: ctypes.CDLL) -> None:
    text = README.read_text().split("## The operators", 1)[1]
    listed = re.findall(r"`(\w+)`", text)
    assert sorted(f"aclnn{name}" for name in listed) == sorted(exported(opapi))


# ---- more than the table says ----------------------------------------------------------------------------------------

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool]  # fmt: skip


def to_npu(t: Tensor) -> Tensor:
    """As t.to(NPU), which makes float32 of float64."""
    return torch.empty(t.shape, dtype=t.dtype, device=NPU).copy_(t)


@st.composite
def strided_views(draw_from: st.DrawFn) -> tuple[list[int], list[int], list[slice]]:
    """Sizes of a tensor, an order of its dimensions, and a slice of each."""
    sizes = draw_from(st.lists(st.integers(1, 5), max_size=4))
    order = draw_from(st.permutations(range(len(sizes))))
    slices = [slice(draw_from(st.integers(0, size - 1)), None, draw_from(st.integers(1, 2))) for size in sizes]
    return sizes, list(order), slices


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_copy_and_add_of_any_views(data: st.DataObject) -> None:
    """copy_ with any strides and conversion; + of mixed dtypes, in the dtype where they meet."""
    sizes, order, slices = data.draw(strided_views())
    source, target = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(DTYPES))
    values = torch.randint(0, 100, sizes).to(source)
    results = []
    for base in (values, to_npu(values)):
        view = base.permute(order)[tuple(slices[d] for d in order)]
        copied = torch.zeros(view.shape, dtype=target, device=base.device).copy_(view)
        results.append((copied, view + copied))
    for got, want in zip(results[1], results[0]):
        agree(got, want)


@pytest.mark.parametrize("value", [-1e30, -300.7, -0.5, 0.0, 0.4, 0.6, 130.2, 65504.0, 70000.0, float("nan"), 1e30])
def test_cast_of_floats(value: float) -> None:
    """To another float as on the CPU; to an integer truncated and saturated, NaN to 0 (C++ leaves that open)."""
    x = torch.tensor([value])
    on_npu = x.to(NPU)
    for dtype in (torch.float16, torch.bfloat16, torch.bool):
        agree(to_npu(x).to(dtype), x.to(dtype), 0.0)
        agree(torch_npu.npu_dtype_cast(on_npu, dtype), x.to(dtype), 0.0)
    for dtype in (torch.int8, torch.uint8, torch.int32, torch.int64):
        limits = torch.iinfo(dtype)
        want = 0 if value != value else max(limits.min, min(limits.max, int(value)))
        assert on_npu.to(dtype).item() == want


def test_random_numbers(opapi: ctypes.CDLL) -> None:
    """Of the right distribution, the same after the same seed, others after another call."""

    def moments(t: Tensor) -> tuple[float, float]:
        host = t.cpu().float()
        return host.mean().item(), host.std().item()

    made = {
        "aclnnInplaceNormal": (lambda: torch.randn(20000, device=NPU), 0.0, 1.0),
        "aclnnNormalFloatFloat": (lambda: torch.normal(3.0, 2.0, (20000,), device=NPU), 3.0, 2.0),
        "aclnnInplaceUniform": (lambda: torch.rand(20000, device=NPU), 0.5, 12**-0.5),
        "aclnnInplaceRandom": (lambda: torch.randint(-2, 4, (20000,), device=NPU), 0.5, (35 / 12) ** 0.5),
        "aclnnInplaceBernoulli": (lambda: torch.empty(20000, device=NPU).bernoulli_(0.2), 0.2, 0.4),
        "aclnnInplaceBernoulliTensor": (lambda: torch.bernoulli(torch.full((20000,), 0.2, device=NPU)), 0.2, 0.4),
    }
    for name, (make, mean, deviation) in made.items():
        before = opapi.ascend_sim_opapi_calls(name.encode())
        torch.npu.manual_seed(7)
        first, second = make(), make()
        torch.npu.manual_seed(7)
        assert torch.equal(make().cpu(), first.cpu()), name
        assert not torch.equal(second.cpu(), first.cpu()), name
        got = moments(first)
        assert abs(got[0] - mean) < 0.06, name
        assert abs(got[1] - deviation) < 0.06, name
        assert opapi.ascend_sim_opapi_calls(name.encode()) == before + 3, name
    uniform = torch.rand(20000, device=NPU, dtype=torch.bfloat16).cpu()
    assert 0 <= uniform.min() < uniform.max() < 1


def test_dropout() -> None:
    x = torch.ones(4000, device=NPU, requires_grad=True)
    y = torch.nn.functional.dropout(x, 0.25)
    y.sum().backward()
    kept = y.detach().cpu() != 0
    assert 0.7 < kept.float().mean() < 0.8
    agree(y.detach(), kept / 0.75)
    agree(x.grad, kept / 0.75)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rms_norm(dtype: torch.dtype, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, dy = (torch.randn(3, 5, 8, generator=generator).to(dtype) for _ in range(2))
    gamma = torch.rand(8, generator=generator).to(dtype)
    want = [t.detach().clone().float().requires_grad_() for t in (x, gamma)]
    y = want[0] * torch.rsqrt(want[0].pow(2).mean(-1, keepdim=True) + 1e-6) * want[1]
    y.backward(dy.float())
    got = [t.detach().to(NPU).requires_grad_() for t in (x, gamma)]
    out, rstd = torch_npu.npu_rms_norm(*got, 1e-6)
    out.backward(dy.to(NPU))
    agree(rstd.detach(), torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6), 1e-5)
    agree(out.detach(), y.detach().to(dtype))
    for a, b in zip(got, want):
        agree(a.grad.float(), b.grad, 4 * TOLERANCES[dtype])


def test_autograd_of_an_expression(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, w = torch.randn(4, 6, generator=generator), torch.randn(6, 3, generator=generator)
    grads = []
    for device in ("cpu", NPU):
        leaves = [t.clone().to(device).requires_grad_() for t in (x, w)]
        hidden = (leaves[0] * 2).exp().clamp(max=4) @ leaves[1]
        loss = (hidden.softmax(-1).log() * hidden.tanh()).mean() + leaves[1].square().sum(0)[1:].max()
        loss.backward()
        grads.append([loss.detach(), *(leaf.grad for leaf in leaves)])
    for got, want in zip(grads[1], grads[0]):
        agree(got, want, 1e-4)


# ---- what is not covered ---------------------------------------------------------------------------------------------


def test_refused_dtype() -> None:
    with pytest.raises(RuntimeError, match=r"aclnnInplaceZero: self: dtype COMPLEX64 is not emulated"):
        torch.zeros(3, dtype=torch.complex64, device=NPU)


def test_missing_operator_is_named() -> None:
    """Where torch_npu has no other way than an aclnn function, its own error names it."""
    q = torch.randn(1, 2, 16, 16, device=NPU, dtype=torch.float16)
    with pytest.raises(RuntimeError, match=r"aclnnFlashAttentionScore.* not in libopapi.so"):
        torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)


def test_index_out_of_range(npu_process: Any) -> None:
    """Found when the operator runs; the stream then says so."""
    done = npu_process("""
        import torch, torch_npu
        table = torch.ones(3, 4).npu()
        rows = torch.nn.functional.embedding(torch.tensor([7]).npu(), table)
        try:
            torch.npu.synchronize()
        except RuntimeError as error:
            print(error)
    """)
    assert "aclnnEmbedding" in done.out + done.err
    assert "indices: 7 is not in [0, 3)" in done.out + done.err


def acl_tensor(opapi: ctypes.CDLL, sizes: list[int], data: int, dtype: int = 0) -> ctypes.c_void_p:
    dims = (ctypes.c_int64 * len(sizes))(*sizes)
    opapi.aclCreateTensor.restype = ctypes.c_void_p
    return ctypes.c_void_p(
        opapi.aclCreateTensor(dims, ctypes.c_uint64(len(sizes)), dtype, None, ctypes.c_int64(0), 2, dims,
                              ctypes.c_uint64(len(sizes)), ctypes.c_void_p(data))
    )  # fmt: skip


def first_phase(opapi: ctypes.CDLL, name: str, *arguments: Any) -> tuple[int, int | None]:
    """(status, executor)"""
    size, executor = ctypes.c_uint64(), ctypes.c_void_p()
    status = getattr(opapi, f"{name}GetWorkspaceSize")(*arguments, ctypes.byref(size), ctypes.byref(executor))
    return status, executor.value


def test_arguments_are_checked_before_anything_is_queued(opapi: ctypes.CDLL) -> None:
    acl = ctypes.CDLL("libascendcl.so")
    acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
    x = torch.zeros(16, device=NPU)
    torch.npu.synchronize()
    good = acl_tensor(opapi, [4, 4], x.data_ptr())
    large = acl_tensor(opapi, [1 << 40], x.data_ptr())
    on_host = acl_tensor(opapi, [16], torch.zeros(16).data_ptr())
    other = acl_tensor(opapi, [4, 3], x.data_ptr())
    refused = [
        ((large,), "aclnnInplaceZero", "self: sizes .* are not inside one allocation of device memory"),
        ((on_host,), "aclnnInplaceZero", "self: sizes .* are not inside one allocation of device memory"),
        ((None,), "aclnnInplaceZero", "self: is null"),
        ((good, other, good), "aclnnMul", r"other: sizes \[4, 3\] do not broadcast with \[4, 4\]"),
        ((good, good, other), "aclnnMul", r"out: expected sizes \[4, 4\], got \[4, 3\]"),
        ((good, acl_tensor(opapi, [4, 4], x.data_ptr(), dtype=33), good), "aclnnMul", "other: dtype COMPLEX32"),
    ]
    for arguments, name, message in refused:
        status, executor = first_phase(opapi, name, *arguments)
        assert status in (161001, 161002)
        assert executor is None
        assert re.search(f"{name}: {message}", acl.aclGetRecentErrMsg().decode())
    # The second phase without an executor repeats why there is none.
    before = opapi.ascend_sim_opapi_calls(b"aclnnMul")
    assert opapi.aclnnMul(None, ctypes.c_uint64(0), None, None) == 161001
    assert b"COMPLEX32" in acl.aclGetRecentErrMsg()
    assert opapi.ascend_sim_opapi_calls(b"aclnnMul") == before


def test_nothing_is_written_outside_the_view() -> None:
    """Padding between the elements of views in every position, with the exact bounds of the storage."""
    base = torch.full((5, 7), 9.0)
    on_npu = base.to(NPU)
    for t in (base, on_npu):
        t[1:4:2, 2:6:3].zero_()
        t[0, ::2] += 1
        t[2:, 6].copy_(t[2:, 0])
    agree(on_npu, base)
