"""The attention class for torchtitan, on the real package, which `make` installs without what it asks for: TRL asks for
newer `datasets`.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

import pytest
import torch

pytestmark = [
    pytest.mark.xdist_group("torchtitan"),  # slow to import
    pytest.mark.skipif(sys.version_info < (3, 11), reason="torchtitan needs Python 3.11"),
]
# torchtitan's CUDA kernels for expert parallelism, which no attention uses: importing them needs triton, 270 MB.
NOT_HERE = "torchtitan.distributed.minimal_async_ep"


@pytest.fixture(scope="module")
def titan() -> Any:
    sys.modules[NOT_HERE] = mock.MagicMock()
    try:
        from torchtitan.models.common import attention
    finally:
        del sys.modules[NOT_HERE]
    return attention


@pytest.fixture(scope="module")
def ours(titan: Any) -> Any:
    from triangle_attn_op.integrations.torchtitan import TriangleVarlenAttention

    assert issubclass(TriangleVarlenAttention, titan.VarlenAttention)
    return TriangleVarlenAttention


@pytest.mark.parametrize("window", [-1, 4])
def test_documents_under_torchtitans_own_calls(window: int, titan: Any, ours: Any, seed: int):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(2, 12, h, 8, generator=generator, dtype=torch.float64).requires_grad_() for h in (4, 2, 2))
    offsets = torch.tensor([0, 5, 12, 24], dtype=torch.int32)
    masks = titan.VarlenMetadata(cu_seq_q=offsets, cu_seq_k=offsets, max_q=12, max_k=12)
    attention = ours.Config(window_size=(window, 0)).build()
    out = attention(q, k, v, attention_masks=masks, scale=0.5, enable_gqa=True)
    ids = torch.searchsorted(offsets[1:], torch.arange(24), right=True)
    i, j = torch.arange(24).unsqueeze(1), torch.arange(24)
    seen = (ids[i] == ids[j]) & (j <= i) & ((window < 0) | (j >= i - window))
    heads = (t.flatten(0, 1).transpose(0, 1).unsqueeze(0) for t in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=seen, scale=0.5, enable_gqa=True)
    expected = expected[0].transpose(0, 1).unflatten(0, (2, 12))
    torch.testing.assert_close(out, expected)
    grads = torch.autograd.grad(out.square().sum(), (q, k, v), retain_graph=True)
    torch.testing.assert_close(grads, torch.autograd.grad(expected.square().sum(), (q, k, v)))
    weighted = attention(q, k, v, attention_masks=masks, scale=0.5, out_transform=lambda o, lse: o * lse.unsqueeze(-1))
    scores = torch.einsum("qhd,khd->hqk", q.flatten(0, 1), k.flatten(0, 1).repeat_interleave(2, dim=1)) * 0.5
    lse = scores.masked_fill(~seen, -torch.inf).logsumexp(-1).t().unflatten(0, (2, 12))
    torch.testing.assert_close(weighted, expected * lse.unsqueeze(-1))


def test_a_window_to_the_right_is_refused(ours: Any):
    with pytest.raises(NotImplementedError, match=r"window_size: expected \(left, 0\), .* got \(-1, -1\)"):
        ours.Config(window_size=(-1, -1)).build()
