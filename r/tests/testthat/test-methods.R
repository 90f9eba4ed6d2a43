# What R users ask of any model.

skip_without_pylstm()

test_that("print and summary say what it is", {
  expect_output(print(sine_fit()), "LSTM for regression.*10 time steps, 1 feature.*1 layer of 6 units")
  expect_output(print(summary(sine_fit())), "R-squared")
  fit <- quietly(lstm(walks$x, walks$y, hidden_size = 2, max_iter = 2))
  expect_output(print(summary(fit)), "Accuracy in the fit")
  expect_output(print(lstm_control(hidden_size = 9)), "hidden_size +9")
  expect_output(print(sine_windows), "110 windows of 10 time steps")
})

test_that("residuals, nobs and update", {
  fit <- sine_fit()
  expect_equal(residuals(fit), sine_windows$y - fitted(fit))
  expect_identical(nobs(fit), 110L)
  expect_identical(quietly(update(fit, hidden_size = 3))$about$hidden_size, 3L)
  expect_identical(fitted(quietly(update(fit))), fitted(fit))
})

test_that("intervals and quantiles are those of the distribution, or of the quantiles fitted", {
  x <- sine_windows$x
  settings <- lstm_control(hidden_size = 3, max_iter = 3)
  fit <- quietly(lstm(x, sine_windows$y, loss = "gaussian", control = settings, seed = 1))
  found <- predict(fit, x, se.fit = TRUE)
  interval <- predict(fit, x, interval = "prediction", level = 0.8)
  expect_identical(colnames(interval), c("fit", "lwr", "upr"))
  expect_equal(interval[, "upr"], found$fit + qnorm(0.9) * found$se.fit)
  expect_equal(interval[, "lwr"], found$fit - qnorm(0.9) * found$se.fit)
  quantiles <- predict(fit, x, type = "quantile", probs = c(0.1, 0.25))
  expect_identical(colnames(quantiles), c("10%", "25%"))
  expect_equal(quantiles[, "25%"], found$fit + qnorm(0.25) * found$se.fit)
  expect_error(predict(fit, x, interval = "prediction", level = 80), "between 0 and 1")

  fit <- quietly(lstm(x, sine_windows$y, loss = "quantile", quantile = c(0.1, 0.5, 0.9), control = settings, seed = 1))
  quantiles <- predict(fit, x, type = "quantile")
  interval <- predict(fit, x, interval = "prediction", level = 0.8)
  expect_identical(unname(interval), unname(quantiles[, c("50%", "10%", "90%")]))
  expect_identical(predict(fit, x), unname(quantiles[, "50%"]))
  expect_error(predict(fit, x, interval = "prediction", level = 0.5), "needs the quantiles 0.25 and 0.75")

  y <- cbind(a = x[, 10, 1], b = x[, 9, 1])
  fit <- quietly(lstm(x, y, loss = "gaussian", control = settings, seed = 1))
  expect_named(predict(fit, x, interval = "prediction"), c("fit", "lwr", "upr"))
  expect_error(predict(fit, x, type = "quantile"), "single target")
})

test_that("curves and gates are drawn", {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_silent(plot(sine_fit()))
  expect_silent(plot(sine_fit(), "gates", sine_windows$x))
  stopped <- quietly(lstm(sine_windows$x, sine_windows$y, hidden_size = 2, max_iter = 4, early_stopping = TRUE))
  expect_silent(plot(stopped))
  expect_error(plot(sine_fit(), "gates"), "newdata")
})

test_that("samples of one's own stop the training", {
  held <- 100:110
  fit <- quietly(lstm(
    sine_windows$x[-held, , , drop = FALSE], sine_windows$y[-held], hidden_size = 3, max_iter = 4, seed = 1,
    validation = list(x = sine_windows$x[held, , , drop = FALSE], y = sine_windows$y[held])
  ))
  expect_length(fit$about$validation_scores, 4)
  there <- in_python("
model = pylstm.LSTMRegressor(3, max_iter=4, early_stopping=True, random_state=1)
X, y = as_c(X), np.asarray(y)
model.fit(X[:99], y[:99], X_val=X[99:], y_val=y[99:])
result = np.array(model.validation_scores_)
", X = sine_windows$x, y = array(sine_windows$y))
  expect_identical(as.vector(fit$about$validation_scores), there)
  expect_error(lstm(sine_windows$x, sine_windows$y, validation = list(sine_windows$x)), "list of x and y")
})

test_that("a stream ends at the prediction of the sequence", {
  stream <- lstm_stream(sine_fit())
  sequence <- sine_windows$x[7, , ]
  at_once <- stream_step(stream, cbind(sequence))
  # in the network's precision, float32
  expect_equal(at_once[10], predict(sine_fit(), sine_windows$x)[7], tolerance = 1e-6)
  stream_reset(stream)
  one_by_one <- vapply(sequence, function(value) stream_step(stream, value), 1)
  expect_identical(one_by_one, at_once)
  expect_error(stream_step(stream, cbind(1, 2)), "1 columns")
})

test_that("a stream refuses missing values, or masks them", {
  stream <- lstm_stream(sine_fit())
  expect_error(stream_step(stream, NA), "missing = \"mask\"")
  expect_true(is.finite(stream_step(stream, 1)))
  masking <- quietly(lstm(replace(sine_windows$x, 5, NA), sine_windows$y, missing = "mask", hidden_size = 2, max_iter = 1))
  expect_true(is.finite(stream_step(lstm_stream(masking), NA)))
})

test_that("gates and attributions have the sequences' shape", {
  x <- sine_windows$x[1:3, , , drop = FALSE]
  gates <- lstm_gates(sine_fit(), x)
  expect_named(gates, c("input", "forget", "candidate", "output", "cell", "hidden"))
  expect_identical(dim(gates$cell), c(3L, 10L, 6L))
  expect_error(lstm_gates(sine_fit(), x, layer = 2), "layer")
  parts <- lstm_attributions(sine_fit(), x, baseline = 0)
  expect_equal(apply(parts$values, 1, sum) + parts$base_values, parts$predictions, tolerance = 1e-3)
})

test_that("settings are chosen on later samples", {
  tuned <- quietly(lstm_tune(
    sine_windows$x, sine_windows$y,
    grid = list(hidden_size = c(1, 6), learning_rate_init = 0.02), folds = 2, max_iter = 12, seed = 1
  ))
  expect_identical(nrow(tuned$results), 2L)
  expect_false(is.unsorted(tuned$results$error))
  expect_identical(tuned$fit$about$hidden_size, as.integer(tuned$best$hidden_size))
  parts <- folds_of(20, 3, 2, FALSE)
  expect_identical(parts[[3]], list(train = 1:13, test = 16:20))
  expect_true(all(vapply(parts, function(part) max(part$train) + 2L < min(part$test), TRUE)))
  expect_error(lstm_tune(sine_windows$x, sine_windows$y, grid = list(units = 1)), "no setting 'units'")
})

test_that("classes too, from a table of settings, on random folds", {
  set.seed(2)
  tuned <- quietly(lstm_tune(
    walks$x, walks$y, grid = data.frame(hidden_size = c(2, 4), alpha = c(0, 1)), folds = 2, shuffle = TRUE, max_iter = 4
  ))
  expect_true(all(tuned$results$error >= 0 & tuned$results$error <= 1))
  expect_setequal(paste(tuned$results$hidden_size, tuned$results$alpha), c("2 0", "4 1"))
  expect_output(print(tuned), "held-out")
  by_metric <- quietly(lstm_tune(
    sine_windows$x, sine_windows$y, grid = list(hidden_size = 2), folds = 1, max_iter = 2, refit = FALSE, seed = 1,
    metric = function(y, p) max(abs(y - p))
  ))
  expect_null(by_metric$fit)
  fit <- quietly(lstm(sine_windows$x[1:55, , , drop = FALSE], sine_windows$y[1:55], hidden_size = 2, max_iter = 2, seed = 1))
  left <- sine_windows$y[56:110] - predict(fit, sine_windows$x[56:110, , , drop = FALSE])
  expect_equal(by_metric$results$error, max(abs(left)))
})

test_that("windows are checked", {
  expect_error(lstm_windows(1:5, window = 5), "5 time steps, but one window of 5 and a target 1")
  expect_error(lstm_windows(1:5, window = 2.5), "whole number")
  classes <- lstm_windows(1:6, window = 2, horizon = 0, target = factor(letters[1:6]))
  expect_identical(as.character(classes$y), letters[2:6])
  expect_equal(lstm_windows(AirPassengers, window = 24)$time[1], 1951)
})
