"""The NPU kernels on the simulated AI Core: exact results on CPU tensors, findings of the checkers, modelled time.

>>> from triangle_attn_op import sim
>>> out, lse, report = sim.attn_forward(q, k, v, window_size_left=1024)
>>> report.raise_on_findings()
>>> sim.model_forward(sim.Shape(1, 32, 32, 8192, 8192, 128)).cube_share
"""

from .. import ascend_sim  # noqa: F401  first: where numpy is missing it says so
from .attention import attn_forward
from .backward import attn_backward, model_backward
from .cache import attn_kvcache
from .cache_model import ModelledCache, model_kvcache
from .model import Bends, Modelled, Shape, model_forward

__all__ = [
    "Bends",
    "Modelled",
    "ModelledCache",
    "Shape",
    "attn_backward",
    "attn_forward",
    "attn_kvcache",
    "model_backward",
    "model_forward",
    "model_kvcache",
]
