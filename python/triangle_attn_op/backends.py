"""Which backend ran a call: counted by the library at every launch, so that nobody has to guess."""

from __future__ import annotations

import ctypes

from . import _library


def last_backend() -> str:
    """The backend of this process's last attention call and its direction, such as `"cpu/avx512 forward"`; `""` before
    any call.
    """
    return _library.text("triangle_last_call")


def call_counts() -> dict[str, int]:
    """Calls so far in this process by backend and direction, such as `{"cpu/avx512 forward": 3, "cpu/avx512 backward":
    1}`.
    """
    counts: dict[str, int] = {}
    for line in _library.text("triangle_call_counts").splitlines():
        name, count = line.rsplit(" ", 1)
        counts[name] = int(count)
    return counts


def cpu_isa() -> str:
    """The instruction set of the CPU kernels (`avx512`, `avx2`, `neon` or `portable`), or `error: ...` where
    TRIANGLE_ATTN_CPU_ISA asks for a missing one.
    """
    return _library.text("triangle_cpu_isa")


def npu() -> str:
    """What the NPU backend found at its first use, such as `npu/Ascend910B2, 24 AI cores, cann=8.5.0;way=asc;...`, or
    `error: ...` with what is missing. Loads the kernels' library.
    """
    return _library.text("triangle_npu_description")


def npu_refuses(dtype: str, dim: int, dim_v: int, dropout_p: float) -> str:
    """Why the NPU kernels do not take these arguments, "" where they do. dtype: such as `torch.float16`."""
    call = _library.load().triangle_npu_unsupported
    call.argtypes = [
        *(ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_double),
        *(ctypes.c_char_p, ctypes.c_int),
    ]
    buffer = ctypes.create_string_buffer(512)
    call(dtype.encode(), dim, dim_v, dropout_p, buffer, len(buffer))
    return buffer.value.decode()
