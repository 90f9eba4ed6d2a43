"""What the README and the guide say: their code runs as a reader would paste it, and so do the tests."""

import contextlib
import doctest
import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.exists() and "```python" in page.read_text(encoding="utf-8")
]

# The words after "python" are modules that the block needs. A text block right after it is its output.
BLOCK = re.compile(r"^```python([ \w]*)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.M | re.S)


@pytest.mark.skipif(not PAGES, reason="installed without the README and the guide")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for modules, code, expected in BLOCK.findall(page.read_text(encoding="utf-8")):
        if not all(importlib.util.find_spec(module) for module in modules.split()):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(page), "exec"), namespace)
        if expected:
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            as_expected = doctest.OutputChecker().check_output(
                expected, printed.getvalue(), options
            )
            assert as_expected, f"{code}\nprints\n{printed.getvalue()}\ninstead of\n{expected}"


@pytest.mark.skipif(ROOT / "README.md" not in PAGES, reason="installed without the README")
def test_readme_promises_a_good_forecast():
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    printed, namespace = io.StringIO(), {"__name__": "readme"}
    with contextlib.redirect_stdout(printed):
        for _, code, _ in blocks:
            exec(compile(code, "README.md", "exec"), namespace)
    errors = namespace["forecaster"].backtest(5, season=12).errors
    assert errors["LSTM"]["MAE"] < 0.8 * errors["seasonal naive"]["MAE"]
    assert 0.6 < errors["LSTM"]["coverage"] <= 1
    assert float(re.search(r"R\^2 on the last five years: (\S+)", printed.getvalue())[1]) > 0.9


def test_python_m_pytest_in_the_source_folder_tests_what_is_installed():
    """There the folder's own package, without compiled modules, is the first on the path."""
    command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "--collect-only"]
    result = subprocess.run(
        [*command, "tests/test_kernels_stream.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "test_stream_refuses_what_does_not_fit" in result.stdout
