# Time series, and the forecast package.

skip_without_pylstm()

gas_fit <- local({
  fit <- NULL
  function() {
    if (is.null(fit)) fit <<- lstm(UKgas, hidden_size = 4, max_iter = 5, seed = 1)
    fit
  }
})

test_that("a forecast is what the forecast package makes", {
  skip_if_not_installed("forecast")
  found <- forecast(gas_fit(), h = 6)
  expect_s3_class(found, "forecast")
  expect_identical(tsp(found$mean), c(1987, 1988.25, 4))
  expect_identical(dim(found$lower), c(6L, 2L))
  expect_equal(found$level, c(80, 95))
  expect_equal(found$residuals, UKgas - found$fitted)
  expect_identical(forecast::forecast(gas_fit(), h = 6)$mean, found$mean)
  expect_identical(colnames(forecast::accuracy(found))[2], "RMSE")
  expect_identical(nrow(forecast::accuracy(found, ts(rep(500, 6), start = 1987, frequency = 4))), 2L)
  expect_output(print(found), "Point Forecast")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_silent(plot(found))
  skip_if_not_installed("ggplot2")
  expect_s3_class(ggplot2::autoplot(found), "ggplot")
})

test_that("levels are per cents or probabilities, or none", {
  expect_equal(forecast(gas_fit(), level = 0.8)$level, 80)
  expect_null(forecast(gas_fit(), level = NULL)$lower)
  expect_error(forecast(gas_fit(), level = 120), "between 0 and 100")
})

test_that("fitted values are one step ahead, at their times", {
  fit <- gas_fit()
  expect_identical(tsp(fitted(fit)), tsp(UKgas))
  expect_identical(which(is.na(fitted(fit))), 1:8)
  expect_equal(residuals(fit), UKgas - fitted(fit))
  recent <- window(UKgas, start = 1980)
  expect_equal(window(predict(fit, recent), start = 1982), window(fitted(fit), start = 1982))
})

test_that("predictions one step ahead have intervals", {
  fit <- gas_fit()
  found <- predict(fit, interval = "prediction", level = 0.8)
  expect_identical(colnames(found), c("fit", "lwr", "upr"))
  expect_identical(tsp(found), tsp(UKgas))
  expect_equal(as.vector(found[, "fit"]), as.vector(fitted(fit)))
  inside <- UKgas >= found[, "lwr"] & UKgas <= found[, "upr"]
  expect_gt(mean(inside, na.rm = TRUE), 0.5)
  # the first step of a forecast, from the same window
  until <- window(UKgas, end = c(1985, 4))
  coming <- forecast(fit, h = 1, series = until, level = 80)
  at <- window(found, c(1986, 1), c(1986, 1))
  expect_equal(as.vector(at), c(coming$mean, coming$lower, coming$upper))
  expect_identical(predict(fit, UKgas, interval = "prediction", level = 0.8), found)
  several <- lstm(ts(EuStockMarkets[1:80, 1:2]), window = 10, horizon = 2, hidden_size = 2, max_iter = 1)
  expect_named(predict(several, interval = "prediction"), c("fit", "lwr", "upr"))
  expect_error(predict(fit, interval = "prediction", level = 80), "between 0 and 1")
})

test_that("arguments that a method has not are refused", {
  expect_error(predict(gas_fit(), se.fit = TRUE), "predict\\(\\) has no argument se.fit")
  expect_error(forecast(gas_fit(), h = 3, bootstrap = TRUE), "forecast\\(\\) has no argument bootstrap")
  expect_error(predict(sine_fit(), sine_windows$x, se_fit = TRUE), "no argument se_fit")
  expect_error(lstm_backtest(gas_fit(), hidden_size = 3), "no argument hidden_size")
})

test_that("other series are forecast, and several at once", {
  shorter <- window(UKgas, end = c(1985, 4))
  expect_identical(start(forecast(gas_fit(), series = shorter)$mean), c(1986, 1))
  markets <- EuStockMarkets[1:100, 1:2]
  fit <- lstm(ts(markets), window = 10, horizon = 2, hidden_size = 3, max_iter = 2)
  found <- forecast(fit, h = 3)
  expect_s3_class(found, "mforecast")
  expect_named(found$forecast, c("DAX", "SMI"))
  expect_length(found$forecast$SMI$mean, 3)
})

test_that("quantiles have the intervals that were fitted", {
  fit <- lstm(UKgas, hidden_size = 3, max_iter = 3, loss = "quantile", quantile = c(0.1, 0.5, 0.9))
  found <- forecast(fit)
  expect_equal(found$level, 80)
  expect_true(all(found$lower <= found$mean & found$mean <= found$upper))
  expect_null(forecast(lstm(UKgas, hidden_size = 3, max_iter = 3, loss = "squared_error"))$lower)
})

test_that("backtests compare with naive forecasts", {
  errors <- lstm_backtest(gas_fit(), origins = 2)
  expect_identical(rownames(errors), c("LSTM", "naive", "seasonal naive"))
  expect_true(all(errors$MAE > 0))
  expect_identical(dim(attr(errors, "by_horizon")$MAE), c(3L, 4L))
})

test_that("models of windows forecast their series", {
  fit <- quietly(lstm(sine_windows$x, sine_windows$y, loss = "gaussian", hidden_size = 4, max_iter = 5, seed = 1))
  found <- forecast(fit, h = 5, series = ts(sine), level = 80, seed = 3)
  there <- in_python("
model = pylstm.LSTMRegressor(4, loss='gaussian', max_iter=5, random_state=1).fit(as_c(X), y)
result = list(pylstm.forecast(model, series, 5, interval=0.8, random_state=3))
", X = sine_windows$x, y = array(sine_windows$y), series = array(sine))
  expect_identical(as.vector(found$mean), there[[1]])
  expect_identical(as.vector(found$upper), there[[3]])
  expect_error(forecast(fit, h = 5), "needs series")
})

test_that("missing values of a series are refused", {
  expect_error(lstm(replace(UKgas, 3, NA)), "1 missing values")
})
