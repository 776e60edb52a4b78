"""The peers of one command: who takes part in which group, and what MaxText is told."""

from __future__ import annotations

import argparse
import sys

import peers
import pytest
from maxtext_worker import options

EVERY = ["moec", "plain JAX", "transformers, grouped_mm", "transformers, eager", "MaxText", "MaxText, all experts"]


def there(monkeypatch: pytest.MonkeyPatch, *left_out: str) -> list[peers.Peer]:
    """The peers of a machine that has what all need."""
    monkeypatch.setattr(peers, "lack_of", lambda _: "")
    chosen = argparse.Namespace(leave_out=left_out, transformers=sys.executable, maxtext=sys.executable)
    return peers.installed(chosen)


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("dense", ["moec", "plain JAX", "transformers, grouped_mm", "MaxText"]),
        ("8-dropless", ["moec", *EVERY[2:]]),
        ("32-capacity", ["moec", "plain JAX", "MaxText"]),
    ],
)
def test_a_group_has_the_peers_that_have_its_model(
    group: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [(_, _, work)] = peers.groups(["256x4x256"], 2048, {group})
    assert [peer.name for peer in there(monkeypatch) if peers.takes_part(peer, work)] == names


def test_a_peer_that_is_left_out_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names = [peer.name for peer in there(monkeypatch, "MaxText", "plain JAX")]
    assert names == [EVERY[0], *EVERY[2:4], EVERY[5]]
    assert capsys.readouterr().err == "plain JAX: skipped, left out\nMaxText: skipped, left out\n"


@pytest.mark.parametrize("name", ["MaxTxt", "moec"])
def test_what_cannot_be_left_out_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=f"^--leave-out {name}: no such peer; there are plain JAX; "):
        there(monkeypatch, name)


def test_maxtext_makes_nothing_again_that_it_can_name() -> None:
    """By `remat_policy: none` it makes each layer again (docs/log.md, 2026-11-28)."""
    [(_, _, work)] = peers.groups(["256x4x256"], 2048, {"8-dropless"})
    told = options(work, "folder", "ragged_dot")
    assert told["remat_policy"] == "custom"
    assert {told[name] for name in ("context", "mlpwo", "moe_mlpwi_1", "moe_x_sorted")} == {"device"}
    assert (told["sparse_matmul"], options(work, "folder", "all_experts")["sparse_matmul"]) == (True, False)
