"""benchmarks/passes.py runs, and what it reports makes sense; its figures at this size mean nothing."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENTRANTS = {"xent", "scikit-learn", "PyTorch", "PyTorch compiled", "read"}


def test_passes_reports_every_entrant(tmp_path):
    out = tmp_path / "passes.json"
    command = [sys.executable, "benchmarks/passes.py", "--scale", "0.002", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--only", "1000000x30 K=2 float32", "--json", out, "--plot", tmp_path / "passes.svg"],
        cwd=ROOT,
        env=os.environ | {"TORCH_COMPILE_DISABLE": "1"},  # compiling takes half a minute; eager instead
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "best peer / xent" in done.stdout
    assert (tmp_path / "passes.svg").stat().st_size > 1000
    assert (tmp_path / "passes.png").stat().st_size > 1000

    report = json.loads(out.read_text())
    assert report["machine"]["threads"] >= 1
    assert all(report["peaks"][what]["rate"] > 0 for what in ("float32", "float64", "read"))
    (cell,) = report["cells"]
    assert (cell["n"], cell["d"], cell["K"]) == (2000, 30, 2)
    assert cell["limit_seconds"] > 0
    assert set(cell["entrants"]) == ENTRANTS
    for name, entry in cell["entrants"].items():
        assert "unsupported" not in entry, entry
        assert len(entry["times"]) == 1
        assert 0 < entry["over_limit"] < math.inf
        if name != "read":
            assert entry["grad_error"] < 1e-4
            assert entry["loss_error"] < 1e-4
            assert 0 <= entry.get("extra_bytes", 0) < 64 << 20  # absent but on Linux
    assert 0 < cell["best_peer_over_xent"] < math.inf
