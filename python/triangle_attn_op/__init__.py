"""Block-causal (inverted triangle, 倒三角) attention: one fused operator for Ascend NPUs and CPUs.

Not AlphaFold's triangle (pair) attention. Importing the package registers `torch.ops.triangle.attn`.
"""

from __future__ import annotations

from . import _pairing

_pairing.check()  # before torch is imported

from . import ops  # noqa: E402, F401  registers the operators
from .arguments import add_arguments  # noqa: E402
from .backends import call_counts, last_backend  # noqa: E402
from .functional import merge_attention, triangle_attention, triangle_attention_varlen  # noqa: E402
from .kvcache import triangle_attention_with_kvcache  # noqa: E402
from .module import TriangleAttention  # noqa: E402
from .sdpa import scaled_dot_product_attention  # noqa: E402
from .warm import warm_up  # noqa: E402

__all__ = [
    "TriangleAttention",
    "__version__",
    "add_arguments",
    "call_counts",
    "last_backend",
    "merge_attention",
    "scaled_dot_product_attention",
    "triangle_attention",
    "triangle_attention_varlen",
    "triangle_attention_with_kvcache",
    "warm_up",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("triangle_attn_op")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
