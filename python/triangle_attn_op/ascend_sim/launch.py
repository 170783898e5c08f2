"""Loads kernel libraries and launches their kernels on numpy arrays or torch CPU tensors."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ._cache import check_owned
from ._native import BufferC, Engine, OptionsC, TraceEventC
from .report import Report

_engines: dict[str, Engine] = {}
_held: dict[int, int] = {}  # address -> bytes, of what KernelLibrary.gm_array gave


@dataclass(frozen=True)
class Struct:
    """A struct passed to the kernel by value, as its bytes."""

    data: bytes


@dataclass(frozen=True)
class Kernel:
    """A kernel of a library. type: what it declares ("unset" if nothing); args: kind and bytes of each argument;
    parameters: their names, where the library was made by build().
    """

    name: str
    type: str
    args: tuple[tuple[str, int], ...]
    parameters: tuple[str, ...] = ()

    def argument(self, index: int) -> str:
        """How a message names an argument: "argument 2 (out)"."""
        return f"argument {index} ({self.parameters[index]})" if index < len(self.parameters) else f"argument {index}"


class LaunchError(ValueError):
    """A launch that cannot be made as it was asked for: no such kernel or chip, wrong arguments, no core type."""


def _engine_at(path: Path) -> Engine:
    key = str(path.resolve())
    if key not in _engines:
        check_owned(path.resolve().parent)
        _engines[key] = Engine(key)
    return _engines[key]


def _find_engine(library: Path) -> Engine:
    """The libascend_sim.so that `library` was linked to: ASCEND_SIM_LIBRARY, else next to it, else in sim/ next to it.

    Nowhere else: a folder further up may be another user's.
    """
    candidates = []
    if os.environ.get("ASCEND_SIM_LIBRARY"):
        candidates.append(Path(os.environ["ASCEND_SIM_LIBRARY"]))
    candidates += [library.parent / "libascend_sim.so", library.parent / "sim" / "libascend_sim.so"]
    for candidate in candidates:
        if candidate.exists():
            return _engine_at(candidate)
    raise FileNotFoundError(f"libascend_sim.so: not found next to {library}; set ASCEND_SIM_LIBRARY to its path")


def load(path: str | os.PathLike[str], engine: str | os.PathLike[str] | None = None) -> KernelLibrary:
    """Loads a kernel library built by ascend_sim_add_kernel. Raises OSError where it cannot be loaded.

    engine: the libascend_sim.so that it was linked to, by default the one next to it.
    """
    return KernelLibrary(Path(path).resolve(), None if engine is None else Path(engine))


def socs(engine_library: str | os.PathLike[str]) -> dict[str, Any]:
    """The chips and their parameters: {"chips": {name: {parameter: value}}, "parameters": [...]}."""
    engine = _find_engine(Path(engine_library).resolve())
    result: dict[str, Any] = engine.take_json(engine.handle.ascend_sim_socs())
    return result


class _GmArray:
    """Simulated global memory holding a copy of one array, written back after the launch."""

    def __init__(self, engine: Engine, index: int, source: np.ndarray[Any, Any] | None, nbytes: int) -> None:
        self.engine, self.index, self.source, self.nbytes = engine, index, source, nbytes
        self.before: bytes | None = None  # kept where another argument lies partly in the same memory
        self.overlaps = -1  # that argument
        self.in_place = source is not None and _is_held(source)
        if source is not None and self.in_place:
            self.address: int = source.__array_interface__["data"][0]
            return
        self.address = engine.handle.ascend_sim_gm_alloc(max(nbytes, 1))
        if not self.address:
            raise MemoryError(f"cannot map {nbytes} bytes of simulated global memory")
        if source is not None and nbytes:
            contiguous = np.ascontiguousarray(source)  # held by name: .ctypes.data alone keeps no array alive
            ctypes.memmove(self.address, contiguous.ctypes.data, nbytes)

    def is_same(self, array: np.ndarray[Any, Any]) -> bool:
        """Whether `array` is this one's memory, all of it and nothing else: one buffer, passed twice."""
        if self.source is None or not self.nbytes or self.nbytes != array.nbytes:
            return False
        if self.source.__array_interface__["data"][0] != array.__array_interface__["data"][0]:
            return False
        if self.source.flags.c_contiguous and array.flags.c_contiguous:
            return True
        layout = array.shape, array.strides, array.itemsize
        return (self.source.shape, self.source.strides, self.source.itemsize) == layout

    def note_overlap(self, other: _GmArray) -> None:
        """Keeps both arrays' bytes where they share some: the copies of the two could not both be written back.

        Arrays of gm_array() are not copied, so they may not share any: ValueError.
        """
        if self.source is None or other.source is None or not np.may_share_memory(self.source, other.source):
            return
        try:
            if not np.shares_memory(self.source, other.source, max_work=100_000):  # type: ignore[arg-type]
                return
        except np.exceptions.TooHardError:
            pass  # undecided: written is refused, read is not
        if self.in_place or other.in_place:
            raise ValueError(f"argument {self.index} overlaps argument {other.index} in simulated global memory")
        for block, index in ((self, other.index), (other, self.index)):
            block.before, block.overlaps = ctypes.string_at(block.address, block.nbytes), index

    def changed(self) -> bool:
        """Whether the kernel wrote it; known only where `before` was kept."""
        return self.before is not None and self.before != ctypes.string_at(self.address, self.nbytes)

    def write_back(self) -> bool:
        """Copies the memory back into the array; False where it changed and the array is read-only."""
        if self.source is None or not self.nbytes or self.in_place:
            return True
        raw = (ctypes.c_uint8 * self.nbytes).from_address(self.address)
        result = np.ctypeslib.as_array(raw).view(self.source.dtype).reshape(self.source.shape)
        if self.source.flags.writeable:
            self.source[...] = result
            return True
        return result.tobytes() == self.source.tobytes()

    def free(self) -> None:
        if not self.in_place:
            self.engine.handle.ascend_sim_gm_free(self.address, max(self.nbytes, 1))


def _is_held(array: np.ndarray[Any, Any]) -> bool:
    """Whether an array lies in memory of gm_array, without gaps: it need not be copied."""
    address = array.__array_interface__["data"][0]
    return array.flags.c_contiguous and any(
        begin <= address and address + array.nbytes <= begin + size for begin, size in _held.items()
    )


def _as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """A numpy view of a numpy array or of a torch CPU tensor (bfloat16 as raw 16-bit words), else None."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        tensor = value.detach()
        if str(tensor.dtype) == "torch.bfloat16":
            import torch

            tensor = tensor.view(torch.uint16)
        array: np.ndarray[Any, Any] = tensor.numpy()
        return array
    return None


class KernelLibrary:
    """The kernels of one shared library."""

    def __init__(self, path: Path, engine: Path | None = None) -> None:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such kernel library")
        check_owned(path.parent)
        self.path = path
        self.engine = _find_engine(path) if engine is None else _engine_at(engine)
        error = self.engine.handle.ascend_sim_load(str(path).encode())
        if error:
            raise OSError(f"{path}: {error.decode()}")
        listing = self.engine.take_json(self.engine.handle.ascend_sim_kernels(str(path).encode()))
        self.kernels = {
            k["name"]: Kernel(k["name"], k["type"], tuple((a["kind"], a["bytes"]) for a in k["args"])) for k in listing
        }

    def name_parameters(self, names: Mapping[str, tuple[str, ...]]) -> None:
        """Tells the names of kernels' parameters, for messages and findings."""
        for name, kernel in self.kernels.items():
            given = names.get(name.split("<")[0].split("::")[-1].strip(), ())
            if len(given) == len(kernel.args):
                self.kernels[name] = replace(kernel, parameters=given)

    def gm_array(self, nbytes: int) -> np.ndarray[Any, Any]:
        """Zeros in simulated global memory, as bytes: an argument that lies there is neither copied in nor out.

        Only what is touched takes memory, so it may be larger than the machine's. It lives as long as its views do.
        """
        address: int = self.engine.handle.ascend_sim_gm_alloc(max(nbytes, 1))
        if not address:
            raise MemoryError(f"cannot map {nbytes} bytes of simulated global memory")
        raw = (ctypes.c_uint8 * nbytes).from_address(address)
        _held[address] = nbytes

        def free(engine: Engine = self.engine) -> None:
            del _held[address]
            engine.handle.ascend_sim_gm_free(address, max(nbytes, 1))

        weakref.finalize(raw, free)
        array: np.ndarray[Any, Any] = np.ctypeslib.as_array(raw)
        return array

    def launch(
        self,
        kernel: str,
        *args: Any,
        block_dim: int = 1,
        soc: str = "Ascend910B2",
        parameters: Mapping[str, float] | None = None,
        type: str = "",
        order: str = "eager",
        seed: int = 0,
        auto_sync: bool = False,
        timing_only: bool = False,
        determinism: bool = False,
        trace: bool = False,
        uninitialised: Sequence[int] = (),
        names: Sequence[str] | None = None,
        stack_bytes: int = 0,
        instruction_budget: int = 0,
        watchdog_seconds: float = 10.0,
        ignore_sites: Sequence[str] = (),
        unused_sites: bool = False,
        strict: bool = True,
        suppressions: str | os.PathLike[str] = "",
        poison: int = 0xFF,
    ) -> Report:
        """Runs `kernel` on block_dim simulated cores and returns its report; arrays are updated in place.

        args: numpy arrays or torch CPU tensors (GM pointers), None (null pointer), int, float, Struct; an int passed
            for a pointer with timing_only=True is a GM region of that many bytes without data behind it. An array
            passed twice is one GM buffer; ValueError where the kernel writes one that overlaps another in part.
            Arrays are copied in and out, except those in memory of gm_array().
        parameters: overrides of SoC parameters, see socs().
        order: "eager", "lazy" or "random" (with seed): when issued instructions execute. Findings do not depend on it.
        auto_sync: the synchronisation bisheng inserts on AIV unless told not to.
        timing_only: no data and no checks, only the timeline.
        determinism: report floating-point atomic adds whose order is open.
        uninitialised: indices of array arguments that may not be read before they are written.
        names: names of the array arguments in findings (default arg0, arg1, ...).
        ignore_sites: synchronisation calls of the kernel to leave out, to see whether it needs them: "file.h:12" (all
            of that line), "file.h:12 SetFlag<M_FIX>" (of that name), or "file.h:12 -> file.h:34" (flags set at one
            place and waited for at another are taken, but order nothing). See Report.sync_calls and sync_pairs.
            ValueError for one that the kernel did not come by, unless unused_sites.
        strict: False for kernels of others: what goes beyond documented limits, but is done in the field, is a finding
            and does not stop the launch (sim/README.md lists it).
        suppressions: a file of findings to leave out, a line each: "rule file:line", with * and ?. Report.suppressed
            has them. A comment `ascend_sim: ignore(rule)` in the kernel's line does the same.
        poison: 0xFF or 0, the bytes of on-chip memory that nobody wrote.

        Raises LaunchError, a ValueError, for a kernel, chip, core type or option that is not there and for arguments
        that the kernel does not take; what the kernel itself does wrong is in the report.
        """
        if poison not in (0, 0xFF):
            raise ValueError(f"{kernel}: poison: expected 0 or 0xFF, got {poison}")
        known = self.kernels.get(kernel)
        if known is not None and len(args) != len(known.args):
            listed = f" ({', '.join(known.parameters)})" if known.parameters else ""
            raise LaunchError(f"kernel '{kernel}' takes {len(known.args)} arguments{listed}, got {len(args)}")
        if names is None and known is not None and known.parameters:
            names = known.parameters

        def which(index: int) -> str:
            return f"argument {index}" if known is None else known.argument(index)

        if order not in ("eager", "lazy", "random"):
            raise ValueError(f'{kernel}: order: expected "eager", "lazy" or "random", got {order!r}')
        for index in uninitialised:
            if not 0 <= index < len(args) or (_as_array(args[index]) is None and not timing_only):
                raise ValueError(f"{kernel}: uninitialised: argument {index} is no array among the {len(args)} given")
        gm: list[_GmArray] = []
        buffers: list[BufferC] = []
        storage: list[Any] = []
        pointers = (ctypes.c_void_p * max(len(args), 1))()
        sizes = (ctypes.c_uint64 * max(len(args), 1))()
        try:
            for i, value in enumerate(args):
                kind, size = known.args[i] if known is not None and i < len(known.args) else ("", 8)
                cell: Any
                array = _as_array(value)
                given = value.__class__.__name__
                is_pointer = array is not None or value is None or (timing_only and isinstance(value, int))
                if (kind == "pointer" and not is_pointer) or (
                    kind not in ("", "pointer") and (array is not None or value is None)
                ):
                    raise TypeError(f"{kernel}: {which(i)}: expected {kind}, got {given}")
                if kind == "integer" and isinstance(value, float):
                    raise TypeError(f"{kernel}: {which(i)}: expected integer, got {given} {value}")
                if kind == "float" and isinstance(value, (int, np.integer, np.floating)):
                    value = float(value)
                twin = next((block for block in gm if array is not None and block.is_same(array)), None)
                if twin is not None:
                    buffers[gm.index(twin)].initialised |= int(i not in uninitialised)
                    cell = ctypes.c_uint64(twin.address)
                elif array is not None or (kind == "pointer" and isinstance(value, int) and timing_only):
                    block = _GmArray(self.engine, i, array, array.nbytes if array is not None else int(value))
                    for other in gm:
                        block.note_overlap(other)
                    gm.append(block)
                    name = names[i] if names is not None and i < len(names) else f"arg{i}"
                    buffers.append(BufferC(name.encode(), block.address, block.nbytes, int(i not in uninitialised)))
                    cell = ctypes.c_uint64(block.address)
                elif value is None:
                    cell = ctypes.c_uint64(0)
                elif isinstance(value, Struct):
                    cell = (ctypes.c_uint8 * max(len(value.data), 1)).from_buffer_copy(value.data or b"\0")
                    size_given = len(value.data)
                    storage.append(cell)
                    pointers[i] = ctypes.addressof(cell)
                    sizes[i] = size_given
                    continue
                elif isinstance(value, float):
                    cell = ctypes.c_float(value) if size == 4 else ctypes.c_double(value)
                elif isinstance(value, (int, np.integer)):
                    try:
                        number = int(value).to_bytes(size, "little", signed=int(value) < 0)
                    except OverflowError:
                        raise OverflowError(f"{kernel}: {which(i)}: {value} does not fit {size} bytes") from None
                    cell = (ctypes.c_uint8 * size).from_buffer_copy(number)
                else:
                    raise TypeError(f"{kernel}: {which(i)}: expected {kind or 'an array or number'}, got {given}")
                storage.append(cell)
                pointers[i] = ctypes.addressof(cell)
                sizes[i] = ctypes.sizeof(cell)
            options = OptionsC(
                soc.encode(),
                ";".join(f"{k}={v!r}" for k, v in (parameters or {}).items()).encode(),
                type.encode(),
                order.encode(),
                block_dim,
                seed,
                auto_sync,
                timing_only,
                determinism,
                trace,
                stack_bytes,
                instruction_budget,
                watchdog_seconds,
                ";".join(ignore_sites).encode(),
                not strict,
                poison == 0,
                os.fspath(suppressions).encode(),
            )
            handle = self.engine.handle.ascend_sim_launch(
                str(self.path).encode(),
                kernel.encode(),
                ctypes.byref(options),
                ctypes.cast(pointers, ctypes.POINTER(ctypes.c_void_p)),
                ctypes.cast(sizes, ctypes.POINTER(ctypes.c_uint64)),
                len(args),
                (BufferC * max(len(buffers), 1))(*buffers),
                len(buffers),
            )
            data = self.engine.take_json(self.engine.handle.ascend_sim_report_json(handle))
            if refused := [f["message"] for f in data["findings"] if f["rule"] == "launch"]:
                self.engine.handle.ascend_sim_report_free(handle)
                if "interrupted" in refused:
                    raise KeyboardInterrupt
                raise LaunchError(refused[0])
            report = Report.from_json(data, self._trace_writer(handle) if trace else None)
            if trace:
                report.events = self._events(handle)
            if trace:
                weakref.finalize(report, self.engine.handle.ascend_sim_report_free, handle)
            else:
                self.engine.handle.ascend_sim_report_free(handle)
            for site, times in report.raw["sync"]["ignored"]:
                if not times and report.completed and not unused_sites:
                    raise ValueError(f"{kernel}: ignore_sites: the kernel did not come by {site!r}")
            if not timing_only:
                for block in gm:
                    if block.changed():
                        raise ValueError(
                            f"{kernel}: the kernel wrote argument {block.index}, which overlaps argument "
                            f"{block.overlaps} in part: pass a copy of one"
                        )
                for block in gm:
                    if not block.write_back():
                        raise ValueError(f"{kernel}: argument {block.index} is read-only, but the kernel wrote it")
            return report
        finally:
            for block in gm:
                block.free()

    def _events(self, handle: int) -> np.ndarray[Any, Any]:
        count = ctypes.c_uint64()
        address = self.engine.handle.ascend_sim_report_events(handle, ctypes.byref(count))
        if not count.value:
            return np.empty(0, np.dtype(TraceEventC))
        return np.ctypeslib.as_array((TraceEventC * count.value).from_address(address)).copy()

    def _trace_writer(self, handle: int) -> Any:
        def write(path: str) -> None:
            if self.engine.handle.ascend_sim_report_trace(handle, path.encode()) != 0:
                raise OSError(f"{path}: cannot be written")

        return write
