"""Where no compiler is found, xent installs all the same, runs on the reference, and says why."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEFT = (".git", ".venv", "build", ".*_cache", "node_modules")


def test_install_without_a_compiler(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT))
    target = tmp_path / "site"
    environment = os.environ | {"CC": "/nowhere/cc", "CXX": "/nowhere/c++"}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(source)],
        env=environment,
        check=True,
        capture_output=True,
    )
    assert not list(target.rglob("*.so"))
    code = (
        "import sys\n"
        # this environment's editable install of xent must not answer, its other packages must
        "sys.meta_path[:] = [f for f in sys.meta_path if 'skbc' not in type(f).__module__]\n"
        f"sys.path.insert(0, {str(target)!r})\n"
        "import xent; xent.show_config()\n"
        f"assert xent.__file__.startswith({str(target)!r}), xent.__file__\n"
        "from sklearn.datasets import load_wine\n"
        "model = xent.SoftmaxRegression().fit(*load_wine(return_X_y=True))\n"
        "print(f'{model.objective_:.8f}', model.converged_)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"XENT_NATIVE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "kernels  reference (no compiled extension" in out.stdout
    assert "reinstall where a C++20 compiler is found" in out.stdout
    assert out.stdout.strip().endswith("0.06223572 True")
