"""The block schedule: against brute force, its promise of 3%, its size, its messages."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from triangle_attn_op.schedule import Schedule, plan

ROOT = Path(__file__).resolve().parents[1]


# ---- C++ -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("test_visibility", []),
        ("test_schedule", ["schedule"]),
        ("test_tiling", ["schedule", "tiling", "tiling_backward"]),
        ("test_packed_tiling", ["schedule", "tiling", "tiling_backward"]),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_cpp(name: str, parts: list[str], tmp_path: Path) -> None:
    """The stand-alone C++ tests, with undefined behaviour (integer overflow) trapped."""
    sources = [f"tests/cpp/{name}.cpp", *(f"op_host/{part}.cpp" for part in parts)]
    flags = "-std=c++17 -O1 -Wall -Wextra -Werror -fsanitize=undefined -fno-sanitize-recover=all -I."
    compiler = os.environ.get("CXX", "g++")
    subprocess.run([compiler, *flags.split(), *sources, "-o", tmp_path / name], cwd=ROOT, check=True)
    done = subprocess.run([tmp_path / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_walker_needs_no_library(tmp_path: Path) -> None:
    """What kernels include compiles without a C++ library at hand and calls nothing: no containers, no allocation."""
    source = tmp_path / "kernel.cpp"
    source.write_text(
        """
        #define TRIANGLE_FN __attribute__((unused)) inline
        #include "op_host/walker.h"
        using namespace triangle;
        extern "C" long kernel(const TaskLine* line, const int32_t* cu, long documents, long total, int core, int cores)
        {
          PackedSequences<const int32_t*> sequences{cu, cu, documents, total, total, true, 0, kNoWindow};
          Start begin, end;
          core_share(*line, sequences, smallest_limit(*line, sequences, cores), core, &begin, &end);
          Walker<PackedSequences<const int32_t*>> walker(*line, sequences, kMain, begin, end);
          long blocks = 0;
          for (Piece piece; walker.next(&piece);) blocks += piece.blocks.size();
          return blocks;
        }
        """
    )
    compiler = os.environ.get("CXX", "g++")
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-c"]
    subprocess.run([compiler, *flags, "-I", ROOT, source, "-o", tmp_path / "kernel.o"], check=True)
    symbols = subprocess.run(["nm", tmp_path / "kernel.o"], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    undefined = [line.split()[-1] for line in symbols if " U " in line]
    assert [name for name in undefined if name not in ("memcpy", "memset")] == []
    includes = [
        line for name in ("visibility", "task_line", "walker") for line in (ROOT / "op_host" / f"{name}.h").open()
    ]
    assert {line.split()[1] for line in includes if line.startswith("#include")} == {
        "<cstdint>",
        '"visibility.h"',
        '"task_line.h"',
    }


# ---- brute force -----------------------------------------------------------------------------------------------------


def visible_matrix(sq: int, sk: int, diagonal: int, window: int | None) -> np.ndarray:
    position = np.arange(sq)[:, None] + diagonal
    j = np.arange(sk)[None, :]
    seen = j <= position
    return seen if window is None else seen & (j >= position - window)


def check_against_brute_force(s: Schedule) -> None:
    """Every visible pair is computed exactly once, by blocks that each hold one; full blocks hide nothing."""
    blocks = edges = pairs = 0
    seen = {}
    for index, ((sq, sk), diagonal) in enumerate(zip(s.lengths, s.diagonals)):
        seen[index] = visible_matrix(sq, sk, diagonal, s.window_size_left)
        pairs += s.heads_q * int(seen[index].sum())
    covered = {(b, h): np.zeros(seen[b].shape, dtype=int) for b in seen for h in range(s.heads_q)}
    loads = [0] * s.cores
    ends: dict[tuple[int, int, int], list[int]] = {}
    for piece in s.pieces():
        assert piece.head_kv == piece.head_q // (s.heads_q // s.heads_kv)
        head = piece.head_kv if s.backward else piece.head_q
        opens, closes = ends.setdefault((piece.batch, head, piece.row), [0, 0])
        ends[piece.batch, head, piece.row] = [opens + piece.opens, closes + piece.closes]
        for block in range(piece.begin, piece.end):
            row, key = (block, piece.row) if s.backward else (piece.row, block)
            rows, keys = slice(row * s.block_q, (row + 1) * s.block_q), slice(key * s.block_k, (key + 1) * s.block_k)
            part = seen[piece.batch][rows, keys]
            assert part.any()
            covered[piece.batch, piece.head_q][rows, keys] += 1
            across = part.shape[0] == s.block_q if s.backward else part.shape[1] == s.block_k
            assert (part.all() and across) == (piece.full_begin <= block < piece.full_end)
            blocks += 1
            edges += not (piece.full_begin <= block < piece.full_end)
            loads[piece.core] += 1
    for (batch, head), counts in covered.items():
        assert counts.max(initial=0) <= 1, (batch, head)
        assert (counts[seen[batch]] == 1).all()
    size, per_row = (1, s.block_k) if s.backward else (0, s.block_q)
    heads = s.heads_kv if s.backward else s.heads_q
    tasks = sum(-(-lengths[size] // per_row) for lengths in s.lengths) * heads
    assert len(ends) == tasks == s.tasks + s.empty_tasks
    assert all(value == [1, 1] for value in ends.values())
    assert (blocks, edges, pairs) == (s.blocks, s.edge_blocks, s.visible_pairs)
    square = sum(-(-sq // s.block_q) * -(-sk // s.block_k) for sq, sk in s.lengths) * s.heads_q
    assert s.square_blocks == square
    if blocks:
        assert loads == s.loads
        assert s.lower_bound <= s.max_load <= s.lower_bound + s.largest_unit - 1
        assert s.imbalance == pytest.approx(max(loads) * s.cores / sum(loads) - 1)


@st.composite
def problems(draw: st.DrawFn) -> dict:
    packed = draw(st.booleans())
    heads_kv = draw(st.integers(1, 3))
    heads_q = heads_kv * draw(st.integers(1, 3))
    options = {
        "cores": draw(st.integers(1, 7)),
        "block_q": draw(st.integers(1, 9)),
        "block_k": draw(st.integers(1, 9)),
        "chunk": draw(st.integers(0, 3)),
        "window_size_left": draw(st.none() | st.integers(0, 40)),
        "backward": draw(st.booleans()),
        "allow_fillers": draw(st.booleans()),
    }
    position = draw(st.sampled_from(["bottom_right", "top_left", "diagonal"]))
    options |= {"diagonal": draw(st.integers(-40, 40))} if position == "diagonal" else {"alignment": position}
    if not packed:
        shape = (draw(st.integers(0, 2)), heads_q, heads_kv, draw(st.integers(0, 40)), draw(st.integers(0, 40)))
        return {"shape": shape, **options}
    documents = draw(st.integers(0, 4))
    cu_seq_q, cu_seq_k = ([0, *np.cumsum([draw(st.integers(0, 30)) for _ in range(documents)]).tolist()] for _ in "qk")
    shape = (1, heads_q, heads_kv, cu_seq_q[-1], cu_seq_k[-1])
    return {"shape": shape, "cu_seq_q": cu_seq_q, "cu_seq_k": cu_seq_k, **options}


@settings(max_examples=300, deadline=None)
@given(problems())
def test_brute_force(problem: dict) -> None:
    check_against_brute_force(plan(**problem))


@settings(max_examples=60, deadline=None)
@given(problems())
def test_largest_first(problem: dict) -> None:
    s = plan(**problem)
    costs: dict[tuple[int, int, int], int] = {}
    for piece in s.pieces():
        key = (piece.batch, piece.head_kv if s.backward else piece.head_q, piece.row)
        costs[key] = costs.get(key, 0) + piece.end - piece.begin
    claimed = s.largest_first()
    assert {(t.batch, t.head, t.row): t.cost for t in claimed} == costs
    assert len(claimed) == len(costs)
    assert all(a.cost >= b.cost for a, b in itertools.pairwise(claimed))


def test_cuts_lie_on_chunks_anchored_at_key_0() -> None:
    s = plan((1, 3, 1, 5000, 5000), cores=24, block_q=128, block_k=128, chunk=4, window_size_left=2600)
    cut = [piece for piece in s.pieces() if not piece.opens]
    assert cut
    assert all(piece.begin % 4 == 0 for piece in cut)
    whole = plan((1, 3, 1, 5000, 5000), cores=24, chunk=0)
    assert all(piece.opens and piece.closes for piece in whole.pieces())


def test_order_keeps_the_heads_of_a_group_together() -> None:
    s = plan((2, 12, 3, 1000, 1000), cores=5)
    heads = [(piece.batch, piece.head_kv, piece.head_q) for piece in s.pieces()]
    assert heads == sorted(heads)


def test_edge_blocks_may_weigh_more() -> None:
    s = plan((1, 4, 4, 1024, 1024), cores=3, cost_full=4, cost_edge=5, cost_task=2)
    assert sum(s.loads) == 4 * (s.blocks - s.edge_blocks) + 5 * s.edge_blocks + 2 * s.tasks


def test_empty_rows_are_shared_out_when_there_is_nothing_else() -> None:
    s = plan((1, 4, 4, 1024, 1024), cores=8, diagonal=-1024)
    assert (s.blocks, s.tasks, s.empty_tasks) == (0, 0, 32)
    assert s.loads == [4] * 8


def test_sizes_beyond_32_bits() -> None:
    rows = 2**20 // 128
    s = plan((1, 64, 8, 2**20, 2**20), cores=24)
    assert s.blocks == 64 * rows * (rows + 1) // 2
    assert s.visible_pairs == 64 * 2**19 * (2**20 + 1)
    assert s.imbalance < 1e-6


# ---- balance ---------------------------------------------------------------------------------------------------------

SHAPES = {
    "8K": {"shape": (1, 32, 32, 8192, 8192, 128)},
    "2K, 52 heads": {"shape": (1, 52, 52, 2048, 2048, 128)},
    "8K, GQA": {"shape": (1, 32, 8, 8192, 8192, 128)},
    "4K, MQA, batch 16": {"shape": (16, 16, 1, 4096, 4096, 128)},
    "32K, 8 heads": {"shape": (1, 8, 8, 32768, 32768, 128)},
    "1M, GQA": {"shape": (1, 64, 8, 2**20, 2**20, 128)},
    "ragged 8191": {"shape": (1, 32, 8, 8191, 8191, 128)},
    "window 4095": {"shape": (1, 32, 8, 8192, 8192, 128), "window_size_left": 4095},
    "window 1023": {"shape": (1, 32, 8, 8192, 8192, 128), "window_size_left": 1023},
    "window 500": {"shape": (1, 32, 8, 16384, 16384, 128), "window_size_left": 500},
    "chunked prefill": {"shape": (1, 32, 8, 1024, 16384, 128)},
    "more rows than keys": {"shape": (1, 32, 8, 8192, 4096, 128)},
    "full (ring step)": {"shape": (1, 32, 8, 4096, 4096, 128), "diagonal": 4096},
    "packed": {"shape": (1, 32, 8, 8192, 8192, 128), "cu_seq_q": [0, 100, 300, 2348, 2349, 5000, 5640, 8192]},
    "packed, even": {"shape": (1, 40, 40, 16384, 16384, 128), "cu_seq_q": list(range(0, 16385, 1024))},
    "packed, window": {
        "shape": (1, 32, 8, 16384, 16384, 128),
        "cu_seq_q": [0, 7000, 7001, 9000, 16384],
        "window_size_left": 1500,
    },
}


def test_busiest_core_is_within_three_percent() -> None:
    heads = ["shape", "pass", "cores", "block", "tasks/core", "blocks", "mean", "max", "over"]
    print("\n{:<20} {:<4} {:>5} {:>9} {:>10} {:>13} {:>13} {:>11} {:>7}".format(*heads))
    for name, problem in SHAPES.items():
        for backward in (False, True):
            for cores in (20, 24, 32):
                for block_q in (128, 256):
                    s = plan(**problem, cores=cores, block_q=block_q, backward=backward)
                    direction = "bwd" if backward else "fwd"
                    print(
                        f"{name:<20} {direction:<4} {cores:>5} {block_q:>4} x {s.block_k} {s.tasks_per_core:>10.1f} "
                        f"{s.blocks:>13,} {s.mean_load:>13,.1f} {s.max_load:>11,} {s.imbalance:>7.2%}"
                    )
                    if s.tasks_per_core >= 8:
                        assert s.imbalance <= 0.03


def random_problem(source: random.Random) -> dict:
    heads_kv = source.choice([1, 2, 4, 8, 13, 32])
    seq = source.choice([128, 512, 1024, 2048, 4096, 8192]) + source.choice([0, 0, 5, -30])
    return {
        "shape": (
            source.choice([1, 2, 3]),
            heads_kv * source.choice([1, 2, 4]),
            heads_kv,
            seq,
            seq + source.choice([0, 0, 1000]),
        ),
        "cores": source.choice([8, 20, 24, 32]),
        "block_q": source.choice([128, 256]),
        "chunk": source.choice([1, 2, 4, 8]),
        "window_size_left": source.choice([None, None, 0, 127, 500, 1023]),
        "backward": source.random() < 0.5,
    }


def test_promise_and_where_units_forbid_it(seed: int) -> None:
    """The statement at the head of op_host/schedule.h, on random problems."""
    source = random.Random(seed)
    promised = broken = 0
    for _ in range(3000):
        problem = random_problem(source)
        s = plan(**problem)
        if s.blocks == 0:
            continue
        assert s.lower_bound <= s.max_load <= s.lower_bound + s.largest_unit - 1, problem
        if s.mean_load >= s.largest_unit / 0.03:
            assert s.imbalance <= 0.03, problem
        if s.tasks_per_core >= 8 and s.lower_bound <= 1.03 * s.mean_load:
            promised += 1
            broken += s.imbalance > 0.03
    assert promised > 500
    assert broken <= 0.01 * promised, f"{broken} of {promised}"


def test_fillers_keep_the_promise_where_plain_cuts_break_it() -> None:
    """Cuts at chunks of 4 blocks leave 1024 + 5 rows of 24 heads uneven; single rows set aside level them."""
    problem = {"shape": (1, 24, 24, 1029, 1029), "cores": 20, "chunk": 8}
    plain = plan(**problem, allow_fillers=False)
    leveled = plan(**problem)
    assert plain.tasks_per_core >= 8
    assert plain.imbalance > 0.03 >= leveled.imbalance
    assert (plain.fillers, leveled.fillers != 0) == (0, True)
    check_against_brute_force(leveled)


def test_indivisible_units_are_the_limit() -> None:
    s = plan((1, 193, 193, 100, 100), cores=24)
    assert (s.tasks, s.max_load, s.lower_bound) == (193, 9, 9)
    assert s.imbalance == pytest.approx(9 * 24 / 193 - 1)
    s = plan((3, 12, 12, 512, 512), cores=8, block_q=256)
    assert (s.mean_load, s.unit_divisor, s.max_load, s.lower_bound) == (27, 2, 28, 28)


def test_what_a_kernel_is_told_grows_with_the_cores_only() -> None:
    small, long = (plan((1, 8, 8, seq, seq), cores=24).description_bytes for seq in (256, 2**17))
    assert small == long <= 1024
    sizes = [plan((1, 8, 8, 4096, 4096), cores=cores).description_bytes for cores in (8, 16, 24)]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] == 8 * 32


# ---- messages --------------------------------------------------------------------------------------------------------

BAD = [
    ({"shape": (1, 12, 5, 100, 100)}, "heads_q: expected a multiple of heads_kv (5), got 12"),
    ({"shape": (1, 12, 4, 100)}, "shape: expected B, Hq, Hkv, Sq, Sk[, D], got 4 numbers"),
    ({"shape": (-1, 1, 1, 9, 9)}, "batch: expected at least 0 and at most 2147483647, got -1"),
    ({"shape": (1, 0, 1, 9, 9)}, "heads_q: expected at least 1 and at most 16777216, got 0"),
    ({"shape": (1, 1, 1, -9, 9)}, "seq_q: expected at least 0 and at most 2147483648, got -9"),
    ({"shape": (1, 1, 1, 9, 2**40)}, f"seq_k: expected at least 0 and at most 2147483648, got {2**40}"),
    ({"cores": 0}, "cores: expected at least 1 and at most 1048576, got 0"),
    ({"block_q": 0}, "block_q: expected at least 1 and at most 2147483648, got 0"),
    ({"chunk": -1}, "chunk: expected at least 0 and at most 2147483648, got -1"),
    ({"cost_edge": -1}, "cost_edge: expected at least 0 and at most 1048576, got -1"),
    ({"window_size_left": -1}, "window_size_left: expected None or at least 0, got -1"),
    ({"alignment": "left"}, 'alignment: expected "bottom_right" or "top_left", got \'left\''),
    ({"diagonal": 2**64}, f"diagonal: expected a 64-bit integer, got {2**64}"),
    ({"cu_seq_q": [0, 50, 90]}, "cu_seq_q: expected cumulative lengths rising from 0 to 100, got [0, 50, 90]"),
    (
        {"cu_seq_q": [0, 60, 50, 100]},
        "cu_seq_q: expected cumulative lengths rising from 0 to 100, got [0, 60, 50, 100]",
    ),
    ({"cu_seq_q": []}, "cu_seq_q: expected cumulative lengths rising from 0 to 100, got []"),
    ({"cu_seq_q": [0, 100], "cu_seq_k": [0, 1, 100]}, "cu_seq_k: expected 2 entries as in cu_seq_q, got 3"),
    ({"cu_seq_k": [0, 100]}, "cu_seq_q: expected with cu_seq_k, got None"),
    ({"shape": (2, 1, 1, 9, 9), "cu_seq_q": [0, 9]}, "shape: expected B = 1 for packed documents, got B = 2"),
    ({"shape": (8, 8, 8, 2**31, 2**31), "block_q": 2**31}, "pairs of all heads: expected at most 2^62 in all"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input(change: dict, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        plan(**{"shape": (1, 12, 4, 100, 100, 64), "cores": 24, **change})
    assert message in str(caught.value)


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="cores: expected an int, got float"):
        plan((1, 1, 1, 9, 9), cores=2.5)  # type: ignore[arg-type]
