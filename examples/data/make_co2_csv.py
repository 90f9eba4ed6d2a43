"""Remake co2_monthly.csv from the weekly record that statsmodels carries.

pip install statsmodels
python make_co2_csv.py
"""

from pathlib import Path

from statsmodels.datasets import co2


def main():
    weekly = co2.load_pandas().data["co2"]
    monthly = weekly.resample("MS").mean()
    missing = monthly.index[monthly.isna()].strftime("%Y-%m").tolist()
    monthly = monthly.interpolate("linear")

    path = Path(__file__).with_name("co2_monthly.csv")
    lines = [f"{month:%Y-%m},{value:.4f}\n" for month, value in monthly.items()]
    path.write_text("month,co2_ppm\n" + "".join(lines), encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(lines)} months; interpolated: {', '.join(missing)}")


if __name__ == "__main__":
    main()
