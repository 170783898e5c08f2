"""Every causal language model of the installed transformers is exact under attn_implementation="triangle" or refused by
name, and the table in docs/transformers.md says which."""

from __future__ import annotations

import pytest
import transformers
from transformers_families import EXACT, FAMILIES, NOT_TRIED, WRONG, result, written
from transformers_models import MARKS

pytestmark = MARKS


def test_the_table_is_current_and_no_family_is_wrong():
    version, rows = written()
    results = {family: result(family) for family in FAMILIES}
    assert not {family: said for family, said in results.items() if said.startswith(WRONG)}
    if version == transformers.__version__:
        assert results == rows, "python tests/transformers_families.py --write"
    exact = sum(said == EXACT for said in results.values())
    not_tried = sum(said.startswith(NOT_TRIED) for said in results.values())
    assert exact > 0.6 * len(FAMILIES), "the sweep itself tries too little"
    assert not_tried < 0.1 * len(FAMILIES)


def test_a_wrong_family_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    """What the implementation did before it guarded its masks, and a key too many."""
    from triangle_attn_op.integrations import transformers as integration

    def unguarded(*args: object, **kwargs: object) -> None:
        return None

    monkeypatch.setitem(transformers.AttentionMaskInterface._global_mapping, "triangle", unguarded)
    monkeypatch.setattr("triangle_attn_op.integrations._transformers_routing._names", set())
    assert result("bloom").startswith(f"{WRONG}: error")
    monkeypatch.undo()
    monkeypatch.setattr(integration, "_resolved", lambda mask, q, k: (None, 1, True))
    assert result("llama").startswith(f"{WRONG}: error")
