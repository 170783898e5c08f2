"""What kernels of others need: names, function pointers, habits beyond the documented limits, findings put aside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SOURCE = Path(__file__).parent / "kernels" / "wild.cpp"
X = np.linspace(-3, 4, 64, dtype=np.float32)

# Case, output from x, rules where it is lenient, whether the launch is stopped where it is strict.
VECTOR = [
    (0, (np.abs(X) + np.abs(X)) * np.float32(0.5), set(), False),
    (1, np.full(64, 1, np.float32), {"division-by-zero"}, False),
    (2, X + 100, set(), False),
    (3, X * 2, {"out-of-bounds-read", "out-of-bounds-write"}, True),
    (4, np.full(64, 3, np.float32), {"reserved-ub"}, True),
    (5, X, {"portability"}, False),
    (6, X.astype(np.float16).astype(np.float32), {"argument"}, True),
    (7, X + 64, set(), False),
    (8, X + 1, set(), False),
]


@pytest.mark.parametrize(("how", "want", "rules", "stops"), VECTOR)
def test_vector(kernels: Any, how: int, want: Any, rules: set[str], stops: bool) -> None:
    launch = kernels("wild").launch
    for strict in (False, True):
        out = np.full(64, 100, np.float32)
        report = launch("wild_vector", X, out, how, 0, strict=strict)
        assert report.completed == (not (strict and stops)), report.findings
        if report.completed:
            assert report.rules() == rules
            np.testing.assert_array_equal(out, want)
        else:
            assert report.rules() <= rules
            assert report.findings[-1].fatal


def test_a_division_by_zero_names_its_place(kernels: Any) -> None:
    (finding,) = kernels("wild").launch("wild_vector", X, X.copy(), 1, 0).findings
    assert finding.message == "the kernel divided an integer by zero after this call; the scalar unit gives 0"
    assert "WaitFlag<event>" in SOURCE.read_text().splitlines()[finding.site.line - 1]


def test_the_smallest_integer_by_minus_one_is_no_division_by_zero(kernels: Any) -> None:
    out = np.zeros(64, np.float32)
    report = kernels("wild").launch("wild_vector", X, out, 9, -1)
    np.testing.assert_array_equal(out, 0)
    found = {f.rule: (f.count, f.message) for f in report.findings}
    assert found["division-by-zero"][0] == 1
    count, message = found["division-overflow"]
    assert count >= 5  # a compiler may divide once for quotient and remainder
    assert message.startswith("the kernel divided the smallest integer of its type by -1 after this call")


def test_workspaces_that_two_vector_cores_would_share(kernels: Any) -> None:
    """CANN's SyncAll with workspaces counts by block_idx, which is the AIC's number on both of its AIVs."""
    report = kernels("wild").launch("wild_soft_sync", np.zeros(16, np.int32))
    assert not report.completed
    assert {(f.rule, "both AIVs of an AI core" in f.message) for f in report.findings} == {("argument", True)}


def test_sorting(kernels: Any) -> None:
    x = np.random.default_rng(2).permutation(128).astype(np.float32)
    x[:40] = 5  # equal values keep their order
    out = np.zeros((128, 2), np.float32)
    kernels("wild").launch("wild_sort", x, np.arange(128, dtype=np.uint32), out, uninitialised=[2]).raise_on_findings()
    order = np.argsort(-x, kind="stable")
    np.testing.assert_array_equal(out[:, 0], x[order])
    np.testing.assert_array_equal(out[:, 1].copy().view(np.uint32), order)


def test_a_list_of_tensors(kernels: Any) -> None:
    library = kernels("wild")
    memory = library.gm_array(4096).view(np.uint64)
    values = memory[256:].view(np.int32)
    values[:7] = np.arange(7)
    address = values.ctypes.data
    # Two tensors: [3] and [4, 1]; then where they are.
    memory[:8] = [48, 1, 3, 1 << 32 | 2, 4, 1, address, address + 12]
    counter, out = np.zeros(1, np.int32), np.zeros((4, 16), np.int32)
    library.launch("wild_list", memory, counter, out, block_dim=4, order="random", determinism=True).raise_on_findings()
    assert counter[0] == 4
    np.testing.assert_array_equal(out[:, 0], 21 + np.arange(4))


def test_waiting_in_global_memory_is_synchronisation(kernels: Any) -> None:
    """With cache maintenance on both sides; without it on the reader's, the chip may never see the word."""
    launch = kernels("wild").launch
    flag, data, out = np.zeros(16, np.int32), np.zeros(64, np.float32), np.zeros(64, np.float32)
    launch("wild_poll", flag, data, out, 1, block_dim=2, uninitialised=[1]).raise_on_findings()
    np.testing.assert_array_equal(out, np.full(64, 7))
    report = launch("wild_poll", np.zeros(16, np.int32), data, out, 0, block_dim=2)
    assert report.rules() >= {"scalar-cache", "race.read-after-write"}


@pytest.mark.parametrize(
    ("how", "lenient", "strict"),
    [
        (0, set(), "InitBuffer: 1 x 524288 bytes of A1 at byte 0 of L1 exceed its end at 524032"),
        (1, set(), "InitBuffer: C2PIPE2GM lies in FB, which this core does not have|exceed its end at 2048"),
        (2, {"portability"}, "flag id 12 is outside 0..10"),
        (3, {"wrong-core"}, "InitBuffer: A1 lies in L1, which this core does not have"),
    ],
)
def test_mixed(kernels: Any, how: int, lenient: set[str], strict: str) -> None:
    launch = kernels("wild").launch
    out = np.zeros(64, np.float32)
    report = launch("wild_mixed", X, out, how, strict=False)
    assert report.rules() == lenient
    if how != 3:
        assert report.completed
        np.testing.assert_array_equal(out, X)
    else:  # using the buffer is what ends the launch
        assert "DataCopy" in SOURCE.read_text().splitlines()[report.findings[0].site.line - 1]
    report = launch("wild_mixed", X, out, how)
    assert not report.completed
    assert any(part in f.message for f in report.findings for part in strict.split("|")), report.findings


def test_suppressions(kernels: Any, tmp_path: Path) -> None:
    """By a comment in the line, for one rule; by a file; counted, and what stops a launch stays."""
    launch = kernels("wild").launch
    out = np.zeros(64, np.float32)
    report = launch("wild_silenced", X, out)
    assert report.findings == []
    (aside,) = report.suppressed
    assert (aside.rule, aside.site.file) == ("race.read-after-write", str(SOURCE))
    report = launch("wild_lanes", X[:8], out[:8], 0)
    assert report.rules() == {"uninitialised-read"}  # the comment in that line names another rule
    line = report.findings[0].site.line
    known = tmp_path / "known.txt"
    for text, count in ((f"uninitialised-* wild.cpp:{line}  # padding", 0), ("* wild.cpp", 0), ("race.* *", 1)):
        known.write_text(f"# seen\n\n{text}\n")
        report = launch("wild_lanes", X[:8], out[:8], 0, suppressions=known)
        assert (len(report.findings), len(report.suppressed)) == (count, 1 - count)
    known.write_text("*")
    report = launch("wild_vector", X, out, 4, 0, suppressions=known)
    assert [f.rule for f in report.findings] == ["reserved-ub"]
    with pytest.raises(ValueError, match=r"suppressions: .*/none\.txt cannot be read"):
        launch("wild_lanes", X[:8], out[:8], 0, suppressions=tmp_path / "none.txt")


def test_lanes_that_reach_no_result(
    kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command runs a second time with other bytes where nobody wrote, and says whether an output depends on them.

    By clang++ where it is there: the second compiler of kernels.
    """
    from ascend_sim.command import run_command as main

    monkeypatch.setenv("ASCEND_SIM_LIBRARY", str(kernels("wild").path.parent / "sim" / "libascend_sim.so"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    clang = next((c for c in ("clang++", *(f"clang++-{n}" for n in range(20, 13, -1))) if shutil.which(c)), "g++")
    for reaches, code, text in ((0, 0, "findings: none, 1 harmless"), (1, 1, "findings: 1\n")):
        words = ["run", str(SOURCE), "--kernel", "wild_lanes", "--compiler", clang, "--args"]
        assert main([*words, "in:float[8]", "out:float[8]", f"int32:{reaches}"]) == code
        assert text in capsys.readouterr().out
    assert main([*words, "in:float[8]", "in:float[8]", "int32:1"]) == 1  # no result to compare
    assert "harmless" not in capsys.readouterr().out


def test_clang_takes_what_gcc_does_not(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A specialisation in class scope; a kernel that includes nothing, as where the build includes for it."""
    import ascend_sim

    clang = next((c for c in ("clang++", *(f"clang++-{n}" for n in range(20, 13, -1))) if shutil.which(c)), None)
    assert clang is not None, "apt-get install clang-15 (.ci/run does)"
    monkeypatch.setenv("ASCEND_SIM_LIBRARY", str(kernels("wild").path.parent / "sim" / "libascend_sim.so"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "k.cpp"
    source.write_text(
        "struct Size {\n  template <int n> static constexpr int Of() { return n; }\n"
        "  template <> constexpr int Of<1>() { return 64; }\n};\n"
        'extern "C" __global__ __aicore__ void k(GM_ADDR out) {\n'
        "  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);\n"
        "  AscendC::GlobalTensor<int32_t> g;\n  g.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(out));\n"
        "  g.SetValue(0, Size::Of<1>());\n  AscendC::PipeBarrier<PIPE_ALL>();\n}\n"
    )
    out = np.zeros(1, np.int32)
    ascend_sim.build(source, compiler=clang).launch("k", out).raise_on_findings()
    assert out[0] == 64
    with pytest.raises(ascend_sim.CompileError, match=r"k\.cpp:3:13: error: explicit specialization in non-namespace"):
        ascend_sim.build(source, compiler="g++")
