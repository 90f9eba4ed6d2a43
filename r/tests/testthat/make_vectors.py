"""Make what test-numbers.R compares with: a model file, sequences, and what Python makes of them.

python make_vectors.py
"""

from pathlib import Path

import numpy as np

from pylstm import LSTMRegressor
from pylstm.inspection import integrated_gradients
from pylstm.interop import save_model

folder = Path(__file__).parent / "vectors"
rng = np.random.default_rng(0)
X = rng.normal(size=(40, 6, 2))
y = X[:, -1, 0] - X[:, 2, 1]
model = LSTMRegressor(hidden_size=4, num_layers=2, dtype="float64", max_iter=20, random_state=0)
model.fit(X, y)
save_model(model, folder / "model.safetensors", optimizer=False)
np.savetxt(folder / "x.csv", X[:5].reshape(5, -1), fmt="%.17g", delimiter=",")
np.savetxt(folder / "predictions.csv", model.predict(X[:5]), fmt="%.17g")
attributions = integrated_gradients(model, X[:5]).values
np.savetxt(folder / "attributions.csv", attributions.reshape(5, -1), fmt="%.17g", delimiter=",")
