"""The timing model's parameters from the times of one kernel that does small things many times (op_kernel/measure).

Each task runs with a number of repetitions and with twice that number: the difference holds no launch, no first and no
last one. Two sizes of a task then give a rate and what is left at size 0, with and without waiting a head and a
latency. Where the times are the simulator's, its own parameters come back: that is the proof of the method, and its
test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

_KIB = 1024
# What cannot be told from a latency, because CANN's Fixpipe waits by itself, and from the head of a vector instruction:
# as the model has them.
_FIX_HEAD, _VECTOR_TAIL = 15.0, 12.0
_ADD, _MUL, _MAX, _DIV, _EXP, _MULS, _REDUCE, _ADD_COUNTER = range(8)
_CLASSES = {
    "vector_add_cycles": _ADD,
    "vector_mul_cycles": _MUL,
    "vector_max_cycles": _MAX,
    "vector_div_cycles": _DIV,
    "vector_heavy_cycles": _EXP,
    "vector_scalar_cycles": _MULS,
    "vector_reduce_cycles": _REDUCE,
}


class Timer(Protocol):
    """Times launches. cores: the chip's AI cores; effort: repetitions that give a time to measure."""

    cores: int
    effort: int

    def __call__(self, words: list[int], cores: int, launches: int = 1, cold: bool = False) -> float:
        """Microseconds of launches in a row. cold: what the kernel reads was not touched lately."""


@dataclass
class Calibration:
    """parameters: of the model, by name, for `sim --parameters`; readings: what the model derives or does not have."""

    parameters: dict[str, float] = field(default_factory=dict)
    readings: dict[str, float] = field(default_factory=dict)


# ---- tasks: their words without the number of repetitions (op_kernel/measure/words.h)

Task = Callable[[int], list[int]]


def _products(m: int, n: int, k: int, wait: bool = False) -> Task:
    return lambda count: [1, count, m, n, k, int(wait)]


def _tile_loads(fractals: int, group: int = 1, to_b: bool = False) -> Task:
    return lambda count: [2, count, fractals, group, int(to_b)]


def _tile_stores(wide: bool, atomic: bool = False, m: int = 128, n: int = 256) -> Task:
    return lambda count: [3, count, m, n, int(wide), int(atomic), 4]


def _row_loads(rows: int, columns: int = 256) -> Task:
    return lambda count: [4, count, rows, columns, 4]


IN, OUT, BOTH, ADDED = range(4)


def _copies(
    size: int,
    *,
    way: int = IN,
    group: int = 1,
    window: int = 4,
    stride: int = 0,
    piece: int = 0,
    pitch: int = 0,
    vectors: int = 1,
) -> Task:
    """window 0: no address twice."""
    return lambda count: [5, count, size, group, window or count + 1, stride, piece, pitch, vectors, way]


def _vector(instruction: int, repeats: int, a: int = 0, b: int = 0x10100, to: int = 0x20000) -> Task:
    return lambda count: [6, count, instruction, repeats, a, b, to]


def _calls(group: int) -> Task:
    return lambda count: [7, count, group]


class _Cycles:
    """Tasks in cycles of the clock that the cube shows."""

    def __init__(self, time: Timer) -> None:
        self.time = time
        # An Mmad of 128 x 256 x k takes a head and 8 k cycles.
        long, short = (self.microseconds(_products(128, 256, k)) for k in (64, 32))
        self.clock = 256 / (long - short)  # in a microsecond
        self.product_head = long * self.clock - 512

    def microseconds(self, task: Task, cores: int = 1, count: int | None = None, cold: bool = False) -> float:
        """Of one repetition."""
        count = count or self.time.effort
        more, fewer = (self.time(task(n), cores, cold=cold) for n in (2 * count, count))
        return (more - fewer) / count

    def __call__(self, task: Task, count: int | None = None, cold: bool = False) -> float:
        return self.microseconds(task, count=count, cold=cold) * self.clock

    def line(
        self, small: Task, large: Task, more_bytes: int, small_bytes: int, count: int | None = None, cold: bool = False
    ) -> tuple[float, float]:
        """Bytes a cycle, and the cycles that are left at no bytes."""
        few, many = (self(task, count, cold) for task in (small, large))
        rate = more_bytes / (many - few)
        return rate, few - small_bytes / rate


def calibrate(time: Timer) -> Calibration:
    """Runs everything. ValueError where a difference of times is not above 0."""
    result = Calibration()
    try:
        cycles = _Cycles(time)
        for part in (_cube, _fixpipe, _copy_rates, _shared, _vectors, _scalar, _launches):
            part(cycles, result)
    except ZeroDivisionError:
        raise ValueError(
            "calibrate: a task of more work took no more time: is the clock of events too coarse?"
        ) from None
    return result


def _cube(cycles: _Cycles, result: Calibration) -> None:
    found = result.parameters
    found["ghz"] = cycles.clock / 1e3
    found["cube_head_cycles"] = head = cycles.product_head
    found["cube_latency_cycles"] = cycles(_products(16, 16, 16, wait=True)) - head - 1
    rate, rest = cycles.line(_tile_loads(16), _tile_loads(64), 48 * 512, 16 * 512)
    found["l1_to_l0a_bytes_per_cycle"] = rate
    together = cycles(_tile_loads(16, group=4))  # of four, one waits
    head = (4 * together - (rest + 16 * 512 / rate)) / 3 - 16 * 512 / rate
    found["mte1_head_cycles"] = head
    found["mte1_latency_cycles"] = rest - head
    found["l1_to_l0b_bytes_per_cycle"] = cycles.line(
        _tile_loads(16, to_b=True), _tile_loads(64, to_b=True), 48 * 512, 16 * 512
    )[0]


def _fixpipe(cycles: _Cycles, result: Calibration) -> None:
    """Tiles of 128 x 256 as fp16 and fp32, and fp32 added."""
    found = result.parameters
    rate, rest = cycles.line(_tile_stores(False), _tile_stores(True), 64 * _KIB, 64 * _KIB)
    found["fixpipe_bytes_per_cycle"] = rate
    found["fix_latency_cycles"] = rest - _FIX_HEAD
    small, large = _tile_stores(True, True, n=128), _tile_stores(True, True)
    found["fixpipe_atomic_bytes_per_cycle"] = cycles.line(small, large, 64 * _KIB, 64 * _KIB)[0]


def _copy_rates(cycles: _Cycles, result: Calibration) -> None:
    found, time = result.parameters, cycles.time
    small, large = 16 * _KIB, 64 * _KIB
    more = large - small
    # Loads from L2 into UB, each waiting or one of four; the same from memory that L2 does not hold.
    rate, rest = cycles.line(_copies(small), _copies(large), more, small)
    found["l2_read_bytes_per_cycle"] = rate
    together = cycles(_copies(small, group=4))
    head = (4 * together - (rest + small / rate)) / 3 - small / rate
    found["mte_head_cycles"] = head
    found["mte_latency_cycles"] = rest - head
    fresh, few = 0, min(time.effort, 128)
    rate, cold = cycles.line(
        _copies(small, window=fresh), _copies(large, window=fresh), more, small, count=few, cold=True
    )
    found["ddr_read_bytes_per_cycle"] = rate
    found["hbm_latency_cycles"] = cold - rest
    rate, rest = cycles.line(_copies(small, way=OUT), _copies(large, way=OUT), more, small)
    found["ub_write_bytes_per_cycle"] = rate
    found["store_latency_cycles"] = rest - head
    rate, _ = cycles.line(_copies(small, way=ADDED), _copies(large, way=ADDED), more, small)
    found["ub_write_atomic_bytes_per_cycle"] = rate
    found["nd2nz_bytes_per_cycle"] = cycles.line(_row_loads(64), _row_loads(256), 192 * 512, 64 * 512)[0]

    # The chip: every vector core its own stretch, in L2 and beyond it.
    size, vectors = 32 * _KIB, 2 * time.cores

    def chip(task: Task, moved: int, count: int | None = None, cold: bool = False) -> float:
        """Bytes a second of all vector cores, each of which moves so many a repetition."""
        return vectors * moved / cycles.microseconds(task, time.cores, count, cold) * 1e6

    # Cores that get less than others end later, alone: many repetitions, so that this is little of the time.
    many = 8 * time.effort
    found["l2_read_bandwidth"] = chip(_copies(size, group=2, window=2, stride=2 * size, vectors=2), size, count=many)
    both = _copies(size // 2, way=BOTH, group=4, window=4, stride=4 * size, vectors=2)
    result.readings["l2_mixed_bytes_per_second"] = chip(both, size // 2 * 3 // 2)
    few = min(time.effort, 128)
    found["hbm_bandwidth"] = chip(_copies(size, window=0, stride=2 * few * size, vectors=2), size, count=few, cold=True)


def _shared(cycles: _Cycles, result: Calibration) -> None:
    """Every vector core reads the same lines, in pieces 1,024 B apart; and each its own ones, for comparison."""
    vectors, size, pitch = 2 * cycles.time.cores, 8 * _KIB, 1024
    longest = 1e9  # that are slow: no length that was tried is not
    for piece in (1024, 512, 256, 128):
        step = size // piece * pitch

        def rate(stride: int, piece: int = piece) -> float:
            task = _copies(size, group=4, window=4, stride=stride, piece=piece, pitch=pitch, vectors=2)
            return vectors * size / (cycles.microseconds(task, cycles.time.cores) * cycles.clock)

        shared, own = rate(0), rate(4 * step)
        result.readings[f"shared_pieces_{piece}_bytes_per_cycle"] = shared
        result.readings[f"own_pieces_{piece}_bytes_per_cycle"] = own
        if shared > 0.5 * own:
            longest = piece
        if piece == 128:
            result.parameters["shared_line_bytes_per_cycle"] = shared
    result.parameters["shared_piece_bytes"] = longest


def _vectors(cycles: _Cycles, result: Calibration) -> None:
    """Instructions that wait for each other: a head and a tail each, and their repeats."""
    found = result.parameters
    few, many = 64, 192
    overhead = 0.0
    for name, instruction in _CLASSES.items():
        least, most = (cycles(_vector(instruction, repeats)) for repeats in (few, many))
        found[name] = (most - least) / (many - few)
        if instruction == _ADD:
            overhead = least - few * found[name]
    found["vector_head_cycles"] = overhead - _VECTOR_TAIL
    counter = cycles(_vector(_ADD_COUNTER, few))
    found["vector_counter_cycles"] = counter - few * found["vector_add_cycles"] - overhead
    # Both sources in one bank group of UB; a result in the bank that the next repeat reads, of which the model counts
    # 15 in 16. Where the instruction itself takes as long, neither shows.
    for name, instruction, hidden, places, share in (
        ("ub_read_conflict_cycles", _ADD, "vector_add_cycles", {"b": 0x10000}, 1.0),
        ("ub_write_conflict_cycles", _MULS, "vector_scalar_cycles", {"to": 0x8100}, 15 / 16),
    ):
        least, most = (cycles(_vector(instruction, repeats, **places)) for repeats in (32, 96))
        repeat = (most - least) / 64
        if repeat > 1.02 * found[hidden]:
            found[name] = (repeat - 1) / share


def _scalar(cycles: _Cycles, result: Calibration) -> None:
    found, readings = result.parameters, result.readings
    cores = cycles.time.cores
    several = max(cycles.time.effort, 128)  # a multiple of the instructions between waits
    dense, sparse = (cycles(_calls(group), several) for group in (32, 64))
    found["scalar_issue_cycles"] = issue = 2 * sparse - dense
    found["scalar_division_cycles"] = cycles(lambda count: [8, count, 3])
    found["cross_flag_latency_cycles"] = cycles(lambda count: [10, count]) / 2 - issue
    readings["flags_v_mte3_and_back_cycles"] = cycles(lambda count: [9, count, 0])
    readings["flags_v_scalar_and_back_cycles"] = cycles(lambda count: [9, count, 1])
    readings["sync_all_cycles"] = cycles.microseconds(lambda count: [11, count], cores) * cycles.clock


def _launches(cycles: _Cycles, result: Calibration) -> None:
    """Launches in a row of a kernel that does nothing."""
    time = cycles.time
    few = max(2, time.effort // 16)

    def launch(cores: int) -> float:
        more, fewer = (time([0, 0], cores, launches) for launches in (2 * few, few))
        return (more - fewer) / few

    one, all_cores = launch(1), launch(time.cores)
    result.parameters["launch_microseconds"] = one
    result.parameters["launch_core_microseconds"] = (all_cores - one) / max(time.cores - 1, 1)
