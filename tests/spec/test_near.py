"""Which name is offered for a mistyped one."""

from __future__ import annotations

import pytest

from moec.spec.near import distance, nearest


@pytest.mark.parametrize(
    ("left", "right", "slips"),
    [
        ("", "", 0),
        ("a", "", 1),
        ("heads", "head", 1),
        ("haeds", "heads", 1),
        ("d_model", "d_modle", 1),
        ("abc", "xyz", 3),
    ],
)
def test_slips_are_counted_the_same_both_ways(left: str, right: str, slips: int) -> None:
    assert distance(left, right, 9) == slips
    assert distance(right, left, 9) == slips


def test_counting_stops_at_the_cap() -> None:
    assert distance("abcdef", "uvwxyz", 2) == 3
    assert distance("a" * 100, "a" * 100, 2) == 3


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("n_haeds", "n_heads"),
        ("topk", "top_k"),
        ("d_mdoel", "d_model"),
        ("N_HEADS", "n_heads"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_closest_name_is_offered_if_any_is_close(name: str, offered: str | None) -> None:
    assert nearest(name, ["n_heads", "n_layers", "d_model", "top_k"]) == offered


def test_ties_do_not_depend_on_the_order_of_the_candidates() -> None:
    assert nearest("bat", ["cat", "bad", "bar"]) == nearest("bat", ["bar", "cat", "bad"]) == "bad"
