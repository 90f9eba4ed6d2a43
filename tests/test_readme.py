"""What the README says: its code runs as a reader would paste it, and so do its tests."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="installed without the README")


def test_code_blocks_run(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 3
    namespace = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    printed = capsys.readouterr().out
    assert float(re.search(r"R\^2 on the last five years: (\S+)", printed)[1]) > 0.9


def test_python_m_pytest_in_the_source_folder_tests_what_is_installed():
    """There the folder's own package, without compiled modules, is the first on the path."""
    command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "--collect-only"]
    result = subprocess.run(
        [*command, "tests/test_kernels_stream.py"],
        cwd=README.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "test_stream_refuses_what_does_not_fit" in result.stdout
