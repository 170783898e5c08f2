"""TPipe, TQue, TBuf, TBufPool, event ids, printing and the variables of a launch."""

from __future__ import annotations

import numpy as np
import pytest
import tile_kernels
from tile_kernels import KERNELS, ORDERS, line_of

SOURCE = KERNELS / "framework.cpp"
TILE = 256


def tiles(count: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, TILE), dtype=np.float32)


def only(report, rule: str, message: str, mark: str | None = None):
    finding = tile_kernels.only(report, rule)
    assert message in finding.message
    if mark is not None:
        assert finding.site.line == line_of(mark, SOURCE)
    return finding


@pytest.fixture
def lib(kernels):
    return kernels("framework")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("kernel", ["double_single", "double_buffered", "double_preloaded", "in_place_queue"])
def test_queue_pipeline(kernels, kernel, count, order):
    x = tiles(count)
    out = np.zeros_like(x)
    lib = kernels("framework" if kernel == "in_place_queue" else "queue_pipeline")
    lib.launch(kernel, x, out, count, order=order, seed=5, uninitialised=[1]).raise_on_findings()
    np.testing.assert_array_equal(out, x + x)


@pytest.mark.parametrize("order", ORDERS)
def test_copy_queue(kernels, order):
    x = tiles(5)
    out = np.zeros_like(x)
    kernels("queue_pipeline").launch("copy_bound", x, out, 5, order=order, seed=5).raise_on_findings()
    np.testing.assert_array_equal(out, x)


def test_queue_at_own_addresses(lib):
    x = tiles(2)
    out = np.zeros_like(x)
    lib.launch("own_addresses", x, out).raise_on_findings()
    np.testing.assert_array_equal(out, x)


def test_double_buffering_overlaps(kernels):
    lib = kernels("queue_pipeline")
    x = tiles(16)
    single, double = (lib.launch(k, x, np.zeros_like(x), 16) for k in ("double_single", "double_buffered"))
    assert double.cycles < single.cycles


# EnQue = AllocEventID + SetFlag, DeQue = WaitFlag + Release, FreeTensor sets what the next Alloc awaits;
# depth counts EnQues without a DeQue, not buffers.
QUEUE_RULES = [
    (0, "buffer.not-initialised", "ErrorBuffer0", "InitBuffer was not called for this VECIN queue", "alloc"),
    (1, "queue", "ErrorBuffer2", "DeQue: this VECIN queue is empty", "empty"),
    (2, "queue", "ErrorBuffer2", "depth 1 takes no more than 1 EnQues without a DeQue", "depth"),
    (3, "queue", "ErrorBuffer2", "FreeTensor: the tensor is still in the VECIN queue", "free_enqueued"),
    (4, "queue", "ErrorBuffer2", "EnQue: the tensor is in the queue", "enqueue_twice"),
    (5, "queue", "ErrorBuffer2", "all 2 buffers of this VECIN queue are in use", "exhausted"),
    (6, "queue.position", "ErrorBuffer1", "is no buffer of this VECIN queue", "foreign"),
    (
        7,
        "leak",
        "ErrorLeak",
        "the tensor of 1024 bytes in VECIN allocated here was never freed (it is dequeued)",
        "alloc",
    ),
    (8, "double-free", "ErrorFree", "freed already", "free_again"),
    (9, "queue", "ErrorBuffer2", "EnQue: the tensor is free", "enqueue_freed"),
    (10, "unallocated-write", "ErrorWrite1", "freed before this use", "load"),
]


@pytest.mark.parametrize(
    ("rule", "name", "alias", "message", "mark"), QUEUE_RULES, ids=[f"{r[4]}" for r in QUEUE_RULES]
)
def test_queue_rules(lib, rule, name, alias, message, mark):
    x = tiles(1)
    lib.launch("queue_rules", x, np.zeros_like(x), rule, 1).raise_on_findings()
    bad = lib.launch("queue_rules", x, np.zeros_like(x), rule, 0)
    finding = only(bad, name, message, f"queue_rules.{mark}")
    assert finding.npuchk == alias
    if name == "double-free":
        assert finding.other.line == line_of("queue_rules.free", SOURCE)


def test_eight_queue_buffers_a_position(lib):
    x = tiles(1)
    lib.launch("queue_events", x, 8, 0).raise_on_findings()
    bad = lib.launch("queue_events", x, 9, 0)
    only(bad, "queue", "all 8 event ids of V -> MTE2 are taken", "queue_events.free")
    lib.launch("queue_events", x, 9, 1).raise_on_findings()  # FreeAllEvent returns them


def test_init_buffer_limits(lib):
    lib.launch("init_buffer", 8, 8, 32).raise_on_findings()
    only(lib.launch("init_buffer", 9, 8, 32), "queue", "at most 64 buffers; it has 64", "init_buffer.init")
    lib.launch("init_buffer", 1, 1, 192 * 1024).raise_on_findings()
    bad = lib.launch("init_buffer", 1, 1, 192 * 1024 + 1)
    assert only(bad, "capacity", "of VECIN at byte 0 of UB exceed its end at 196608").npuchk == "ErrorBuffer3"
    only(lib.launch("init_buffer", 1, 0, 32), "argument", "expected num and len above 0, got num 0, len 32")


def test_queue_state(lib):
    lib.launch("queue_state", tiles(1)).raise_on_findings()


def test_pipe_sets_m_mte1_events_on_aic(lib):
    """TPipe's constructor sets M_MTE1 events 0, 1, 2 on AIC; Destroy, the known idiom, waits for them."""
    lib.launch("pipe_events", 1).raise_on_findings()
    bad = lib.launch("pipe_events", 0)
    assert "flag.set-twice" in bad.rules()
    finding = next(f for f in bad.findings if f.rule == "flag.set-twice")
    assert finding.site.line == line_of("pipe_events.set", SOURCE)
    assert finding.other.line == line_of("pipe_events.construct", SOURCE)
    lib.launch("pipe_events_taken").raise_on_findings()


@pytest.mark.parametrize(("how", "atomic"), [(0, False), (1, False), (2, False), (3, True)])
def test_initial_state(lib, how, atomic):
    """No atomics, norm mode, all lanes after TPipe, Reset and InitSocState."""
    x = tiles(1)
    out = np.ones_like(x)
    report = lib.launch("soc_state", x, out, how)
    if atomic:  # nothing cleared it: added to what was there, and counter mode computed 64 elements only
        only(report, "uninitialised-read", "byte 1280 of UB was never written")
        np.testing.assert_array_equal(out[0, :64], 1 + 2 * x[0, :64])
    else:
        report.raise_on_findings()
        np.testing.assert_array_equal(out, x + x)


def test_fetch_event_id_does_not_reserve(lib):
    lib.launch("fetch_event", 1).raise_on_findings()
    bad = lib.launch("fetch_event", 0)
    assert "flag.set-twice" in bad.rules()
    assert bad.findings[0].site.line == line_of("fetch_event.second", SOURCE)


def test_event_ids_are_counted(lib):
    lib.launch("event_ids", 8, 8).raise_on_findings()
    only(lib.launch("event_ids", 9, 0), "queue", "all 8 event ids of V -> S are taken", "event_ids.alloc")
    only(lib.launch("event_ids", 1, 2), "queue", "id 1 of V -> S was not allocated", "event_ids.release")


def test_current_pipe(lib):
    lib.launch("no_pipe", 1).raise_on_findings()
    only(lib.launch("no_pipe", 0), "buffer.not-initialised", "the kernel has constructed no TPipe", "no_pipe.get")


def test_buf_rules(lib):
    x = tiles(1)
    lib.launch("buf_rules", x, 1, TILE).raise_on_findings()
    only(lib.launch("buf_rules", x, 0, TILE), "buffer.not-initialised", "for this TBuf of VECCALC", "buf_rules.get")
    only(
        lib.launch("buf_rules", x, 1, TILE + 8), "capacity", "bytes [0, 1056) of a TBuf of 1024 bytes", "buf_rules.get"
    )


def test_buf_is_gone_after_reset(lib):
    x = tiles(1)
    lib.launch("buf_after_reset", x, 1).raise_on_findings()
    only(lib.launch("buf_after_reset", x, 0), "unallocated-write", "freed before this use", "buf_after_reset.use")


@pytest.mark.parametrize("order", ORDERS)
def test_pools(lib, order):
    x = tiles(4)
    out = np.zeros_like(x)
    lib.launch("pools", x, out, order=order, seed=2).raise_on_findings()
    np.testing.assert_array_equal(out, x + x)


def test_pool_rules(lib):
    lib.launch("pool_rules", 1, 4, 1024).raise_on_findings()
    bad = lib.launch("pool_rules", 0, 1, 1024)
    assert (
        only(bad, "buffer-pool.not-initialised", "InitBufPool was not called", "pool_rules.init").npuchk
        == "ErrorBuffer4"
    )
    only(lib.launch("pool_rules", 1, 5, 32), "queue", "at most 4 buffers; it has 0 and is asked for 5 more")
    only(lib.launch("pool_rules", 1, 2, 2080), "capacity", "2 x 2080 bytes of VECIN")


def test_local_mem_allocator(lib):
    x = tiles(1)
    out = np.zeros_like(x)
    lib.launch("allocator", x, out, TILE).raise_on_findings()
    np.testing.assert_array_equal(out, x + x)
    bad = lib.launch("allocator", x, out, 192 * 256)
    only(bad, "capacity", "bytes [1024, 197632) of UB, which has 196608 bytes", "allocator.alloc")


def test_tensor_methods(lib):
    x = tiles(1)
    out = np.zeros(4, np.float32)
    lib.launch("tensor_methods", x, out).raise_on_findings()
    np.testing.assert_array_equal(out[:2], np.float32([3.5, x[0, 3]]))


@pytest.mark.parametrize("blocks", [1, 3])
def test_block_numbers(lib, blocks):
    """GetBlockNum counts AI cores; an AIV's GetBlockIdx runs over 0..2N-1 in mix 1:2, block_idx over its AIC's.

    GetTaskRatio and GetSubBlockNum are 1 on the AIC.
    """
    aic, aiv = np.full((blocks, 8), -1, np.float32), np.full((2 * blocks, 8), -1, np.float32)
    lib.launch("who_am_i", aic, aiv, block_dim=blocks).raise_on_findings()
    for i in range(blocks):
        np.testing.assert_array_equal(aic[i, :6], [blocks, 0, 1, i, blocks, 1])
    for i in range(2 * blocks):
        np.testing.assert_array_equal(aiv[i, :6], [blocks, i % 2, 2, i // 2, blocks, i % 2])


def test_tiling_and_workspace(lib):
    out = np.zeros(1, np.float32)
    tiling = np.zeros(1, [("rows", "u4"), ("scale", "f4")])
    tiling["rows"], tiling["scale"] = 6, 0.5
    lib.launch("tiling_data", out, np.zeros(64, np.uint8), tiling).raise_on_findings()
    assert out[0] == 3


def test_prints_name_the_core(lib, capfd):
    x = np.arange(TILE, dtype=np.float32)
    lib.launch("prints", x, block_dim=2, order="lazy").raise_on_findings()
    printed = capfd.readouterr().out
    assert "[aiv0] block 0 of 2: half 1.500000\n" in printed
    assert "[aiv1] block 1 of 2: half 1.500000\n" in printed
    assert "[aiv0] hex ff\n" in printed
    assert (
        "[aiv0] DumpTensor desc=5 LocalTensor<float> at UB+0, 16 elements\n  0, 1, 2, 3, 4, 5, 6, 7\n  8, 9," in printed
    )
    assert "[aiv1] DumpTensor desc=6 GlobalTensor<float> at GM 'arg0'+32, 8 elements\n  8, 9, 10" in printed


ASSERTS = [
    (0, "ascendc", "value == 1: value is 2"),
    (1, "libc", "value == 1"),
    (2, "old", "(value == 1)"),
    (3, "trap", "Trap()"),
]


@pytest.mark.parametrize(("how", "mark", "message"), ASSERTS)
def test_assertions(lib, how, mark, message, capfd):
    lib.launch("asserts", how, 1).raise_on_findings()
    only(lib.launch("asserts", how, 2), "assertion", message, f"asserts.{mark}")
    if mark == "old":
        assert "it is 2" in capfd.readouterr().out


@pytest.mark.parametrize("order", ORDERS)
def test_soft_sync_all(lib, order):
    """GM and UB workspaces of 32 B a block, GM zeroed by the host."""
    x = tiles(4)
    scratch, out = np.zeros_like(x), np.zeros_like(x)
    words = np.zeros((4, 8), np.int32)
    launch = dict(block_dim=4, order=order, seed=9)
    lib.launch("soft_sync", x, scratch, out, words, 128, **launch).raise_on_findings()
    np.testing.assert_array_equal(out, np.roll(x, -2, axis=0))
    np.testing.assert_array_equal(words[:, 0], 3)
    bad = lib.launch("soft_sync", x, scratch, out, np.zeros_like(words), 96, **launch)
    only(bad, "argument", "ubWorkspace has 24 elements, expected at least 8 an AIV: 32", "soft_sync.first")
    words[:] = 0
    words[2, 0] = 1
    only(
        lib.launch("soft_sync", x, scratch, out, words, 128, **launch), "argument", "gmWorkspace was not zero at first"
    )
    bad = lib.launch("soft_sync", x, scratch, out, np.zeros((3, 8), np.int32), 128, **launch)
    assert not bad.completed
    assert bad.rules() <= {"out-of-bounds-read", "out-of-bounds-write"}


@pytest.mark.parametrize("order", ORDERS)
def test_ib_set_and_wait(lib, order):
    x = tiles(1)
    out = np.zeros((3, TILE), np.float32)
    launch = dict(block_dim=3, order=order, seed=4, uninitialised=[1])
    lib.launch("hand_on", x, out, np.zeros((6, 8), np.int32), 1, **launch).raise_on_findings()
    np.testing.assert_array_equal(out, np.concatenate([2 * x, 4 * x, 8 * x]))
    bad = lib.launch("hand_on", x, out, np.zeros((6, 8), np.int32), 0, **launch)
    finding = only(bad, "deadlock", "waits for the flag of IBWait at byte 0 of GM 'arg2' to become 1")
    assert finding.site.line == line_of("hand_on.wait", SOURCE)
    bad = lib.launch("hand_on", x, out, np.ones((6, 8), np.int32), 1, **launch)
    assert bad.rules() == {"argument"}
    assert "gmWorkspace must be zero at first, got 1" in bad.findings[0].message
