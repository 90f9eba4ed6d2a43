"""What a type checker knows of the public interface. `.ci/run lint` has mypy read this; nobody runs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import assert_type

import pylstm
from pylstm.inspection import (
    AttributionDisplay,
    Attributions,
    LossCurveDisplay,
    LSTMGateDisplay,
    integrated_gradients,
)
from pylstm.interop import load_model, save_model
from pylstm.training import (
    EMA,
    SWA,
    Averaging,
    Checkpoint,
    CosineDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    TimeLimit,
    TrainingCallback,
)

Floats = NDArray[np.floating[Any]]

assert_type(pylstm.show_config(), None)
assert_type(pylstm.core.effective_n_threads(), int)
assert_type(pylstm.core.effective_n_threads(-1), int)
pylstm.core.effective_n_threads("2")  # type: ignore[arg-type]


# Schedules, averages and callbacks: those that are there, and one's own

epochs = np.arange(3.0)
schedules: list[Schedule] = [StepDecay(every=2), CosineDecay(warm_up=0.5), ReduceOnPlateau()]
assert_type(schedules[0].rates(0.01, 3, epoch=0, n_epochs=9), NDArray[np.float64])
assert_type(StepDecay().factors(epochs, 3, [0.5]), Floats)
StepDecay(period=2)  # type: ignore[call-arg]


@dataclass(frozen=True)
class InverseRoot(Schedule):
    offset: float = 1.0

    def factors(self, epochs: Floats, n_epochs: int, figures: object) -> ArrayLike:
        factors: Floats = np.sqrt(self.offset / (self.offset + epochs))
        return factors


assert_type(InverseRoot(2.0).rates(0.1, 1, 0, 1, figures=[]), NDArray[np.float64])

averages: list[Averaging] = [EMA(decay=0.9), SWA(start=0.5)]
state = averages[0].begin(np.zeros(2, dtype=np.float32))
assert_type(state.for_pass(n_updates=3), tuple[Floats, float] | None)
assert_type(state.parameters, Floats | None)
state.after_epoch(np.ones(2), epoch=0, n_epochs=1)


class StopAt(TrainingCallback):
    def after_iteration(
        self, model: pylstm.LSTMRegressor, epoch: int, evals_log: dict[str, list[float]]
    ) -> bool:
        return evals_log["loss"][-1] < 0.1


callbacks: list[TrainingCallback] = [StopAt(), TimeLimit(60), Checkpoint(Path("model.joblib"))]
TimeLimit("60")  # type: ignore[arg-type]


# Pictures

activations = np.zeros((5, 2), dtype=np.float32)
gates = LSTMGateDisplay(
    sequence=activations,
    input_gate=activations,
    forget_gate=activations,
    candidate=activations,
    output_gate=activations,
    cell_state=activations,
    hidden_state=activations,
    direction="reverse",
)
assert_type(gates.forgotten, Floats)
assert_type(gates.plot(kind="lines"), LSTMGateDisplay)
gates.plot(kind="pie")  # type: ignore[arg-type]

curve = LossCurveDisplay(loss_curve=[0.5, 0.3])
assert_type(curve.best_epoch, int | None)
assert_type(curve.plot(curve.axes_, name="mine"), LossCurveDisplay)


# Explanations

attributions = integrated_gradients(pylstm.LSTMRegressor(), np.zeros((2, 5, 1)), baseline=0.5)
assert_type(attributions, Attributions)
assert_type(attributions.values, NDArray[np.float64])
drawn = AttributionDisplay.from_attributions(attributions, sample=-1)
assert_type(drawn.feature_sums, Floats)
integrated_gradients(pylstm.LSTMRegressor(), activations, step="last")  # type: ignore[arg-type]


# Files

save_model(pylstm.LSTMRegressor(), Path("model.safetensors"), optimizer=False)
load_model(b"model")  # type: ignore[arg-type]
