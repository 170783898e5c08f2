"""What each rank computes and sends: the visible part of (queries of rank r) x (keys of rank s), as few calls of the
operator as it takes.

Host arithmetic only, in exact integers: no tensors, no communication.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

from ..flops import visible_pairs
from .layout import ContextLayout, Segment

# Sides of a band that bind no row: beyond every key, before every key. They fit in 32 bits; one rank holds fewer tokens
# than that.
EVERY_KEY = 1 << 30
NO_WINDOW = -EVERY_KEY


@dataclass(frozen=True)
class Piece:
    """A rectangle of rank-local query rows and key rows. Pair (i, j), counted from its corner, is visible iff i + left
    <= j <= i + right.
    """

    q_begin: int
    q_end: int
    k_begin: int
    k_end: int
    right: int = EVERY_KEY
    left: int = NO_WINDOW

    @property
    def rows(self) -> int:
        return self.q_end - self.q_begin

    @property
    def keys(self) -> int:
        return self.k_end - self.k_begin

    @property
    def diagonal(self) -> int:
        return self.right

    @property
    def window_size_left(self) -> int | None:
        return None if self.left == NO_WINDOW else self.right - self.left

    def pairs(self) -> int:
        """Visible pairs."""
        return visible_pairs(self.rows, self.keys, self.diagonal, self.window_size_left)

    def blocks(self, height: int, width: int) -> int:
        """Blocks of height x width, counted from its corner, that hold a visible pair."""
        count = 0
        for row in range(0, self.rows, height):
            last = min(row + height, self.rows) - 1
            end = min(last + self.right, self.keys - 1)
            begin = max(row + self.left, 0)
            if end >= begin:
                count += end // width - begin // width + 1
        return count


@dataclass(frozen=True)
class Call:
    """Pieces with one diagonal and one window, disjoint and ascending in queries and in keys: one call (packed, if more
    than one).
    """

    pieces: tuple[Piece, ...]

    @property
    def diagonal(self) -> int:
        return self.pieces[0].diagonal

    @property
    def window_size_left(self) -> int | None:
        return self.pieces[0].window_size_left

    @property
    def q_range(self) -> tuple[int, int]:
        return self.pieces[0].q_begin, self.pieces[-1].q_end

    @property
    def k_range(self) -> tuple[int, int]:
        return self.pieces[0].k_begin, self.pieces[-1].k_end

    def offsets(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """cu_seq_q and cu_seq_k within q_range and k_range. A gap between two pieces is a document with rows but no
        keys, or keys but no rows.
        """
        q_at, k_at = self.q_range[0], self.k_range[0]
        cu_q, cu_k = [0], [0]
        for piece in self.pieces:
            if piece.q_begin > q_at:
                cu_q.append(piece.q_begin - self.q_range[0])
                cu_k.append(cu_k[-1])
            if piece.k_begin > k_at:
                cu_q.append(cu_q[-1])
                cu_k.append(piece.k_begin - self.k_range[0])
            q_at, k_at = piece.q_end, piece.k_end
            cu_q.append(q_at - self.q_range[0])
            cu_k.append(k_at - self.k_range[0])
        return tuple(cu_q), tuple(cu_k)


@dataclass(frozen=True)
class Step:
    """What rank r computes with rank s's keys.

    Attributes:
        needed: ranges of s's local key rows that hold a visible pair, ascending and apart: what s sends to r.
        calls: in coordinates of r's local query rows and of the needed key rows laid one after another.
    """

    needed: tuple[tuple[int, int], ...]
    calls: tuple[Call, ...]

    @property
    def key_rows(self) -> int:
        return sum(end - begin for begin, end in self.needed)

    def pairs(self) -> int:
        return sum(piece.pairs() for call in self.calls for piece in call.pieces)

    def blocks(self, height: int = 128, width: int = 128) -> int:
        return sum(piece.blocks(height, width) for call in self.calls for piece in call.pieces)


@dataclass(frozen=True)
class RankPlan:
    """A rank's share of one attention: in step t it computes with the keys of rank r - t and sends its own to rank r +
    t (modulo n).

    Attributes:
        rank: r.
        steps: what it computes, by t; steps[0] is with its own keys.
        outgoing: ranges of its own key rows that it sends, by t.
    """

    rank: int
    steps: tuple[Step, ...]
    outgoing: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def ranks(self) -> int:
        return len(self.steps)

    def source(self, t: int) -> int:
        return (self.rank - t) % self.ranks

    def target(self, t: int) -> int:
        return (self.rank + t) % self.ranks


@lru_cache(maxsize=256)
def rank_plan(
    layout: ContextLayout, rank: int, window_size_left: int | None = None, positions: bool = False
) -> RankPlan:
    """The plan of `rank`; the same layout and window give matching plans on all ranks.

    `positions`: every call's diagonal is the true one, for scores that depend on distances (alibi); more calls.
    """
    ranks = range(layout.ranks)
    steps = tuple(plan_step(layout, rank, (rank - t) % layout.ranks, window_size_left, positions) for t in ranks)
    outgoing = tuple(plan_step(layout, (rank + t) % layout.ranks, rank, window_size_left).needed for t in ranks)
    return RankPlan(rank, steps, outgoing)


@lru_cache(maxsize=4096)
def plan_step(
    layout: ContextLayout, q_rank: int, k_rank: int, window_size_left: int | None = None, positions: bool = False
) -> Step:
    """The visible part of q_rank's queries against k_rank's keys."""
    pieces = _visible_pieces(layout, q_rank, k_rank, window_size_left)
    needed = _union([(piece.k_begin, piece.k_end) for piece in pieces])
    if q_rank == k_rank:  # its own keys lie in memory already
        needed = ((0, layout.local_length(k_rank)),)
    merged = [_compact(piece, needed) for piece in pieces]
    if not positions:
        merged = _merge([_normal(piece) for piece in merged])
    return Step(needed, _group(merged) if layout.cu_seq is not None else tuple(Call((piece,)) for piece in merged))


def rank_pairs(layout: ContextLayout, rank: int, window_size_left: int | None = None) -> int:
    """Visible pairs that `rank` computes, one head of one sequence."""
    return sum(plan_step(layout, rank, other, window_size_left).pairs() for other in range(layout.ranks))


def rank_blocks(
    layout: ContextLayout, rank: int, window_size_left: int | None = None, height: int = 128, width: int = 128
) -> int:
    """Blocks with a visible pair that `rank` computes, one head of one sequence."""
    return sum(plan_step(layout, rank, other, window_size_left).blocks(height, width) for other in range(layout.ranks))


def rows_received(layout: ContextLayout, rank: int, window_size_left: int | None = None) -> int:
    """Key rows (each with its value row) that reach `rank` in a forward."""
    return sum(
        plan_step(layout, rank, other, window_size_left).key_rows for other in range(layout.ranks) if other != rank
    )


def rows_sent(layout: ContextLayout, rank: int, window_size_left: int | None = None) -> int:
    """Key rows (each with its value row) that `rank` sends in a forward; in a backward it also returns the gradients of
    those it received.
    """
    return sum(
        plan_step(layout, other, rank, window_size_left).key_rows for other in range(layout.ranks) if other != rank
    )


def least_rows_received(layout: ContextLayout, rank: int, window_size_left: int | None = None) -> int:
    """The fewest key rows that can reach `rank`: those of other ranks that one of its queries sees, counted token by
    token from the definition.
    """
    return sum(_rows_seen(layout, rank, other, window_size_left) for other in range(layout.ranks) if other != rank)


def least_rows_sent(layout: ContextLayout, rank: int, window_size_left: int | None = None) -> int:
    """The fewest key rows that can leave `rank`: its own, once for each other rank of which a query sees them."""
    return sum(_rows_seen(layout, other, rank, window_size_left) for other in range(layout.ranks) if other != rank)


def _rows_seen(layout: ContextLayout, q_rank: int, k_rank: int, window_size_left: int | None) -> int:
    """Key rows of k_rank that a query of q_rank sees, by the definition: the tokens of its document up to itself."""
    ranges = []
    for query in layout.segments[q_rank]:
        first = query.origin if window_size_left is None else max(query.origin, query.start - window_size_left)
        ranges.append((first, query.stop))
    return sum(
        max(0, min(end, segment.stop) - max(begin, segment.start))
        for begin, end in _union(ranges)
        for segment in layout.segments[k_rank]
    )


def _visible_pieces(layout: ContextLayout, q_rank: int, k_rank: int, window: int | None) -> list[Piece]:
    """For each query segment and key segment of one document the smallest rectangle that holds its visible pairs, if
    any.
    """
    keys_of: dict[int, list[tuple[int, Segment]]] = defaultdict(list)
    at = 0
    for segment in layout.segments[k_rank]:
        keys_of[segment.origin].append((at, segment))
        at += segment.size
    pieces = []
    at = 0
    for query in layout.segments[q_rank]:
        for k_at, key in keys_of[query.origin]:
            right = query.start - key.start
            left = NO_WINDOW if window is None else right - window
            i0, i1 = max(0, -right), min(query.size, key.size - left)
            if i0 >= i1:
                continue
            j0, j1 = max(0, i0 + left), min(key.size, i1 + right)
            left = NO_WINDOW if window is None else left + i0 - j0
            pieces.append(Piece(at + i0, at + i1, k_at + j0, k_at + j1, right + i0 - j0, left))
        at += query.size
    return pieces


def _normal(piece: Piece) -> Piece:
    """With the one name for a side that binds no row."""
    right = EVERY_KEY if piece.right >= piece.keys - 1 else piece.right
    left = NO_WINDOW if piece.left + piece.rows - 1 <= 0 else piece.left
    return replace(piece, right=right, left=left)


def _union(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    result: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        elif begin < end:
            result.append((begin, end))
    return tuple(result)


def _compact(piece: Piece, needed: tuple[tuple[int, int], ...]) -> Piece:
    """With key rows counted within the needed ones."""
    at = 0
    for begin, end in needed:
        if begin <= piece.k_begin < end:
            shift = at - begin
            return replace(piece, k_begin=piece.k_begin + shift, k_end=piece.k_end + shift)
        at += end - begin
    raise AssertionError(f"{piece} lies outside the needed keys {needed}")


def _merge(pieces: list[Piece]) -> list[Piece]:
    """Joins neighbours whose union is again one band: first those beside each other (keys), then those below each other
    (rows).
    """
    for join, key in (
        (_join_keys, lambda p: (p.q_begin, p.q_end, p.k_begin)),
        (_join_rows, lambda p: (p.k_begin, p.q_begin)),
    ):
        merged: list[Piece] = []
        for piece in sorted(pieces, key=key):
            joined = join(merged[-1], piece) if merged else None
            if joined is None:
                merged.append(piece)
            else:
                merged[-1] = _normal(joined)
        pieces = merged
    return sorted(pieces, key=lambda p: (p.q_begin, p.k_begin))


def _join_keys(a: Piece, b: Piece) -> Piece | None:
    """The same rows, b's keys right after a's."""
    if (a.q_begin, a.q_end) != (b.q_begin, b.q_end) or a.k_end != b.k_begin:
        return None
    if a.right != EVERY_KEY or b.left != NO_WINDOW or b.right < -1:  # a row would miss keys between two that it sees
        return None
    right = EVERY_KEY if b.right == EVERY_KEY else a.keys + b.right
    return Piece(a.q_begin, a.q_end, a.k_begin, b.k_end, right, a.left)


def _join_rows(a: Piece, b: Piece) -> Piece | None:
    """Keys from the same one on, b's rows right after a's."""
    if a.q_end != b.q_begin or a.k_begin != b.k_begin or a.keys > b.keys:
        return None
    right, left = _joined_right(a, b), _joined_left(a, b)
    if right is None or left is None:
        return None
    return Piece(a.q_begin, b.q_end, a.k_begin, b.k_end, right, left)


def _joined_right(a: Piece, b: Piece) -> int | None:
    """The right side of the union over b's keys, of which a has the first; None where it is no straight line."""
    if a.right == EVERY_KEY:
        return EVERY_KEY if a.keys == b.keys and b.right == EVERY_KEY else None
    if (
        a.right + a.rows > a.keys and a.keys < b.keys
    ):  # a's last row stops at a's last key, and would go on in the union
        return None
    below = a.right + a.rows  # the line, seen from b's first row
    return a.right if below == b.right or (b.right == EVERY_KEY and below >= b.keys - 1) else None


def _joined_left(a: Piece, b: Piece) -> int | None:
    """The left side of the union; None where it is no straight line."""
    if b.left == NO_WINDOW:
        return NO_WINDOW if a.left == NO_WINDOW else None
    if a.left == NO_WINDOW:
        return b.left - a.rows if b.left <= 1 else None
    return a.left if b.left == a.left + a.rows else None


def _group(pieces: list[Piece]) -> tuple[Call, ...]:
    """Pieces with one diagonal and window become one packed call, as long as they ascend in queries and in keys without
    overlap.
    """
    open_calls: dict[tuple[int, int | None], list[list[Piece]]] = defaultdict(list)
    for piece in pieces:
        runs = open_calls[piece.diagonal, piece.window_size_left]
        for run in runs:
            if run[-1].q_end <= piece.q_begin and run[-1].k_end <= piece.k_begin:
                run.append(piece)
                break
        else:
            runs.append([piece])
    calls = [Call(tuple(run)) for runs in open_calls.values() for run in runs]
    return tuple(sorted(calls, key=lambda call: (call.q_range, call.k_range)))
