# Tables of many series, by fable.

skip_without_pylstm()

test_that("each series of a table has its forecasts", {
  if (!requireNamespace("fabletools", quietly = TRUE)) {
    expect_error(LSTM(value), "needs the package fabletools")
    return()
  }
  gas <- tsibble::as_tsibble(UKgas)
  set.seed(1)
  fit <- fabletools::model(gas, lstm = LSTM(value, hidden_size = 3, max_iter = 3))
  set.seed(1)
  by_hand <- lstm(UKgas, hidden_size = 3, max_iter = 3)
  found <- fabletools::forecast(fit, h = 6)
  expect_equal(found$.mean, as.vector(forecast(by_hand, h = 6, level = 80)$mean))
  expect_output(print(fit), "LSTM\\(8,3\\)")
  expect_equal(fitted(fit)$.fitted, as.vector(fitted(by_hand)))
  expect_output(fabletools::report(fit), "R-squared")
  expect_identical(nrow(fabletools::accuracy(fit)), 1L)

  logged <- fabletools::model(gas, lstm = LSTM(log(value) ~ season(4), hidden_size = 3, max_iter = 3))
  expect_true(all(fabletools::forecast(logged, h = 2)$.mean > 0))
  gas$other <- 1
  failed <- suppressWarnings(fabletools::model(gas, lstm = LSTM(value ~ other)))
  expect_true(fabletools::is_model(failed$lstm[[1]]) || inherits(failed$lstm[[1]]$fit, "null_mdl"))
})
