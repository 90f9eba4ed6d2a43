"""The examples run as their readers would run them, and the data they read is what it should be."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pylstm

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="installed without the examples")


def run_example(name, *arguments, cwd):
    """What the script prints; its failure, or its hanging, is the test's."""
    package_parent = str(Path(pylstm.__file__).parents[1])  # the pylstm that is being tested
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": package_parent},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def figures(printed, row):
    """The numbers in the row of a printed table that starts with the label `row`."""
    (line,) = re.findall(rf"^ *{re.escape(row)} +(\d.*)$", printed, re.M)
    return [float(figure) for figure in line.split()]


def test_co2_record_is_whole_and_plausible():
    lines = (EXAMPLES / "data" / "co2_monthly.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "month,co2_ppm"
    months, co2 = np.array([line.split(",") for line in lines[1:]]).T
    np.testing.assert_array_equal(
        months.astype("datetime64[M]"), np.arange("1958-03", "2002-01", dtype="datetime64[M]")
    )
    co2 = co2.astype(float)
    assert len(co2) == 526
    assert co2[0] == 316.1
    assert co2[-1] == 371.02
    assert np.isfinite(co2).all()
    assert co2.min() > 312
    assert co2.max() < 375
    assert np.abs(np.diff(co2)).max() < 3  # no month was typed wrongly


def test_co2_csv_is_remade_byte_for_byte(tmp_path):
    pytest.importorskip("statsmodels")
    script = tmp_path / "make_co2_csv.py"  # it writes beside itself
    script.write_bytes((EXAMPLES / "data" / script.name).read_bytes())
    run_example(script, cwd=tmp_path)
    shipped = (EXAMPLES / "data" / "co2_monthly.csv").read_bytes()
    assert (tmp_path / "co2_monthly.csv").read_bytes() == shipped


def test_co2_forecast_beats_the_naive_forecasts_and_draws(tmp_path):
    printed = run_example("co2_forecast.py", "--output=drawn.png", cwd=tmp_path)
    naive, seasonal, drift, lstm = (
        figures(printed, row)
        for row in ("naive", "seasonal naive", "seasonal naive + drift", "LSTM")
    )
    assert naive == [1.104, 2.821, 3.627, 1.790, 2.608]
    assert seasonal == [1.681, 1.718, 1.746, 1.790, 1.750]
    assert drift == [0.342, 0.517, 0.796, 1.183, 0.799]
    assert len(lstm) == 5
    assert np.less(lstm, drift).all()

    in_1998, otherwise = map(int, re.search(r"^(\d+)% in 1998 and (\d+)%", printed, re.M).groups())
    assert in_1998 < 50 < 70 < otherwise < 95
    coming = re.findall(r"^2002-\d\d +([\d.]+) +([\d.]+) +([\d.]+)$", printed, re.M)
    forecast, lower, upper = np.array(coming, dtype=float).T
    assert len(forecast) == 12
    assert np.all((lower < forecast) & (forecast < upper))

    picture = tmp_path / "drawn.png"
    if importlib.util.find_spec("matplotlib"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    else:
        assert not picture.exists()
        assert "matplotlib is not installed" in printed


def test_sp500_next_day_prints_its_table_and_the_verdict(tmp_path):
    pytest.importorskip("arch.data.sp500")
    printed = run_example("sp500_next_day.py", "--epochs=1", "--first-year=2018", cwd=tmp_path)
    assert figures(printed, "2018") == figures(printed, "all years")
    days, naive, lstm, ratio = figures(printed, "2018")
    assert days == 251
    assert naive == 20.144
    assert ratio == pytest.approx(lstm / naive, abs=1e-3)
    assert "paired t-test" in printed


def test_sp500_next_day_says_how_to_get_the_prices(monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "arch.data", None)
    spec = importlib.util.spec_from_file_location("sp500_next_day", EXAMPLES / "sp500_next_day.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    with pytest.raises(SystemExit, match=r"pip install .*arch"):
        example.load_closes()


def test_grid_search_prints_the_best_parameters_and_the_time(tmp_path):
    printed = run_example("grid_search.py", "--epochs=2", cwd=tmp_path)
    assert re.search(r"^64 fits.* took [\d.]+ s", printed, re.M)
    for name in ("hidden_size", "learning_rate_init", "alpha"):
        assert re.search(rf"^ +{name} = [\d.]+$", printed, re.M)


def test_inside_the_gates_shows_that_the_memory_knows_the_month(tmp_path):
    arguments = ("--output=drawn.png", "--explanation=explained.png")
    printed = run_example("inside_the_gates.py", *arguments, cwd=tmp_path)
    (naive,), (seasonal,), (lstm,), (best,) = (
        figures(printed, row)
        for row in (
            "naive: as last month",
            "seasonal naive: as last year",
            "LSTM",
            "what chance leaves at best",
        )
    )
    assert best < lstm < seasonal < naive
    cell, sales = map(int, re.search(r"right for (\d+)%.*\n.*sales for (\d+)%", printed).groups())
    assert cell > 90 > sales
    shares = re.findall(r"^ .*(?:months|before) +(\d+)%$", printed, re.M)
    recent, within_a_year, _ = map(int, shares)
    assert recent < 40 < within_a_year  # a few months are not enough
    if importlib.util.find_spec("matplotlib"):
        for name in ("drawn.png", "explained.png"):
            assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    else:
        assert "matplotlib is not installed" in printed
