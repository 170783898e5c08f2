"""The split of a sequence over ranks and the plan of who computes what, against the definition of a visible pair, pair
by pair.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from triangle_attn_op.distributed import plan
from triangle_attn_op.distributed.layout import ContextLayout, split_batch

LAYOUTS = [
    ("zigzag even", ContextLayout.zigzag(64, 4)),
    ("zigzag ragged", ContextLayout.zigzag(37, 3)),
    ("zigzag short", ContextLayout.zigzag(3, 4)),
    ("one rank", ContextLayout.zigzag(9, 1)),
    ("zigzag by window", ContextLayout.zigzag(61, 3, window_size_left=7)),
    ("zigzag by window, packed", ContextLayout.zigzag(50, 2, [0, 1, 30, 50], window_size_left=30)),
    ("contiguous", ContextLayout.contiguous(41, 4)),
    ("packed zigzag", ContextLayout.zigzag(64, 4, [0, 5, 5, 40, 64])),
    ("packed contiguous", ContextLayout.contiguous(50, 3, [0, 1, 30, 50])),
    ("documents", ContextLayout.zigzag_documents([0, 16, 48, 64], 4)),
    ("documents ragged", ContextLayout.zigzag_documents([0, 3, 20, 21, 50], 3)),
]
WINDOWS = [None, 0, 1, 7, 30, 1000]


def covered(layout: ContextLayout, window: int | None) -> torch.Tensor:
    """How often the plan computes each global pair [length, length]."""
    count = torch.zeros(layout.length, layout.length, dtype=torch.int64)
    for r in range(layout.ranks):
        for s in range(layout.ranks):
            step = plan.plan_step(layout, r, s, window)
            q_global = layout.indices(r)
            k_global = torch.cat(
                [layout.indices(s)[a:b] for a, b in step.needed] or [torch.empty(0, dtype=torch.int64)]
            )
            for call in step.calls:
                for piece in call.pieces:
                    i = torch.arange(piece.rows)[:, None]
                    j = torch.arange(piece.keys)[None]
                    low = 0 if call.window_size_left is None else i + call.diagonal - call.window_size_left
                    visible = (j <= i + call.diagonal) & (j >= low)
                    rows = q_global[piece.q_begin : piece.q_end]
                    keys = k_global[piece.k_begin : piece.k_end]
                    count[rows[:, None], keys[None]] += visible.long()
                    assert int(visible.sum()) == piece.pairs()
    return count


def visible(layout: ContextLayout, window: int | None) -> torch.Tensor:
    """The definition."""
    i = torch.arange(layout.length)[:, None]
    j = torch.arange(layout.length)[None]
    result = (j <= i) & (j >= i - (window if window is not None else layout.length))
    if layout.cu_seq is not None:
        document = torch.bucketize(torch.arange(layout.length), torch.tensor(layout.cu_seq[1:]), right=True)
        result &= document[:, None] == document[None]
    return result.long()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("name", "layout"), LAYOUTS, ids=[name for name, _ in LAYOUTS])
def test_every_visible_pair_is_computed_once(name: str, layout: ContextLayout, window: int | None) -> None:
    assert torch.equal(covered(layout, window), visible(layout, window))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_visible_pair_is_computed_once_for_any_layout(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=5))
    cu_seq = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    ranks = data.draw(st.integers(1, 4))
    kind = data.draw(st.sampled_from(["dense", "packed", "documents"]))
    layout = {
        "dense": lambda: ContextLayout.zigzag(cu_seq[-1], ranks),
        "packed": lambda: ContextLayout.zigzag(cu_seq[-1], ranks, cu_seq),
        "documents": lambda: ContextLayout.zigzag_documents(cu_seq, ranks),
    }[kind]()
    window = data.draw(st.none() | st.integers(0, 25))
    assert torch.equal(covered(layout, window), visible(layout, window))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("name", "layout"), LAYOUTS, ids=[name for name, _ in LAYOUTS])
def test_only_keys_that_are_seen_are_sent(name: str, layout: ContextLayout, window: int | None) -> None:
    for rank in range(layout.ranks):
        assert plan.rows_received(layout, rank, window) == plan.least_rows_received(layout, rank, window)
        assert plan.rows_sent(layout, rank, window) == plan.least_rows_sent(layout, rank, window)
    ranks = range(layout.ranks)
    assert sum(plan.rows_sent(layout, r, window) for r in ranks) == sum(
        plan.rows_received(layout, r, window) for r in ranks
    )


@pytest.mark.parametrize("ranks", [2, 4, 8, 64])
def test_zigzag_is_balanced_in_every_step(ranks: int) -> None:
    layout = ContextLayout.zigzag(2 * ranks * 512, ranks)
    totals = [plan.rank_blocks(layout, rank) for rank in range(ranks)]
    assert max(totals) <= 1.02 * sum(totals) / ranks
    for distance in range(1, min(ranks, 4)):
        assert len({plan.plan_step(layout, r, (r - distance) % ranks).blocks() for r in range(ranks)}) == 1
    contiguous = [plan.rank_blocks(ContextLayout.contiguous(layout.length, ranks), rank) for rank in range(ranks)]
    assert max(contiguous) > 1.3 * sum(contiguous) / ranks  # the figure that zigzag is measured against can be missed


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize(("length", "window"), [(8192, 128), (8192, 256), (32768, 1024), (131072, 4096)])
def test_windows_below_a_26th_of_the_sequence_are_balanced(length: int, window: int, ranks: int) -> None:
    layout = ContextLayout.zigzag(length, ranks)
    blocks = [plan.rank_blocks(layout, rank, window) for rank in range(ranks)]
    pairs = [plan.rank_pairs(layout, rank, window) for rank in range(ranks)]
    assert max(blocks) <= 1.02 * sum(blocks) / ranks
    assert max(pairs) / (sum(pairs) / ranks) - 1 <= window / (2 * length - window)


@pytest.mark.parametrize("ranks", [2, 4])
def test_wider_windows_are_balanced_by_a_layout_that_knows_them(ranks: int) -> None:
    length, window = 8192, 1024
    figures = []
    for layout in (
        ContextLayout.zigzag(length, ranks),
        ContextLayout.zigzag(length, ranks, window_size_left=window),
    ):
        blocks = [plan.rank_blocks(layout, rank, window) for rank in range(ranks)]
        assert {layout.local_length(rank) for rank in range(ranks)} == {length // ranks}
        figures.append((sum(blocks), max(blocks) / (sum(blocks) / ranks) - 1))
    (total, plain), (cut, balanced) = figures
    assert plain > 0.06
    assert balanced == 0.0
    assert cut == total  # no block more


def test_documents_are_balanced_each() -> None:
    layout = ContextLayout.zigzag_documents([0, 2048, 16384, 20480], 4)
    pairs = [plan.rank_pairs(layout, rank) for rank in range(4)]
    assert max(pairs) <= 1.02 * sum(pairs) / 4
    assert [layout.local_length(rank) for rank in range(4)] == [5120] * 4


def test_dense_steps_are_one_call() -> None:
    layout = ContextLayout.zigzag(64, 4)
    for r in range(4):
        for s in range(4):
            assert len(plan.plan_step(layout, r, s).calls) == 1
    many = ContextLayout.zigzag_documents(list(range(0, 641, 16)), 4)
    assert all(len(plan.plan_step(many, r, s).calls) == 1 for r in range(4) for s in range(4))


def test_a_window_leaves_far_ranks_alone() -> None:
    layout = ContextLayout.contiguous(64, 8)
    receives = [[plan.plan_step(layout, r, s, 8).key_rows for s in range(8) if s != r] for r in range(8)]
    assert all(sum(rows) <= 8 for rows in receives)
    assert not plan.plan_step(layout, 5, 1, 8).calls


@pytest.mark.parametrize(("name", "layout"), LAYOUTS, ids=[name for name, _ in LAYOUTS])
def test_split_and_restore_are_inverse(name: str, layout: ContextLayout) -> None:
    tokens = torch.randn(2, layout.length, 3)
    parts = [layout.split(tokens, rank) for rank in range(layout.ranks)]
    assert [part.shape[1] for part in parts] == [layout.local_length(rank) for rank in range(layout.ranks)]
    assert torch.equal(layout.restore(parts), tokens)
    assert torch.equal(parts[0], tokens[:, layout.indices(0)])


def test_batch_split_keeps_positions_and_next_tokens() -> None:
    layout = ContextLayout.zigzag_documents([0, 8, 24], 2)
    ids = torch.arange(24)[None]
    batch = {"input_ids": ids, "labels": ids.clone(), "num_items": 3}
    for rank in range(2):
        part = split_batch(batch, layout, rank)
        assert part["num_items"] == 3
        assert torch.equal(part["labels"], part["input_ids"])
        index = layout.indices(rank)
        assert torch.equal(part["input_ids"][0], index)
        assert torch.equal(part["shift_labels"][0], torch.where(index == 23, -100, index + 1))
        assert torch.equal(part["position_ids"][0], torch.where(index < 8, index, index - 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ContextLayout.zigzag(8, 0), "ranks: expected at least 1, got 0"),
        (lambda: ContextLayout.zigzag(8, 2, window_size_left=-1), "window_size_left: expected None or at least 0"),
        (lambda: ContextLayout.zigzag(8, 2, [0, 5]), "cu_seq: expected its last offset to be the 8 tokens, got 5"),
        (lambda: ContextLayout.zigzag_documents([0, 5, 3], 2), "cu_seq: expected offsets from 0 that never decrease"),
        (lambda: ContextLayout.of_local(3, 2), "q: expected an even number of tokens a rank"),
        (lambda: ContextLayout.zigzag(8, 2).split(torch.zeros(1, 7), 0), "tensor: expected 8 tokens in dimension 1"),
        (lambda: ContextLayout.zigzag(8, 2).restore([torch.zeros(1, 4)] * 3), r"parts: expected \[4, 4\] tokens"),
        (
            lambda: split_batch({"attention_mask": torch.ones(1, 1, 8, 8)}, ContextLayout.zigzag(8, 2), 0),
            "attention_mask: context parallelism",
        ),
        (
            lambda: split_batch({"input_ids": torch.ones(1, 9)}, ContextLayout.zigzag(8, 2), 0),
            "input_ids: expected 8 tokens",
        ),
    ],
)
def test_bad_layouts(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
