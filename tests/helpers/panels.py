"""For the tests of many series: panels in every form."""

import numpy as np

LENGTHS = {"north": 40, "south": 55, "east": 26}


def panel_of(lengths=LENGTHS, n_features=None, dtype=np.float64):
    """Random walks by name."""
    rng = np.random.default_rng(0)
    walks = {}
    for name, length in lengths.items():
        shape = length if n_features is None else (length, n_features)
        walks[name] = rng.normal(size=shape).cumsum(axis=0).astype(dtype)
    return walks


def long_frame(panel, freq="MS", columns=("y",), starts=("2015-01-01", "2016-03-01", "2014-07-01")):
    """The panel as a long DataFrame; each series starts at another time."""
    import pandas as pd

    frames = []
    for (name, values), start in zip(panel.items(), starts, strict=True):
        frame = pd.DataFrame(np.reshape(values, (len(values), -1)), columns=list(columns))
        frame.insert(0, "ds", pd.date_range(start, periods=len(values), freq=freq))
        frame.insert(0, "unique_id", name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def stacked(panel, make):
    """The windows and targets of each series, one after the other."""
    parts = [make(values) for values in panel.values()]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
