"""Runs a Python program in a fresh interpreter, for tests that need a process of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def run_python(code, timeout=600, **environment):
    """What the program prints; its failure, or its hanging, is the test's.

    It runs in this folder: in the project's root it would import the sources, not what is installed.
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        cwd=Path(__file__).parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
