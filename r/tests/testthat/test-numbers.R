# The same numbers as Python's, bit for bit, for the same inputs and seed; across processors up to rounding.

skip_without_pylstm()

test_that("a fit gives Python's weights, losses and predictions", {
  fit <- sine_fit()
  there <- in_python("
model = pylstm.LSTMRegressor(hidden_size=6, max_iter=8, random_state=1).fit(as_c(X), y)
result = [model.predict(as_c(X)), model._named_parameters()['U0'], np.array(model.loss_curve_)]
", X = sine_windows$x, y = array(sine_windows$y))
  expect_identical(predict(fit, sine_windows$x), there[[1]])
  expect_identical(fitted(fit), there[[1]])
  expect_identical(coef(fit)$U0, there[[2]])
  expect_identical(as.vector(fit$about$loss_curve), there[[3]])
})

test_that("so do several features, layers, targets and weights", {
  set.seed(3)
  x <- array(rnorm(40 * 5 * 3), c(40, 5, 3))
  y <- cbind(a = x[, 5, 1], b = x[, 4, 2])
  weights <- runif(40)
  fit <- quietly(lstm(x, y, hidden_size = 4, num_layers = 2, bidirectional = TRUE, max_iter = 4, weights = weights, seed = 5))
  there <- in_python("
model = pylstm.LSTMRegressor(4, 2, bidirectional=True, max_iter=4, random_state=5)
result = model.fit(as_c(X), as_c(y), w).predict(as_c(X))
", X = x, y = unname(y), w = array(weights))
  expect_identical(unname(predict(fit, x)), there)
  expect_identical(colnames(predict(fit, x)), c("a", "b"))
})

test_that("classes, whatever the order of their levels", {
  fit <- quietly(lstm(walks$x, walks$y, hidden_size = 5, max_iter = 5, seed = 2))
  there <- in_python("
model = pylstm.LSTMClassifier(5, max_iter=5, random_state=2).fit(as_c(X), np.array(y))
result = [model.predict_proba(as_c(X)), model.predict(as_c(X)).tolist()]
", X = walks$x, y = as.character(walks$y))
  expect_identical(unname(predict(fit, walks$x, type = "prob")[, c("down", "up")]), there[[1]])
  expect_identical(as.character(predict(fit, walks$x)), unlist(there[[2]]))
})

test_that("sequences of different lengths, and missing values", {
  set.seed(4)
  x <- lapply(3:22, function(n) matrix(rnorm(2 * n), n))
  y <- vapply(x, function(sequence) sequence[nrow(sequence), 1], 1)
  x[[4]][2, 1] <- NA
  fit <- quietly(lstm(x, y, hidden_size = 4, missing = "mask", max_iter = 3, seed = 6))
  there <- in_python("
X = [as_c(x) for x in X]
result = pylstm.LSTMRegressor(4, missing='mask', max_iter=3, random_state=6).fit(X, y).predict(X)
", X = x, y = array(y))
  expect_identical(predict(fit, x), there)
})

test_that("deviations, quantiles, hidden states, gates", {
  fit <- quietly(lstm(sine_windows$x, sine_windows$y, loss = "gaussian", hidden_size = 4, max_iter = 4, seed = 7))
  there <- in_python("
model = pylstm.LSTMRegressor(4, loss='gaussian', max_iter=4, random_state=7).fit(as_c(X), y)
result = [*model.predict(as_c(X), return_std=True), model.transform(as_c(X)), model.gate_activations(as_c(X)).forget]
", X = sine_windows$x, y = array(sine_windows$y))
  found <- predict(fit, sine_windows$x, se.fit = TRUE)
  expect_identical(found$fit, there[[1]])
  expect_identical(found$se.fit, there[[2]])
  expect_identical(unname(predict(fit, sine_windows$x, type = "hidden")), there[[3]])
  expect_identical(lstm_gates(fit, sine_windows$x)$forget, there[[4]])

  fit <- quietly(lstm(sine_windows$x, sine_windows$y, loss = "quantile", quantile = c(0.1, 0.5, 0.9), hidden_size = 4,
                      max_iter = 4, seed = 7))
  there <- in_python("
model = pylstm.LSTMRegressor(4, loss='quantile', quantile=[0.1, 0.5, 0.9], max_iter=4, random_state=7)
result = model.fit(as_c(X), y).predict(as_c(X))
", X = sine_windows$x, y = array(sine_windows$y))
  expect_identical(unname(predict(fit, sine_windows$x, type = "quantile")), there)
})

test_that("gradients, integrated", {
  x <- sine_windows$x[1:4, , , drop = FALSE]
  there <- in_python("
model = pylstm.LSTMRegressor(hidden_size=6, max_iter=8, random_state=1).fit(as_c(X), y)
result = pylstm.inspection.integrated_gradients(model, as_c(X)[:4]).values
", X = sine_windows$x, y = array(sine_windows$y))
  expect_identical(lstm_attributions(sine_fit(), x)$values, there)
})

test_that("a time series has the defaults of LSTMForecaster", {
  there <- in_python("
import inspect
from pylstm._forecaster import _default_estimator
defaults = {k: v.default for k, v in inspect.signature(pylstm.LSTMForecaster).parameters.items()}
chosen = ('window', 'horizon', 'window_scaling', 'calibration_fraction')
result = [{name: defaults[name] for name in chosen}, _default_estimator('error').get_params()]
")
  fit <- lstm(AirPassengers, max_iter = 1)
  for (name in names(there[[1]])) expect_equal(fit$plan[[name]], there[[1]][[name]], info = name)
  expect_identical(lstm(ts(1:60 + sine[1:60]), max_iter = 1)$plan[1:2], fit$plan[1:2])
  ours <- unclass(fit$control)
  for (name in setdiff(intersect(names(ours), names(there[[2]])), "max_iter")) {
    expect_equal(ours[[name]], there[[2]][[name]], info = name)
  }
})

test_that("forecasts of a series, with their intervals", {
  fit <- lstm(UKgas, hidden_size = 4, max_iter = 5, seed = 8)
  found <- forecast(fit, h = 9, level = 90)
  there <- in_python("
estimator = pylstm.LSTMRegressor(4, loss='gaussian', highway='all', alpha=0.3, n_iter_no_change=np.inf, max_iter=5)
forecaster = pylstm.LSTMForecaster(8, 4, estimator=estimator, random_state=8).fit(series)
result = [*forecaster.forecast(9, interval=0.9), forecaster.shares_._asdict()]
", series = array(as.double(UKgas)))
  expect_identical(as.vector(found$mean), there[[1]])
  expect_identical(as.vector(found$lower), there[[2]])
  expect_identical(as.vector(found$upper), there[[3]])
  expect_identical(as.list(fit$shares), there[[4]])
})

test_that("Python's own stored numbers come back", {
  read <- function(name) as.matrix(utils::read.csv(test_path("vectors", name), header = FALSE))
  # As NumPy writes them: features change fastest
  as_sequences_of_numpy <- function(values) aperm(array(t(values), c(2, 6, 5)), c(3, 2, 1))
  fit <- lstm_load(test_path("vectors", "model.safetensors"))
  x <- as_sequences_of_numpy(read("x.csv"))
  expect_equal(predict(fit, x), as.vector(read("predictions.csv")), tolerance = 1e-10)
  expect_equal(lstm_attributions(fit, x)$values, as_sequences_of_numpy(read("attributions.csv")), tolerance = 1e-10)
})

test_that("windows are those of sliding_windows", {
  set.seed(9)
  series <- matrix(rnorm(60), 20, dimnames = list(NULL, c("a", "b", "c")))
  known <- matrix(rnorm(26), 26)
  found <- lstm_windows(series, window = 5, horizon = 2, step = 3, target = "b", known = known)
  there <- in_python("
X, y = pylstm.sliding_windows(as_c(series), window=5, horizon=2, step=3, target=1, known=as_c(known))
result = [X, y]
", series = unname(series), known = known)
  expect_identical(unname(found$x), there[[1]])
  expect_identical(found$y, there[[2]])
  found <- lstm_windows(series, window = 5, horizon = c(1, 3))
  there <- in_python("X, y = pylstm.sliding_windows(as_c(series), window=5, horizon=[1, 3])\nresult = [X, y]",
                     series = unname(series))
  expect_identical(unname(found$x), there[[1]])
  expect_identical(unname(found$y), there[[2]])
  expect_identical(colnames(found$y), c("a.h1", "b.h1", "c.h1", "a.h3", "b.h3", "c.h3"))
})

test_that("settings and their defaults are Python's", {
  there <- ask("defaults")
  ours <- lapply(formals(lstm_control), eval)
  for (kind in names(there)) {
    theirs <- there[[kind]]
    not_ours <- c("random_state", "callbacks", "warm_start")
    expect_setequal(
      setdiff(names(theirs), not_ours),
      setdiff(names(ours), if (kind == "regression") "class_weight" else
        c("loss", "quantile", "target_features", "highway"))
    )
    for (name in setdiff(names(theirs), not_ours)) {
      expect_equal(ours[[name]], theirs[[name]], info = name)
    }
  }
})
