"""ACL by ctypes, without torch: what the tests of the runtime call directly."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

H2H, H2D, D2H, D2D = range(4)
HUGE_FIRST, HBM, TIME_LINE = 0, 1, 8
PARAM_INVALID, INVALID_DEVICE, CONTEXT_NULL = 107000, 107001, 107002
INVALID_HANDLE, NO_MEMORY, AICORE_EXCEPTION = 107017, 207001, 507015


class AclError(RuntimeError):
    def __init__(self, call: str, code: int, text: str):
        super().__init__(f"{call}: {code}: {text}")
        self.code, self.text = code, text


class Acl:
    """`acl.aclrtFree(address)` calls it and raises AclError where it does not return 0."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libascendcl.so")
        self.library.aclGetRecentErrMsg.restype = ctypes.c_char_p
        self._kernels = None
        self._kept: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.library, name)

        def call(*args: Any) -> None:
            # 64 bits a value: addresses and sizes.
            code = function(*(ctypes.c_uint64(a) if isinstance(a, int) and a >= 0 else a for a in args))
            if code != 0:
                raise AclError(name, code, (self.library.aclGetRecentErrMsg() or b"").decode())

        return call

    def malloc(self, size: int) -> int:
        out = ctypes.c_void_p()
        self.aclrtMalloc(ctypes.byref(out), size, HUGE_FIRST)
        return out.value or 0

    def malloc_host(self, size: int) -> int:
        out = ctypes.c_void_p()
        self.aclrtMallocHost(ctypes.byref(out), size)
        return out.value or 0

    def stream(self) -> int:
        out = ctypes.c_void_p()
        self.aclrtCreateStream(ctypes.byref(out))
        return out.value or 0

    def event(self, flag: int = 0) -> int:
        out = ctypes.c_void_p()
        self.aclrtCreateEventExWithFlag(ctypes.byref(out), ctypes.c_uint32(flag))
        return out.value or 0

    def write(self, address: int, data: bytes, at: int = 0) -> None:
        """Copies to device memory at once."""
        self.aclrtMemcpy(address + at, len(data), data, len(data), H2D)

    def read(self, address: int, size: int) -> bytes:
        """Copies from device memory at once: what it holds now, whatever streams have queued."""
        data = ctypes.create_string_buffer(size)
        self.aclrtMemcpy(data, size, address, size, D2H)
        return data.raw

    def pinned(self, data: bytes) -> int:
        address = self.malloc_host(len(data))
        ctypes.memmove(address, data, len(data))
        return address

    def copy_async(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        self.aclrtMemcpyAsync(to, size, source, size, kind, stream)

    def stream_done(self, stream: int) -> bool:
        status = ctypes.c_int(-1)
        self.aclrtStreamQuery(stream, ctypes.byref(status))
        return status.value == 0

    def event_done(self, event: int) -> bool:
        status = ctypes.c_int(-1)
        self.aclrtQueryEventStatus(event, ctypes.byref(status))
        return status.value == 1

    def elapsed_ms(self, start: int, end: int) -> float:
        out = ctypes.c_float()
        self.aclrtEventElapsedTime(ctypes.byref(out), start, end)
        return out.value

    def memory(self, device: int = -1) -> tuple[int, int]:
        """(allocations, bytes) of simulated device memory that are not freed."""
        count, size = ctypes.c_uint64(), ctypes.c_uint64()
        self.library.ascend_sim_acl_memory(ctypes.c_int32(device), ctypes.byref(count), ctypes.byref(size))
        return count.value, size.value

    def launch(self, kernel: str, stream: int, *pointers: int, blocks: int = 1) -> None:
        """Queues a kernel of kernels.cpp whose arguments are addresses."""
        if self._kernels is None:
            self._kernels = ctypes.CDLL("libnpu_test_kernels.so")
        values = [ctypes.c_uint64(p) for p in pointers]
        args = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        sizes = (ctypes.c_uint64 * len(values))(*(8 for _ in values))
        self.ascend_sim_acl_launch(
            kernel.encode(), 0, ctypes.c_uint32(blocks), stream, args, sizes, len(values), b"raw_acl.py", 0
        )


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def unpack(data: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // 4}f", data)
