"""The table of the emulated operators: what calls each aclnn function through torch_npu, and on which tensors.

A case names the functions of libopapi.so that it must reach. `run` gets tensors of one device, laid out in memory in
several ways, and returns what is compared with the CPU's result; what it writes to its arguments is compared too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)
FLOATS = (torch.float32, *HALVES)
INTS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
ALL = (*FLOATS, *INTS)
BITS = (torch.int32, torch.int64, torch.uint8, torch.bool)
ANY = (*ALL, torch.bool)
F32 = (torch.float32,)


@dataclass(frozen=True)
class Case:
    """One row: aclnn names, what to run, and the sizes and dtypes of its arguments.

    Sizes: None where the arguments are elementwise and the test chooses them (empty, 0-dim, broadcast...).
    Domain: "real" (normal numbers), "positive" (0.1 and more), "small" (integers near 0, never 0).
    """

    functions: str
    run: Callable[..., Any]
    sizes: Sequence[tuple[int, ...]] | None = None
    dtypes: Sequence[torch.dtype] = FLOATS
    domain: str = "real"
    arguments: int = 1


def elementwise(functions: str, run: Callable[..., Any], arguments: int = 1, **more: Any) -> Case:
    return Case(functions, run, None, arguments=arguments, **more)


def sized(functions: str, run: Callable[..., Any], *sizes: tuple[int, ...], **more: Any) -> Case:
    return Case(functions, run, sizes, **more)


def _method(name: str) -> Callable[..., Any]:
    return lambda x, *others: getattr(x, name)(*others)


# ---- families: aclnn name, PyTorch's name ----------------------------------------------------------------------------

UNARY = [
    # aclnn, torch, domain, dtypes, whether aclnnInplace... exists
    ("Exp", "exp", "real", FLOATS, True),
    ("Expm1", "expm1", "real", FLOATS, True),
    ("Log", "log", "positive", FLOATS, True),
    ("Log1p", "log1p", "positive", FLOATS, True),
    ("Sqrt", "sqrt", "positive", FLOATS, True),
    ("Rsqrt", "rsqrt", "positive", FLOATS, True),
    ("Reciprocal", "reciprocal", "positive", FLOATS, True),
    ("Sin", "sin", "real", FLOATS, True),
    ("Cos", "cos", "real", FLOATS, True),
    ("Tanh", "tanh", "real", FLOATS, True),
    ("Erf", "erf", "real", FLOATS, True),
    ("Sigmoid", "sigmoid", "real", FLOATS, True),
    ("Neg", "neg", "real", ALL, False),
    ("Abs", "abs", "real", (*FLOATS, torch.int32, torch.int64), False),
    ("Sign", "sign", "real", (*FLOATS, torch.int32, torch.int64), False),
    ("Relu", "relu", "real", (*FLOATS, torch.int32), True),
    ("Ceil", "ceil", "real", FLOATS, False),
    ("Floor", "floor", "real", FLOATS, True),
    ("Trunc", "trunc", "real", FLOATS, False),
    ("Round", "round", "real", FLOATS, False),
    ("LogicalNot", "logical_not", "real", ANY, True),
]
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
BITWISE = ("and", "or", "xor")


def _families() -> list[Case]:
    cases: list[Case] = []
    for name, method, domain, dtypes, in_place in UNARY:
        cases.append(elementwise(f"aclnn{name}", _method(method), domain=domain, dtypes=dtypes))
        if in_place:
            cases.append(elementwise(f"aclnnInplace{name}", _method(f"{method}_"), domain=domain, dtypes=dtypes))
    for method in COMPARISONS:
        name = method.capitalize()
        cases += [
            elementwise(f"aclnn{name}Tensor", _method(method), 2, dtypes=ANY),
            elementwise(f"aclnn{name}Scalar", lambda x, m=method: getattr(x, m)(1), dtypes=ANY),
            elementwise(f"aclnnInplace{name}Tensor", _method(f"{method}_"), 2, dtypes=ALL),
            elementwise(f"aclnnInplace{name}Scalar", lambda x, m=method: getattr(x, f"{m}_")(1), dtypes=ALL),
        ]
    for method in BITWISE:
        name, call = f"Bitwise{method.capitalize()}", f"bitwise_{method}"
        cases += [
            elementwise(f"aclnn{name}Tensor", _method(call), 2, dtypes=BITS),
            elementwise(f"aclnn{name}Scalar", lambda x, m=call: getattr(x, m)(5), dtypes=BITS[:3]),
        ]
        if method == "or":
            continue  # torch_npu calls the form with an output
        cases += [
            elementwise(f"aclnnInplace{name}Tensor", _method(f"{call}_"), 2, dtypes=BITS),
            elementwise(f"aclnnInplace{name}Scalar", lambda x, m=call: getattr(x, f"{m}_")(5), dtypes=BITS[:3]),
        ]
    return cases


def _special(x: Tensor) -> Tensor:
    """x with some NaN and infinities, made on the CPU's copy so that both devices see the same."""
    host = x.cpu().contiguous().clone()
    flat = host.view(-1)
    for i, value in enumerate((math.inf, -math.inf, math.nan)):
        flat[i::7] = value
    return host.to(x.device)


def _on(x: Tensor, values: Any) -> Tensor:
    return torch.tensor(values, device=x.device)


def _out(function: Callable[..., Any], *arguments: Any) -> Tensor:
    like = next(a for a in arguments if isinstance(a, Tensor))
    return function(*arguments, out=torch.empty_like(like))


ARITHMETIC = [
    elementwise("aclnnAdd", lambda x, y: x + y, 2, dtypes=ANY),
    elementwise("aclnnAdd", lambda x, y: torch.add(x, y, alpha=3), 2, dtypes=ALL),
    elementwise("aclnnAdd", lambda x, y: _out(torch.add, x, y), 2, dtypes=FLOATS),
    elementwise("aclnnInplaceAdd", lambda x, y: x.add_(y, alpha=2), 2, dtypes=ALL),
    elementwise("aclnnAdds", lambda x: x + 2, dtypes=ALL),
    elementwise("aclnnAdds", lambda x: x + 0.5, dtypes=(*FLOATS, torch.int32, torch.bool)),
    elementwise("aclnnInplaceAdds", lambda x: x.add_(3), dtypes=ALL),
    elementwise("aclnnSub", lambda x, y: x - y, 2, dtypes=ALL),
    elementwise("aclnnInplaceSub", lambda x, y: x.sub_(y, alpha=2), 2, dtypes=ALL),
    elementwise("aclnnSubs", lambda x: x - 2, dtypes=ALL),
    elementwise("aclnnInplaceSubs", lambda x: x.sub_(3), dtypes=ALL),
    elementwise("aclnnRsubs", lambda x: 2 - x, dtypes=(*FLOATS, torch.int32, torch.int64)),
    elementwise("aclnnMul", lambda x, y: x * y, 2, dtypes=ANY),
    elementwise("aclnnInplaceMul", lambda x, y: x.mul_(y), 2, dtypes=ALL),
    elementwise("aclnnMuls", lambda x: x * 3, dtypes=ALL),
    elementwise("aclnnInplaceMuls", lambda x: x.mul_(3), dtypes=ALL),
    elementwise("aclnnDiv", lambda x, y: x / y, 2, domain="small", dtypes=(*FLOATS, torch.int32, torch.int64)),
    elementwise("aclnnInplaceDiv", lambda x, y: x.div_(y), 2, domain="small"),
    elementwise("aclnnDivs", lambda x: x / 3, dtypes=(*FLOATS, torch.int32)),
    elementwise("aclnnInplaceDivs", lambda x: x.div_(3)),
    elementwise(
        "aclnnDivMod", lambda x, y: x.div(y, rounding_mode="floor"), 2, domain="small", dtypes=(*FLOATS, torch.int32)
    ),
    elementwise(
        "aclnnDivMod", lambda x, y: x.div(y, rounding_mode="trunc"), 2, domain="small", dtypes=(*FLOATS, torch.int32)
    ),
    elementwise("aclnnInplaceDivMod", lambda x, y: x.div_(y, rounding_mode="trunc"), 2, domain="small"),
    elementwise("aclnnDivMods", lambda x: x.div(2, rounding_mode="floor"), dtypes=(*FLOATS, torch.int32)),
    elementwise("aclnnInplaceDivMods", lambda x: x.div_(2, rounding_mode="floor"), dtypes=(*FLOATS, torch.int32)),
    elementwise("aclnnFloorDivide", lambda x, y: x // y, 2, domain="small", dtypes=(*FLOATS, torch.int32, torch.int64)),
    elementwise("aclnnInplaceFloorDivide", lambda x, y: x.floor_divide_(y), 2, domain="small"),
    elementwise("aclnnFloorDivides", lambda x: x // 3, dtypes=(*FLOATS, torch.int32)),
    elementwise("aclnnInplaceFloorDivides", lambda x: x.floor_divide_(3), dtypes=(*FLOATS, torch.int32)),
    elementwise("aclnnRemainderTensorTensor", lambda x, y: x % y, 2, domain="small", dtypes=(*FLOATS, torch.int32)),
    elementwise("aclnnInplaceRemainderTensorTensor", lambda x, y: x.remainder_(y), 2, domain="small"),
    elementwise("aclnnRemainderTensorScalar", lambda x: x % 3, dtypes=(*FLOATS, torch.int32)),
    elementwise("aclnnInplaceRemainderTensorScalar", lambda x: x.remainder_(3)),
    elementwise("aclnnRemainderScalarTensor", lambda x: torch.remainder(5, x), domain="small"),
    elementwise("aclnnPowTensorScalar", lambda x: x**2, dtypes=(*FLOATS, torch.int32, torch.int64)),
    elementwise("aclnnPowTensorScalar", lambda x: x**-0.5, domain="positive"),
    elementwise("aclnnInplacePowTensorScalar", lambda x: x.pow_(2)),
    elementwise("aclnnPowTensorTensor", lambda x, y: x**y, 2, domain="positive"),
    elementwise("aclnnInplacePowTensorTensor", lambda x, y: x.pow_(y), 2, domain="positive"),
    elementwise("aclnnPowScalarTensor", lambda x: 2.0**x),
    elementwise("aclnnMaximum", torch.maximum, 2, dtypes=ALL),
    elementwise("aclnnMinimum", torch.minimum, 2, dtypes=ALL),
    elementwise("aclnnLogicalAnd", torch.logical_and, 2, dtypes=ANY),
    elementwise("aclnnLogicalOr", torch.logical_or, 2, dtypes=ANY),
    elementwise("aclnnInplaceLogicalAnd", _method("logical_and_"), 2, dtypes=ALL),
    elementwise("aclnnInplaceLogicalOr", _method("logical_or_"), 2, dtypes=ALL),
    elementwise("aclnnLogicalXor", torch.logical_xor, 2, dtypes=ANY),
    elementwise("aclnnBitwiseNot", torch.bitwise_not, dtypes=BITS),
    elementwise("aclnnIsFinite", lambda x: torch.isfinite(_special(x))),
    elementwise("aclnnNeTensor", lambda x: torch.isnan(_special(x))),
    elementwise("aclnnSilu", F.silu),
    elementwise("aclnnGelu", lambda x: F.gelu(x, approximate="tanh")),
    elementwise("aclnnIsPosInf", lambda x: torch.isposinf(_special(x))),
    elementwise("aclnnIsNegInf", lambda x: torch.isneginf(_special(x))),
    elementwise("aclnnEqScalar", lambda x: torch.isinf(_special(x))),
    elementwise("aclnnIsClose", lambda x, y: torch.isclose(x, y, rtol=0.5), 2),
    elementwise("aclnnNanToNum", lambda x: torch.nan_to_num(_special(x), nan=1.0, posinf=2.0, neginf=-3.0)),
    elementwise("aclnnSWhere", lambda x, y: torch.where(x > y, x, y), 2, dtypes=ALL),
    elementwise("aclnnInplaceMaskedFillScalar", lambda x, y: x.masked_fill_(y > 0, -2), 2, dtypes=ALL),
    elementwise("aclnnClamp", lambda x: x.clamp(-1, 1), dtypes=(*FLOATS, torch.int32, torch.int64)),
    elementwise("aclnnClampTensor", lambda x, y: torch.clamp(x, y, y + 1), 2),
    elementwise("aclnnLerps", lambda x, y: torch.lerp(x, y, 0.3), 2, dtypes=FLOATS),
    elementwise("aclnnInplaceLerps", lambda x, y: x.lerp_(y, 0.7), 2, dtypes=FLOATS),
    elementwise("aclnnAddcmul", lambda x, y: torch.addcmul(x, y, x, value=0.5), 2),
    elementwise("aclnnInplaceAddcmul", lambda x, y: x.addcmul_(y, y, value=0.5), 2),
    elementwise("aclnnAddcdiv", lambda x, y: torch.addcdiv(x, x, y, value=0.5), 2, domain="positive"),
    elementwise("aclnnInplaceAddcdiv", lambda x, y: x.addcdiv_(x, y, value=0.5), 2, domain="positive"),
    elementwise("aclnnInplaceCopy", lambda x, y: x.copy_(y), 2, dtypes=ANY),
    elementwise("aclnnInplaceCopy", lambda x: x.clone(), dtypes=ANY),
    elementwise("aclnnInplaceZero", lambda x: x.zero_(), dtypes=ANY),
    elementwise("aclnnInplaceFillScalar", lambda x: x.fill_(3), dtypes=ANY),
    elementwise("aclnnInplaceOne", lambda x: torch.ones(x.shape, dtype=x.dtype, device=x.device), dtypes=ANY),
    elementwise("aclnnInplaceFillScalar", torch.ones_like, dtypes=ANY),
    elementwise("aclnnInplaceFillTensor", lambda x: x.fill_(_on(x, 3)), dtypes=ANY),
    elementwise("aclnnInplaceMaskedFillTensor", lambda x, y: x.masked_fill_(y > 0, _on(x, 2).to(x.dtype)), 2),
    elementwise("aclnnRsub", torch.rsub, 2),
    elementwise("aclnnLerp", lambda x, y: x.lerp(y, y), 2),
    elementwise("aclnnInplaceLerp", lambda x, y: x.lerp_(y, y), 2),
    elementwise("aclnnClampMin", lambda x: x.clamp_min(0.25)),
    elementwise("aclnnClampMax", lambda x: x.clamp_max(0.25)),
    elementwise("aclnnInplaceClampMax", lambda x: x.clamp_max_(0.25)),
    elementwise("aclnnClampMinTensor", lambda x, y: x.clamp_min(y), 2),
    elementwise("aclnnClampMaxTensor", lambda x, y: x.clamp_max(y), 2),
    elementwise("aclnnInplaceClampMinTensor", lambda x, y: x.clamp_min_(y), 2),
    elementwise("aclnnInplaceClampMaxTensor", lambda x, y: x.clamp_max_(y), 2),
    elementwise("aclnnInplaceCeil", lambda x: x.ceil_()),
]

MAKERS = [
    sized("aclnnInplaceFillScalar", lambda x: torch.full((2, 3), 1.5, device=x.device, dtype=x.dtype), (1,)),
    sized("aclnnArange", lambda x: torch.arange(-3, 20, 4, device=x.device, dtype=x.dtype), (1,),
          dtypes=(*FLOATS, torch.int32, torch.int64)),
    sized("aclnnArange", lambda x: torch.arange(0.5, 3, 0.25, device=x.device), (1,), dtypes=F32),
    sized("aclnnLinspace", lambda x: torch.linspace(-1, 2, 7, device=x.device), (1,), dtypes=F32),
    sized("aclnnEye", lambda x: torch.eye(3, 5, device=x.device), (1,), dtypes=F32),
    sized("aclnnTril", lambda x: torch.tril(x, 1), (2, 5, 4), dtypes=(*FLOATS, torch.bool)),
    sized("aclnnTriu", lambda x: torch.triu(x, -1), (2, 5, 4), dtypes=(*FLOATS, torch.bool)),
    sized("aclnnInplaceTril", lambda x: x.tril_(), (5, 4)),
    sized("aclnnInplaceTriu", lambda x: x.triu_(), (5, 4)),
    sized("aclnnCat", lambda x, y: torch.cat([x, y], 1), (2, 3, 4), (2, 5, 4), dtypes=ANY),
    sized("aclnnStack", lambda x, y: torch.stack([x, y], -1), (2, 3), (2, 3), dtypes=ANY),
    sized("aclnnRepeat", lambda x: x.repeat(2, 1, 3), (2, 3), dtypes=ALL),
    sized("aclnnFlip", lambda x: x.flip(0, 2), (2, 3, 4), dtypes=ALL),
    sized("aclnnRoll", lambda x: x.roll((1, -2), (0, 1)), (3, 5)),
    sized("aclnnConstantPadNd", lambda x: F.pad(x, (1, 2, -1, 1), value=0.5), (3, 4)),
]  # fmt: skip

REDUCTIONS = [
    sized("aclnnReduceSum", lambda x: x.sum(), (3, 4, 5), dtypes=ANY),
    sized("aclnnReduceSum", lambda x: x.sum(1), (3, 4, 5), dtypes=ANY),
    sized("aclnnReduceSum", lambda x: x.sum((0, -1), keepdim=True), (3, 4, 5)),
    sized("aclnnReduceSum", lambda x: x.sum(1, dtype=torch.float32), (3, 4, 5), dtypes=(*HALVES, torch.int32)),
    sized("", lambda x: x.sum(0), (0, 3)),  # torch_npu answers by itself
    sized("aclnnMean", lambda x: x.mean(), (3, 4, 5)),
    sized("aclnnMean", lambda x: x.mean(-1, keepdim=True), (3, 4, 5)),
    sized("aclnnProd", lambda x: x.prod(), (7,), dtypes=(torch.float32, torch.int64), domain="small"),
    sized("aclnnLogSumExp", lambda x: torch.logsumexp(x, 1), (3, 4, 5)),
    sized("aclnnLinalgVectorNorm", lambda x: torch.linalg.vector_norm(x, 2, dim=1), (3, 4, 5)),
    sized("aclnnLinalgVectorNorm", lambda x: torch.linalg.vector_norm(x, math.inf), (3, 4, 5)),
    sized("aclnnLinalgVectorNorm", lambda x: torch.norm(x, 1, dim=1), (3, 4, 5)),
    sized("aclnnVarCorrection", lambda x: x.var(1), (3, 4, 5)),
    sized("aclnnStd", lambda x: x.std(1, correction=0), (3, 4, 5)),
    sized("aclnnAny", lambda x: (x > 1).any(), (3, 4)),
    sized("aclnnAny", lambda x: (x > 1).any(1), (3, 4)),
    sized("aclnnAll", lambda x: (x > -1).all(), (3, 4)),
    sized("aclnnAll", lambda x: (x > -1).all(0), (3, 4)),
    sized("aclnnEqual", lambda x: torch.equal(x, x.clone()), (3, 4), dtypes=ANY),
    sized("aclnnMax", lambda x: x.max(), (3, 4), dtypes=ALL),
    sized("aclnnMin", lambda x: x.min(), (3, 4), dtypes=ALL),
    sized("aclnnMaxDim", lambda x: x.max(1), (3, 4, 5), dtypes=(*FLOATS, torch.int64)),
    sized("aclnnMinDim", lambda x: x.min(0, keepdim=True), (3, 4, 5), dtypes=(*FLOATS, torch.int64)),
    sized("aclnnAmax", lambda x: x.amax((0, 2)), (3, 4, 5)),
    sized("aclnnAmin", lambda x: x.amin(1), (3, 4, 5)),
    sized("aclnnArgMax", lambda x: x.argmax(-1), (3, 4, 5)),
    sized("aclnnArgMin", lambda x: x.argmin(0), (3, 4, 5)),
    sized("aclnnCumsum", lambda x: x.cumsum(1), (3, 4, 5), dtypes=(*FLOATS, torch.int32, torch.int64, torch.bool)),
    sized("aclnnSort", lambda x: x.sort(1, descending=True), (3, 9), dtypes=(torch.float32, torch.float16)),
    sized("aclnnTopk", lambda x: x.topk(3, -1), (3, 9), dtypes=(torch.float32, torch.float16)),
]

PRODUCTS = [
    sized("aclnnMm", torch.mm, (5, 7), (7, 3)),
    sized("aclnnMatmul", lambda x, w: F.linear(x, w), (5, 7), (3, 7)),
    sized("aclnnMatmul", torch.matmul, (2, 4, 5, 7), (4, 7, 3)),
    sized("aclnnBatchMatMul", torch.bmm, (3, 5, 7), (3, 7, 2)),
    sized("aclnnMv", torch.mv, (5, 7), (7,)),
    sized("aclnnDot", torch.dot, (9,), (9,)),
    sized("aclnnAddmm", lambda s, x, y: torch.addmm(s, x, y, beta=0.5, alpha=2), (3,), (5, 7), (7, 3)),
    sized("aclnnInplaceAddmm", lambda s, x, y: s.addmm_(x, y), (5, 3), (5, 7), (7, 3)),
    sized("aclnnBaddbmm", lambda s, x, y: torch.baddbmm(s, x, y, beta=2), (5, 2), (3, 5, 7), (3, 7, 2)),
    sized("aclnnBaddbmm", lambda s, x, y: s.baddbmm_(x, y), (3, 5, 2), (3, 5, 7), (3, 7, 2)),
]


def _softmax_backward(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda g, y: getattr(torch.ops.aten, name)(g, y, 1, y.dtype)


def _nll(x: Tensor, reduction: str, weight: bool = False) -> list[Tensor]:
    leaf = x.detach().clone().requires_grad_()
    target = _on(x, [1, 0, -100, 3])
    weights = torch.arange(1, 6, device=x.device).to(x.dtype) / 4 if weight else None
    loss = F.nll_loss(leaf, target, weight=weights, reduction=reduction)
    loss.sum().backward()
    return [loss.detach(), leaf.grad]


NETWORK = [
    sized("aclnnSiluBackward", lambda x, g: torch.ops.aten.silu_backward(g, x), (3, 4), (3, 4)),
    sized("aclnnSigmoidBackward", lambda y, g: torch.ops.aten.sigmoid_backward(g, y), (3, 4), (3, 4)),
    sized("aclnnTanhBackward", lambda y, g: torch.ops.aten.tanh_backward(g, y), (3, 4), (3, 4)),
    sized("aclnnThresholdBackward", lambda x, g: torch.ops.aten.threshold_backward(g, x, 0.25), (3, 4), (3, 4)),
    sized("aclnnSoftmax", lambda x: x.softmax(1), (3, 4, 5)),
    sized("aclnnLogSoftmax", lambda x: x.log_softmax(-1), (3, 4, 5)),
    sized("aclnnSoftmaxBackward", _softmax_backward("_softmax_backward_data"), (3, 4), (3, 4)),
    sized("aclnnLogSoftmaxBackward", _softmax_backward("_log_softmax_backward_data"), (3, 4), (3, 4)),
    sized("aclnnEmbedding", lambda w: F.embedding(_on(w, [[1, 4], [0, 1]]), w), (5, 3)),
    sized("aclnnEmbeddingDenseBackward",
          lambda g: torch.ops.aten.embedding_dense_backward(g, _on(g, [1, 4, 1, 2]), 6, 2, False), (4, 3)),
    sized("aclnnNLLLoss aclnnNLLLossBackward", lambda x: _nll(x, "mean"), (4, 5), dtypes=F32),
    sized("aclnnNLLLoss aclnnNLLLossBackward", lambda x: _nll(x, "none", weight=True), (4, 5), dtypes=F32),
]  # fmt: skip

INDICES = [
    sized("aclnnIndex", lambda x: x[_on(x, [2, 0, -1])], (3, 4, 5), dtypes=(*FLOATS, torch.int64, torch.bool)),
    sized("aclnnIndex", lambda x: x[:, _on(x, [[1], [0]]), _on(x, [2, 4, 0])], (3, 4, 5)),
    sized("aclnnIndex", lambda x: x[_on(x, [1, 2]), :, _on(x, [0, 3])], (3, 4, 5)),
    sized("aclnnIndex aclnnNonzeroV2", lambda x: x[x > 0], (3, 4)),
    sized("aclnnIndexPutImpl", lambda x, y: x.index_put_((_on(x, [2, 0, 2]),), y, accumulate=True), (3, 4), (3, 4),
          dtypes=(*FLOATS, torch.int64)),
    sized("aclnnIndexPutImpl", lambda x, y: x.index_put_((_on(x, [2, 0]), _on(x, [1, 3])), y), (3, 4), (2,)),
    sized("aclnnGather", lambda x: x.gather(1, _on(x, [[0, 3, 1], [2, 2, 0]])), (3, 4), dtypes=ALL),
    sized("aclnnInplaceScatter", lambda x, y: x.scatter_(1, _on(x, [[0, 3], [2, 1]]), y), (3, 4), (2, 2)),
    sized("aclnnScatter", lambda x, y: x.scatter(1, _on(x, [[0, 3], [2, 1]]), y), (3, 4), (2, 2)),
    sized("aclnnInplaceScatterValue", lambda x: x.scatter_(0, _on(x, [[0, 2], [1, 1]]), 7), (3, 4)),
    sized("aclnnScatterValue", lambda x: x.scatter(0, _on(x, [[0, 2], [1, 1]]), 7), (3, 4)),
    sized("aclnnScatterAdd", lambda x, y: x.scatter_add_(1, _on(x, [[0, 0], [2, 1]]), y), (3, 4), (2, 2)),
    sized("aclnnIndexSelect", lambda x: x.index_select(1, _on(x, [3, 0, 0])), (3, 4, 2), dtypes=ALL),
    sized("aclnnIndexAdd", lambda x, y: x.index_add(1, _on(x, [3, 0, 0]), y, alpha=2), (3, 4), (3, 3)),
    sized("aclnnNonzero", lambda x: (x > 0).nonzero(), (3, 4), dtypes=F32),
    sized("aclnnMaskedSelect", lambda x: x.masked_select(x > 0), (3, 4)),
    sized("aclnnIsInTensorScalar", lambda x: torch.isin(x, 2), (3, 4), dtypes=(torch.int32, torch.int64)),
    sized("aclnnIsInScalarTensor", lambda x: torch.isin(2, x), (3, 4), dtypes=(torch.int32, torch.int64)),
    sized("aclnnRepeatInterleaveInt", lambda x: x.repeat_interleave(2), (3, 4)),
    sized("aclnnRepeatInterleaveIntWithDim", lambda x: x.repeat_interleave(3, dim=1), (2, 3, 2)),
]  # fmt: skip


def _foreach(name: str, *extra: Any) -> Callable[[Tensor, Tensor], list[Tensor]]:
    """The out-of-place and the in-place form on a list of two tensors, other lists made of the same two."""

    def run(x: Tensor, y: Tensor) -> list[Tensor]:
        given = [[x, y], [y, x], [y + 1, x + 1]]
        arguments = [given[e + 1] if isinstance(e, int) and not isinstance(e, bool) else e for e in extra]
        arguments = [e[0] if isinstance(e, tuple) else e for e in arguments]
        results = list(getattr(torch, f"_foreach_{name}")([x, y], *arguments))
        copies = [x.clone(), y.clone()]
        getattr(torch, f"_foreach_{name}_")(copies, *arguments)
        return results + copies

    return run


def foreach(functions: str, name: str, *extra: Any, domain: str = "positive") -> Case:
    """extra: an int is a list of tensors, a 1-tuple a scalar, a list scalars."""
    return sized(functions, _foreach(name, *extra), (3, 4), (3, 4), domain=domain, dtypes=FLOATS)


FOREACH = [
    foreach("aclnnForeachSqrt", "sqrt"),
    foreach("aclnnForeachExp", "exp"),
    foreach("aclnnForeachNeg", "neg"),
    foreach("aclnnForeachAbs", "abs"),
    foreach("aclnnForeachReciprocal", "reciprocal"),
    foreach("aclnnForeachMulList", "mul", 0),
    foreach("aclnnForeachDivList", "div", 0),
    foreach("aclnnForeachMaximumList", "maximum", 0),
    foreach("aclnnForeachMinimumList", "minimum", 0),
    foreach("aclnnForeachAddListV2", "add", 0),
    foreach("aclnnForeachSubListV2", "sub", 0),
    foreach("aclnnForeachAddScalarV2", "add", (1.5,)),
    foreach("aclnnForeachSubScalarV2", "sub", (1.5,)),
    foreach("aclnnForeachMulScalarV2", "mul", (1.5,)),
    foreach("aclnnForeachDivScalarV2", "div", (1.5,)),
    foreach("aclnnForeachPowScalarV2", "pow", (2.0,)),
    foreach("aclnnForeachMaximumScalarV2", "clamp_min", (0.5,)),
    foreach("aclnnForeachMinimumScalarV2", "clamp_max", (0.5,)),
    foreach("aclnnForeachAddScalarList", "add", [1.5, 2.5]),
    foreach("aclnnForeachSubScalarList", "sub", [1.5, 2.5]),
    foreach("aclnnForeachMulScalarList", "mul", [1.5, 2.5]),
    foreach("aclnnForeachDivScalarList", "div", [1.5, 2.5]),
    foreach("aclnnForeachPowScalarList", "pow", [2.0, 0.5]),
    foreach("aclnnForeachMaximumScalarList", "clamp_min", [0.5, 1.5]),
    foreach("aclnnForeachMinimumScalarList", "clamp_max", [0.5, 1.5]),
    foreach("aclnnForeachAddcmulScalarV2", "addcmul", 0, 1, (0.5,)),
    foreach("aclnnForeachAddcdivScalarV2", "addcdiv", 0, 1, (0.5,)),
    foreach("aclnnForeachLerpScalar", "lerp", 0, (0.3,)),
    sized("aclnnForeachPowScalarAndTensor", lambda x, y: list(torch._foreach_pow(2.0, [x, y])), (3, 4), (3, 4)),
    sized("aclnnForeachNorm", lambda x, y: list(torch._foreach_norm([x, y], 2)), (3, 4), (3, 4), dtypes=F32),
    sized("aclnnForeachCopy", lambda x, y: torch._foreach_copy_([x], [y]), (3, 4), (3, 4)),
    sized("aclnnForeachZeroInplace", lambda x, y: torch._foreach_zero_([x, y]), (3, 4), (3, 4)),
]

CASES = [*_families(), *ARITHMETIC, *MAKERS, *REDUCTIONS, *PRODUCTS, *NETWORK, *INDICES, *FOREACH]

# Functions without a counterpart on the CPU to compare with, or that other tests call.
ELSEWHERE = {
    "aclnnApplyAdamWV2",
    "aclnnCast",
    "aclnnDropoutDoMask",
    "aclnnDropoutGenMaskV2",
    "aclnnInplaceBernoulli",
    "aclnnInplaceBernoulliTensor",
    "aclnnInplaceNormal",
    "aclnnInplaceRandom",
    "aclnnInplaceUniform",
    "aclnnNormalFloatFloat",
    "aclnnRmsNorm",
    "aclnnRmsNormGrad",
}
