"""Training with xent.torch under FSDP, which frees and resizes weights between their uses: two processes
over gloo, against PyTorch's cross-entropy in one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.torch import fsdp_process

RANKS = 2


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """Of each process, by the way its model is sharded."""
    folder = tmp_path_factory.mktemp("fsdp")
    script = Path(__file__).with_name("fsdp_process.py")
    ranks = [subprocess.Popen([sys.executable, script, str(r), str(RANKS), folder]) for r in range(RANKS)]
    assert [rank.wait(timeout=240) for rank in ranks] == [0] * RANKS
    return [torch.load(folder / f"{r}.pt") for r in range(RANKS)]


@pytest.mark.parametrize("way", fsdp_process.WAYS)
def test_trains_as_pytorch_does(losses, way):
    want = fsdp_process.train()
    assert want[-1] < 0.8 * want[0]
    assert_close(torch.stack([found[way] for found in losses]).mean(0), want, rtol=1e-5, atol=0)
