"""The case table against the fp64 oracle: error at most 2x (gradients 3x) that of PyTorch's own attention in the same
dtype.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import backends
import pytest
import reference
import torch
from backends import CPU, Attended, Result, TorchBackend
from cases import CACHE_CASES, CASES, Case, Inputs, make_inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The table is run by each backend of --backend, as far as the backend says that it supports a case."""
    if "backend" not in metafunc.fixturenames:
        return
    chosen = [backends.get(name) for name in metafunc.config.getoption("--backend").split(",")]
    supported = metafunc.function is not test_unsupported_cases_are_named
    table = {test_adversarial: KINDS, test_caches_against_fp64: CACHE_CASES}.get(metafunc.function, CASES)
    runs = [
        (backend, row, dtype)
        for backend in chosen
        for row in table
        for dtype in DTYPES
        if dtype in backend.dtypes
        and chosen_row(backend, row if isinstance(row, Case) else Case(row), dtype, supported)
    ]
    metafunc.parametrize(
        ("backend", "kind" if table is KINDS else "case", "dtype"),
        runs,
        ids=[f"{backend.name}-{row}-{str(dtype).removeprefix('torch.')}" for backend, row, dtype in runs],
    )


def chosen_row(backend: TorchBackend, case: Case, dtype: torch.dtype, supported: bool) -> bool:
    return backend.supports(case, dtype) is supported and (not supported or backend.chooses(case, dtype))


def test_against_fp64(case: Case, dtype: torch.dtype, backend: TorchBackend, seed: int) -> None:
    assert_within_bounds(case, dtype, backend, lambda seed: make_inputs(case, dtype, seed), seed)


def test_caches_against_fp64(case: Case, dtype: torch.dtype, backend: TorchBackend, seed: int) -> None:
    """out and lse of the last rows of each document over a cache, to which their keys are appended."""
    assert_within_bounds(case, dtype, backend, lambda seed: make_inputs(case, dtype, seed), seed)


def test_unsupported_cases_are_named(case: Case, dtype: torch.dtype, backend: TorchBackend, seed: int) -> None:
    with pytest.raises(
        (NotImplementedError, ValueError),
        match=r"^(attn_mask|dropout_p|q|v|softcap|alibi_slopes|sinks): ",
    ):
        backend.run(case, make_inputs(case, dtype, seed))


# Both errors of a comparison are maxima over sometimes few numbers: in one draw PyTorch's may be small by luck. So
# where the first draw exceeds a bound, the sums of DRAWS decide. None may exceed it MOST_OF_ONE times, besides what
# cancellation costs: of 8640 draws on the CPU the worst had 2.8 times its bound, of 252 on the simulator 0.42, but of
# 1500 draws of one token, where dlse may be next to nothing beside the dP and delta that cancel, 22 times.
DRAWS = 10
MOST_OF_ONE = 4.0


def assert_within_bounds(
    case: Case,
    dtype: torch.dtype,
    backend: TorchBackend,
    draw: Callable[[int], Inputs],
    seed: int,
    least: float = 0.0,
) -> None:
    """The error bounds, in one draw or, where that exceeds one, in the sums of DRAWS."""
    totals: dict[str, list[float]] = {}
    run = backend.run if case.page is None else backend.attend
    for number in range(DRAWS):
        inputs = draw(seed + 7919 * number)
        cancels = rounding_of_what_cancels(case, inputs, dtype)
        for name, error, bound in errors_and_bounds(case, inputs, dtype, run(case, inputs), least):
            most = MOST_OF_ONE * bound + cancels.get(name, 0.0)
            assert error <= most, f"{name}: error {error:.3g}, bound {bound:.3g} in draw {number}"
            total = totals.setdefault(name, [0.0, 0.0])
            total[0], total[1] = total[0] + error, total[1] + bound
        exceeded = {name: total for name, total in totals.items() if not total[0] <= total[1]}
        if number == 0 and not exceeded:
            return
    assert not exceeded, "; ".join(f"{name}: errors {e:.3g}, bounds {b:.3g}" for name, (e, b) in exceeded.items())


def errors_and_bounds(
    case: Case, inputs: Inputs, dtype: torch.dtype, got: Result | Attended, least: float
) -> list[tuple[str, float, float]]:
    """Asserts shapes, dtypes, no NaN, empty rows; (name, error, bound) of each result. A gradient smaller than
    `least` counts as `least`.
    """
    measured = []
    want = oracle(case, inputs, torch.float64)
    assert got.out.dtype == dtype
    assert got.lse.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    for name, ours, exact in zip(Result._fields, got, want):
        assert ours.shape == exact.shape, name
        assert not ours.isnan().any(), name
    empty = want.lse == -torch.inf
    assert torch.equal(got.lse == -torch.inf, empty)
    assert (got.out[empty] == 0).all()
    assert isinstance(got, Attended) or (got.dq[empty] == 0).all()
    theirs = pytorch_error(case, inputs, dtype, want)
    eps = torch.finfo(dtype).eps
    for name, ours, exact in zip(Result._fields, got, want):
        if exact.numel() == 0:
            continue
        exact = exact.masked_fill(exact == -torch.inf, 0.0)
        error = max_abs(ours.double().masked_fill(ours == -torch.inf, 0.0) - exact)
        if name == "lse":  # fp32 whatever the dtype
            bound = 8 * torch.finfo(got.lse.dtype).eps * max(max_abs(exact), 1.0)
        else:
            floor = 64 * eps if dtype is torch.float64 else eps  # the oracle itself is only fp64
            floor = max(floor, torch.finfo(ours.dtype).eps)  # sinks may be float32 beside float64
            magnitude = max_abs(exact) if name == "out" else max(max_abs(exact), least)
            spacing = torch.finfo(dtype).smallest_normal * eps  # of the smallest numbers: nothing rounds finer
            bound = (2 if name == "out" else 3) * theirs[name] + floor * magnitude + spacing
        measured.append((name, error, bound))
    return measured


def rounding_of_what_cancels(case: Case, inputs: Inputs, dtype: torch.dtype) -> dict[str, float]:
    """In the gradients of q and k: the rounding of dP and delta, both at most |dout| |v|, where their difference is
    small; in the dtype of sums.
    """
    if 0 in (inputs.q.numel(), inputs.k.numel()):
        return {}
    eps = torch.finfo(torch.float64 if dtype is torch.float64 else torch.float32).eps
    scale = abs(case.options.get("scale", case.D**-0.5))
    terms = 2 * float(inputs.dout.double().norm(dim=-1).max() * inputs.v.double().norm(dim=-1).max())
    return {"dq": eps * scale * terms * max_abs(inputs.k), "dk": eps * scale * terms * max_abs(inputs.q)}


def oracle(case: Case, inputs: Inputs, dtype: torch.dtype) -> Result:
    """Forward and gradients of sum(out * dout) + sum(lse * dlse) by definition, in `dtype`."""
    q, k, v = (t.detach().to(dtype).requires_grad_() for t in (inputs.q, inputs.k, inputs.v))
    sinks = torch.empty(0) if inputs.sinks is None else inputs.sinks.detach().to(dtype)
    leaves = (q, k, v, sinks.requires_grad_())
    options = {**case.options, "alibi_slopes": inputs.alibi_slopes, "sinks": None if inputs.sinks is None else sinks}
    if inputs.startend_row_indices is not None:
        options["startend_row_indices"] = inputs.startend_row_indices
    if case.packed:
        out, lse = reference.attention_varlen(
            q,
            k,
            v,
            list(case.lens_q),
            list(case.lens_k),
            rng_state=inputs.rng_state,
            dropout_p=case.dropout_p,
            **options,
        )
    else:
        keep = None
        if case.dropout_p:
            keep = reference.dropout_keep(inputs.rng_state, case.dropout_p, case.B, case.Hq, case.Sq, case.Sk)
        out, lse = reference.attention(q, k, v, attn_mask=inputs.mask, keep=keep, dropout_p=case.dropout_p, **options)
    finite = lse.masked_fill(lse == -torch.inf, 0.0)
    loss = (out * inputs.dout.to(dtype)).sum() + (finite * inputs.dlse.to(dtype)).sum()
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    return Result(out.detach(), lse.detach(), *(torch.zeros_like(t) if g is None else g for t, g in zip(leaves, grads)))


def pytorch_error(case: Case, inputs: Inputs, dtype: torch.dtype, want: Result) -> dict[str, float]:
    """Largest error of PyTorch's own attention in this dtype, over the paths it may take (fused and by its definition),
    per result.

    Dropout, packed sequences and what bends a score have no counterpart there: the oracle's formula in `dtype` stands
    in.
    """
    if case.dropout_p or case.packed or 0 in (case.D, case.dim_v) or backends.bends_scores(case):
        runs = [oracle(case, inputs, dtype)]
    else:
        runs = [pytorch(case, inputs, dtype, path) for path in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH)]
    errors = [
        [max_abs((a.double() - b.double()).nan_to_num(0.0, 0.0, 0.0)) for a, b in zip(theirs, want)] for theirs in runs
    ]
    return dict(zip(Result._fields, map(max, zip(*errors))))


def pytorch(case: Case, inputs: Inputs, dtype: torch.dtype, path: SDPBackend) -> Result:
    """scaled_dot_product_attention with everything that is hidden in one mask, on one of its paths where it takes the
    shapes.
    """
    q, k, v = (t.detach().requires_grad_() for t in (inputs.q, inputs.k, inputs.v))
    group = case.Hq // max(case.Hkv, 1)
    options = dict(case.options)
    diagonal = options.get("diagonal", case.Sk - case.Sq if options.get("alignment") != "top_left" else 0)
    seen = reference.visible(case.Sq, case.Sk, diagonal, options.get("window_size_left"))
    mask: Tensor = torch.zeros(case.Sq, case.Sk, dtype=dtype).masked_fill(~seen, -torch.inf)
    if inputs.mask is not None:
        mask = (
            mask.masked_fill(~inputs.mask, -torch.inf)
            if inputs.mask.dtype is torch.bool
            else mask + inputs.mask.to(dtype)
        )
    with sdpa_kernel([path, SDPBackend.MATH]):
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), attn_mask=mask, scale=options.get("scale")
        )
    _, lse = reference.attention(q, k, v, attn_mask=inputs.mask, **options)
    finite = torch.where(lse == -torch.inf, 0.0, lse)
    grads = torch.autograd.grad((out * inputs.dout).sum() + (finite * inputs.dlse).sum(), (q, k, v), allow_unused=True)
    gradients = (torch.zeros_like(t) if g is None else g for t, g in zip((q, k, v), grads))
    return Result(out.detach(), lse.detach(), *gradients, torch.empty(0))


def max_abs(t: Tensor) -> float:
    return float(t.abs().max()) if t.numel() else 0.0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    """Shapes and options that nobody wrote down, on the CPU in fp32: the same bounds."""
    draw = data.draw
    groups, per_group = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["window_size_left"] = draw(st.integers(0, 120))
    position = draw(st.sampled_from(["bottom_right", "top_left", "diagonal"]))
    if position == "diagonal":
        options["diagonal"] = draw(st.integers(-150, 300))
    else:
        options["alignment"] = position
    case = Case(
        "drawn",
        B=draw(st.integers(1, 2)),
        Hq=groups * per_group,
        Hkv=groups,
        Sq=draw(st.integers(1, 140)),
        Sk=draw(st.integers(1, 300)),
        D=draw(st.integers(1, 140)),
        Dv=draw(st.integers(1, 140)),
        options=options,
        mask=draw(st.sampled_from([None, None, "bool", "bool_head", "padding", "float_inf"])),
        layout=draw(st.sampled_from(["bhsd", "bshd", "sbhd", "fused"])),
    )
    seed = draw(st.integers(0, 2**31))
    # In the gradients of few keys, terms |dP| |q| of magnitude up to 64 cancel to nearly nothing: their rounding stays.
    assert_within_bounds(
        case, torch.float32, CPU, lambda seed: make_inputs(case, torch.float32, seed), seed, least=64.0
    )


KINDS = [
    "one dominant key",
    "constant rows",
    "largest fp16 values",
    "largest fp16 products",
    "largest fp16 products, one winner",
    "largest fp16 products, one winner, D = 256",
]
LARGEST = 65504.0


def test_adversarial(kind: str, dtype: torch.dtype, backend: TorchBackend, seed: int) -> None:
    case = Case(kind, Hq=2, Hkv=1, Sq=150, Sk=150, D=256 if kind.endswith("256") else 64)

    def draw(seed: int) -> Inputs:
        inputs = make_inputs(case, dtype, seed)
        if kind == "one dominant key":
            inputs.k[:, :, 7] *= 50
        elif kind == "constant rows":
            inputs.q.fill_(0.5)
            inputs.k.fill_(-0.25)
        elif kind == "largest fp16 values":
            inputs.v.copy_(inputs.v.sign() * LARGEST)
        elif kind == "largest fp16 products":
            inputs.q.copy_(inputs.q.sign() * LARGEST)
            inputs.k.copy_(inputs.k.sign() * LARGEST)
        else:
            one_winner(inputs)
        return inputs

    inputs = draw(seed)
    got, want = backend.run(case, inputs), oracle(case, inputs, torch.float64)
    if kind == "largest fp16 products":
        # Scores beyond 10^10, many of them equal: which of two near ones is larger is beyond fp32, and so is the
        # logarithm of how many are equal beside them in lse. Every row of out is a mean of v's rows all the same;
        # gradients are determined only where one key wins, which is the next kind.
        assert got.lse.isfinite().all()
        assert got.out.abs().max() <= inputs.v.abs().max()
        return
    if "one winner" in kind:
        assert_exact_where_they_fit(case, got, want)
        return
    for name, ours, exact in zip(Result._fields, got, want):
        assert ours[exact.abs() < torch.finfo(dtype).max / 2].isfinite().all(), name
    if kind == "largest fp16 values" and dtype is torch.float16:
        assert_bounds_of_unit_values(case, inputs, got, want)
    else:
        assert_within_bounds(case, dtype, backend, draw, seed)


def one_winner(inputs: Inputs) -> None:
    """The largest fp16 products, of which one key's is by far each row's largest: P is 0 or 1, dS is dlse at the winner
    and 0 elsewhere, and with small integers in v, dout and dlse all sums are exact in fp32.
    """
    sk = inputs.k.shape[2]
    direction = inputs.q[0, 0, 0].sign()
    sizes = LARGEST - 256 * torch.randperm(sk, generator=torch.Generator().manual_seed(sk))  # exact in bf16, to LARGEST
    inputs.q.copy_(inputs.q[..., :1].sign() * direction * LARGEST)
    inputs.k.copy_(sizes[:, None] * direction)
    for t in (inputs.v, inputs.dout):
        t.copy_(t.sign())
    inputs.dlse.copy_(inputs.dlse.sign() * (1 + (inputs.dlse.abs() > 0.7)))


def assert_exact_where_they_fit(case: Case, got: Result, want: Result) -> None:
    """Results that the dtype can hold are the exact ones, rounded; there are such of each. lse is D sums' roundings."""
    for name, ours, exact in zip(Result._fields, got, want):
        if name == "dsinks" and not case.sinks:
            continue
        eps = max(torch.finfo(ours.dtype).eps, 1e-13)  # the oracle itself is only fp64
        fits = exact.abs() < torch.finfo(ours.dtype).max / 2
        assert (fits & (exact != 0)).any(), name
        error = (ours.double() - exact).abs()
        bound = eps * exact.abs() * (case.D / 2 if name == "lse" else 1)
        assert (error <= bound)[fits].all(), f"{name}: error {max_abs(error[fits]):.3g}"


def assert_bounds_of_unit_values(case: Case, inputs: Inputs, got: Result, want: Result) -> None:
    """fp16 with v = +-65504: where results fit, errors within 65504 times the bounds of the problem with v = +-1."""
    unit = dataclasses.replace(inputs, v=inputs.v.sign(), dlse=inputs.dlse / LARGEST)
    theirs = pytorch_error(case, unit, torch.float16, oracle(case, unit, torch.float64))
    for name, factor in {"out": LARGEST, "dq": LARGEST, "dk": LARGEST, "dv": 1.0}.items():
        ours, exact = getattr(got, name), getattr(want, name)
        fits = exact.abs() < torch.finfo(torch.float16).max / 2
        assert fits.any(), name
        error = max_abs((ours.double() - exact)[fits])
        bound = (2 if name == "out" else 3) * theirs[name] * factor + torch.finfo(torch.float16).eps * max_abs(
            exact[fits]
        )
        assert error <= bound, f"{name}: error {error:.3g}, bound {bound:.3g}"
