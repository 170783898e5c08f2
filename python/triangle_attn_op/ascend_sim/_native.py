"""ctypes declarations of sim/core/capi.h."""

from __future__ import annotations

import ctypes
import json
import os
from typing import Any


class BufferC(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("initialised", ctypes.c_int32),
    ]


class OptionsC(ctypes.Structure):
    _fields_ = [
        ("soc", ctypes.c_char_p),
        ("parameters", ctypes.c_char_p),
        ("type", ctypes.c_char_p),
        ("order", ctypes.c_char_p),
        ("block_dim", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("auto_sync", ctypes.c_int32),
        ("timing_only", ctypes.c_int32),
        ("determinism", ctypes.c_int32),
        ("trace", ctypes.c_int32),
        ("stack_bytes", ctypes.c_uint64),
        ("instruction_budget", ctypes.c_uint64),
        ("watchdog_seconds", ctypes.c_double),
        ("ignore_sites", ctypes.c_char_p),
        ("lenient", ctypes.c_int32),
        ("poison_zero", ctypes.c_int32),
        ("suppressions", ctypes.c_char_p),
    ]


class TraceEventC(ctypes.Structure):
    _fields_ = [
        ("start", ctypes.c_double),
        ("end", ctypes.c_double),
        ("done", ctypes.c_double),
        ("site", ctypes.c_uint32),
        ("core", ctypes.c_uint16),
        ("pipe", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
    ]


class Engine:
    """The simulator's C functions, found through a kernel library that links to it (or libascend_sim.so itself)."""

    def __init__(self, path: str) -> None:
        # The engine must be in memory before the kernels announce themselves, so ascend_sim_load opens the library:
        # here only libascend_sim.so is opened.
        # One engine serves a process: kernel libraries are bound to the first libascend_sim.so that was loaded,
        # whatever folder a later one comes from.
        try:
            self.handle = ctypes.CDLL("libascend_sim.so", mode=os.RTLD_NOLOAD | ctypes.RTLD_GLOBAL)
        except OSError:
            self.handle = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        h = self.handle
        h.ascend_sim_load.restype = ctypes.c_char_p
        h.ascend_sim_load.argtypes = [ctypes.c_char_p]
        h.ascend_sim_kernels.restype = ctypes.c_void_p
        h.ascend_sim_kernels.argtypes = [ctypes.c_char_p]
        h.ascend_sim_launch.restype = ctypes.c_void_p
        h.ascend_sim_launch.argtypes = [
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.POINTER(OptionsC),
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_uint64),
            ctypes.c_uint32,
            ctypes.POINTER(BufferC),
            ctypes.c_uint32,
        ]
        h.ascend_sim_report_json.restype = ctypes.c_void_p
        h.ascend_sim_report_json.argtypes = [ctypes.c_void_p]
        h.ascend_sim_report_trace.restype = ctypes.c_int
        h.ascend_sim_report_trace.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        h.ascend_sim_report_events.restype = ctypes.c_void_p
        h.ascend_sim_report_events.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64)]
        h.ascend_sim_report_free.restype = None
        h.ascend_sim_report_free.argtypes = [ctypes.c_void_p]
        h.ascend_sim_gm_alloc.restype = ctypes.c_void_p
        h.ascend_sim_gm_alloc.argtypes = [ctypes.c_uint64]
        h.ascend_sim_gm_free.restype = None
        h.ascend_sim_gm_free.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        h.ascend_sim_progress.restype = ctypes.c_uint64
        h.ascend_sim_progress.argtypes = []
        h.ascend_sim_socs.restype = ctypes.c_void_p
        h.ascend_sim_free.restype = None
        h.ascend_sim_free.argtypes = [ctypes.c_void_p]

    def take_json(self, pointer: int) -> Any:
        """Parses a malloc'ed JSON text of the engine and frees it."""
        try:
            return json.loads(ctypes.string_at(pointer).decode())
        finally:
            self.handle.ascend_sim_free(pointer)
