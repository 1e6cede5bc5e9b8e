"""xent installs where no compiler is found, and its command where its extra is not: both say what to do."""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LEFT = (".git", ".venv", "build", ".*_cache", "node_modules")


PIP = ["-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What `pip install .` installs where there is no compiler."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*LEFT))
    command = [sys.executable, *PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--wheel-dir", str(folder), str(folder / "source")],
        env=os.environ | {"CC": "/nowhere/cc", "CXX": "/nowhere/c++"},
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_install_without_a_compiler(wheel, tmp_path):
    target = tmp_path / "site"
    command = [sys.executable, *PIP, "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
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


def test_the_command_without_its_extra_says_what_to_type(wheel, tmp_path):
    """`pip install .` puts a command on the path; what it asks for is what the extra holds, by name."""
    home = tmp_path / "a venv"
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, *PIP, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    for name in ("numpy", "numpy.libs", "array_api_compat"):
        if (found := Path(np.__file__).parent.parent / name).exists():
            (site / name).symlink_to(found)
    out = subprocess.run(
        [python.with_name("xent"), "fit", "iris"], capture_output=True, text=True, check=False
    )
    assert out.returncode == 1
    says, _, command = out.stderr.partition(", which is not installed: ")
    assert says == "xent: the command needs cyclopts"
    assert shlex.split(command)[:4] == [str(python), "-m", "pip", "install"]
    asked = {Requirement(name) for name in shlex.split(command)[4:]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert asked == {Requirement(name) for name in project["optional-dependencies"]["cli"]}
    # pip understands it; with no index to ask it can go no further than the first package.
    refused = subprocess.run(f"{command.strip()} --no-index", shell=True, capture_output=True, text=True)
    assert "No matching distribution found for charset-normalizer" in refused.stderr
