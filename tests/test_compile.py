"""torch.compile(fullgraph=True, dynamic=True) of whatever a number may come from: module attributes, symbolic sizes,
`.item()`, sizes marked unbacked. What SDPA compiles, the operator compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.decorators import mark_unbacked
from triangle_attn_op import TriangleAttention, triangle_attention, triangle_attention_varlen

CU = torch.tensor([0, 13, 40], dtype=torch.int32)


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def qkv(s: int = 24, d: int = 16) -> list[Tensor]:
    return [torch.randn(2, h, s, d, requires_grad=True) for h in (4, 2, 2)]


class Layer(nn.Module):
    """Numbers as attributes, as models keep them."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        for name, value in options.items():
            setattr(self, name, value)
        self.names = tuple(options)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return triangle_attention(q, k, v, **{name: getattr(self, name) for name in self.names})


NUMBERS: dict[str, Callable[..., Tensor]] = {
    "scale attribute": Layer(scale=64**-0.5),
    "every attribute": Layer(scale=0.3, window_size_left=5, diagonal=1),
    "scale of a size": lambda q, k, v: triangle_attention(q, k, v, scale=q.shape[-1] ** -0.5),
    "window of a size": lambda q, k, v: triangle_attention(q, k, v, window_size_left=q.shape[2] // 3),
    "diagonal of a size": lambda q, k, v: triangle_attention(q, k, v, diagonal=k.shape[2] - q.shape[2] + 1),
    "operator": lambda q, k, v: torch.ops.triangle.attn(q, k, v, scale=q.shape[-1] ** -0.5, window_size_left=7),
    "mask of a size": lambda q, k, v: triangle_attention(
        q, k, v, attn_mask=torch.ones(q.shape[2], k.shape[2]).tril(-1) < 1
    ),
    "module": lambda q, k, v: TriangleAttention()(q, k, v, torch.ones(q.shape[2], k.shape[2]).tril(-3) > 0),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_symbolic_numbers(name: str) -> None:
    f = NUMBERS[name]
    compiled = torch.compile(f, fullgraph=True, dynamic=True, backend="aot_eager")
    for s in (24, 37):
        q, k, v = qkv(s)
        got, want = compiled(q, k, v), f(q, k, v)
        torch.testing.assert_close(got, want)
        for a, b in zip(torch.autograd.grad(got.sum(), (q, k, v)), torch.autograd.grad(want.sum(), (q, k, v))):
            torch.testing.assert_close(a, b)


def test_scale_as_an_argument() -> None:
    compiled = torch.compile(
        lambda q, k, v, scale: triangle_attention(q, k, v, scale=scale),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    leaves = qkv()
    for scale in (0.25, 0.3):
        torch.testing.assert_close(compiled(*leaves, scale), triangle_attention(*leaves, scale=scale))


@pytest.mark.parametrize("checked", [True, False], ids=["torch._check", "bare"])
def test_item(checked: bool) -> None:
    """max_q of a tensor: an unbacked number, of which a run alone knows the value."""

    def f(q: Tensor, k: Tensor, v: Tensor, cu: Tensor) -> Tensor:
        longest = cu.diff().max().item()
        if checked:
            torch._check(longest >= 0)
            torch._check(longest <= q.shape[0])
        return triangle_attention_varlen(q, k, v, cu, cu, longest, longest)

    leaves = [torch.randn(40, h, 16, requires_grad=True) for h in (4, 2, 2)]
    with torch._dynamo.config.patch(capture_scalar_outputs=True):
        compiled = torch.compile(f, fullgraph=True, dynamic=True, backend="aot_eager")
        got, want = compiled(*leaves, CU), f(*leaves, CU)
        torch.testing.assert_close(got, want)
        got.sum().backward()


@pytest.mark.parametrize("heads_first", [True, False], ids=["[b, h, s, d]", "[b, s, h, d]"])
def test_unbacked_sizes(heads_first: bool) -> None:
    """Batch and length known only at run time; the compiled graph asserts the strides that the fake kernel promised."""

    def inputs(b: int, s: int) -> list[Tensor]:
        tensors = [
            torch.randn(b, h, s, 16) if heads_first else torch.randn(b, s, h, 16).transpose(1, 2) for h in (4, 2, 2)
        ]
        for t in tensors:
            t.requires_grad_()
            mark_unbacked(t, 0)
            mark_unbacked(t, 2)
        return tensors

    def f(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return triangle_attention(q, k, v) * 2.0

    compiled = torch.compile(f, fullgraph=True, dynamic=True, backend="aot_eager" if heads_first else "inductor")
    for b, s in ((2, 24), (3, 9), (2, 1)):
        leaves = inputs(b, s)
        got, want = compiled(*leaves), f(*leaves)
        torch.testing.assert_close(got, want)
        assert s == 1 or got.stride() == want.stride()
        got.sum().backward()


def test_a_number_that_is_wrong_is_refused_while_tracing() -> None:
    q, k, v = qkv()
    for options, message in (
        ({"scale": float("nan")}, "scale: expected a finite number"),
        ({"window_size_left": -1}, "window_size_left: expected None or an int >= 0"),
    ):
        layer = lambda *t, options=options: triangle_attention(*t, **options)  # noqa: E731
        with pytest.raises(Exception, match=message):
            torch.compile(layer, fullgraph=True, backend="aot_eager")(q, k, v)
