# Features of a time series that are known in advance.

skip_without_pylstm()

drivers <- window(Seatbelts[, "drivers"], end = c(1983, 12))
of_time <- function(from, to) {
  part <- window(Seatbelts, from, to)
  cbind(price = as.vector(part[, "PetrolPrice"]), law = as.vector(part[, "law"]))
}
known <- of_time(c(1969, 1), c(1983, 12))
coming <- of_time(c(1984, 1), c(1984, 12))
belts_fit <- local({
  fit <- NULL
  function() {
    if (is.null(fit)) {
      fit <<- quietly(lstm(drivers, window = 12, horizon = 4, hidden_size = 3, max_iter = 3, xreg = known, seed = 1))
    }
    fit
  }
})

test_that("forecasts and fits with xreg are Python's, bit for bit", {
  fit <- belts_fit()
  there <- in_python("
network = pylstm.LSTMRegressor(3, max_iter=3, loss='gaussian', highway='all', alpha=0.3, n_iter_no_change=np.inf)
model = pylstm.LSTMForecaster(12, 4, known=[1, 2], estimator=network, random_state=1)
table = np.column_stack([series, known])
model.fit(table)
result = [*model.forecast(8, 0.8, known=coming), model.forecast(3, None, known=coming)]
X, y = pylstm.sliding_windows(series, 12, horizon=range(1, 5), known=known)
result += [model.model_.predict(X)[:, 0], model.backtest(2, season=12).errors['LSTM']['MAE']]
", series = array(as.vector(drivers)), known = known, coming = coming)
  found <- forecast(fit, h = 8, xreg = coming, level = 80)
  expect_identical(as.vector(found$mean), there[[1]])
  expect_identical(as.vector(found$lower), there[[2]])
  expect_identical(as.vector(found$upper), there[[3]])
  expect_identical(as.vector(forecast(fit, h = 3, xreg = coming, level = NULL)$mean), there[[4]])
  expect_identical(as.vector(fitted(fit))[13:177], there[[5]])
  expect_identical(lstm_backtest(fit, origins = 2)["LSTM", "MAE"], there[[6]])
})

test_that("h is the number of rows of xreg", {
  found <- forecast(belts_fit(), xreg = coming)
  expect_s3_class(found, "forecast")
  expect_identical(tsp(found$mean), c(1984, 1984 + 11 / 12, 12))
  expect_identical(forecast(belts_fit(), h = 12, xreg = coming)$upper, found$upper)
})

test_that("what is known counts, and columns go by name", {
  fit <- belts_fit()
  found <- forecast(fit, xreg = coming)$mean
  other <- coming
  other[, "price"] <- other[, "price"] + 1
  expect_false(identical(forecast(fit, xreg = other)$mean, found))
  expect_identical(forecast(fit, xreg = as.data.frame(coming)[c("law", "price")])$mean, found)
  expect_identical(forecast(fit, xreg = unname(coming))$mean, found)
})

test_that("fitted values end where what is known ends", {
  fit <- belts_fit()
  expect_identical(which(is.na(fitted(fit))), c(1:12, 178:180))
  longer <- predict(fit, xreg = rbind(known, coming))
  expect_identical(which(is.na(longer)), 1:12)
  expect_identical(longer[13:177], fitted(fit)[13:177])
  expect_identical(which(is.na(predict(fit, drivers, xreg = rbind(known, coming[1:2, ])))), c(1:12, 180L))
  expect_identical(nrow(forecast::accuracy(forecast(fit, xreg = coming))), 1L)
})

test_that("other series bring their own past", {
  fit <- belts_fit()
  shorter <- window(drivers, end = c(1982, 12))
  found <- forecast(fit, h = 12, series = shorter, xreg = known)
  expect_identical(start(found$mean), c(1983, 1))
  again <- forecast(fit, series = drivers, xreg = rbind(known, coming))
  expect_identical(again$mean, forecast(fit, xreg = coming)$mean)
  expect_identical(forecast(fit, series = shorter, xreg = known)$mean, found$mean)
})

test_that("a model with xreg is an R object as others, and is fitted again by update()", {
  copy <- unserialize(serialize(belts_fit(), NULL))
  expect_identical(forecast(copy, xreg = coming)$upper, forecast(belts_fit(), xreg = coming)$upper)
  expect_identical(fitted(quietly(update(belts_fit(), seed = 1))), fitted(belts_fit()))
})

test_that("several series share what is known, a vector too", {
  both <- window(Seatbelts[, c("front", "rear")], end = c(1983, 12))
  fit <- quietly(lstm(both, window = 12, horizon = 4, hidden_size = 2, max_iter = 1, xreg = known[, "price"], seed = 1))
  found <- forecast(fit, xreg = coming[, "price"], level = 80)
  expect_named(found$forecast, c("front", "rear"))
  expect_length(found$forecast$rear$mean, 12)
})

test_that("what cannot be is said", {
  fit <- belts_fit()
  settings <- lstm_control(hidden_size = 2, max_iter = 1)
  expect_error(lstm(drivers, xreg = known[-1, ], control = settings), "xreg has 179 rows, but the series has 180")
  expect_error(lstm(drivers, xreg = rbind(known, coming), control = settings), "xreg has 192 rows")
  expect_error(lstm(drivers, xreg = replace(known, 3, NA), control = settings), "1 missing values")
  expect_error(lstm(drivers, xreg = letters[1:180], control = settings), "must hold numbers")
  expect_error(lstm(drivers, xreg = known[, 0], control = settings), "xreg has no columns")
  expect_error(forecast(fit), "fitted with xreg")
  expect_error(predict(fit, drivers), "fitted with xreg")
  expect_error(forecast(fit, xreg = coming[, 1]), "xreg has 1 columns, that of the fit 2")
  expect_error(forecast(fit, xreg = cbind(price = 1:4, belts = 1)), "lacks the column\\(s\\) law")
  expect_error(forecast(fit, xreg = coming[1:5, ]), "5 rows for the steps to forecast.*pass 8 rows")
  expect_error(forecast(fit, h = 8, xreg = coming[1:4, ]), "pass 8 rows")
  expect_error(forecast(fit, series = drivers, xreg = coming), "xreg has 12 rows, but the series has 180")
  without <- quietly(lstm(drivers, window = 12, horizon = 4, control = settings))
  expect_error(forecast(without, xreg = coming), "fitted without xreg")
})

test_that("an xreg with times has those of the series, or of what follows it", {
  columns <- c("PetrolPrice", "law")
  fit <- belts_fit()
  timed <- quietly(update(fit, xreg = window(Seatbelts[, columns], end = c(1983, 12)), seed = 1))
  expect_identical(fitted(timed), fitted(fit))
  after <- window(Seatbelts[, columns], start = 1984)
  expect_identical(forecast(timed, xreg = after)$mean, forecast(fit, xreg = coming)$mean)
  expect_identical(forecast(timed, series = drivers, xreg = Seatbelts[, columns])$mean, forecast(fit, xreg = coming)$mean)
  expect_error(forecast(timed, xreg = window(after, start = c(1984, 2))), "begins at 1984.083.*at 1984 with frequency 12")
  expect_error(forecast(fit, xreg = ts(coming, start = 1984, frequency = 4)), "frequency 4,.*frequency 12")
  expect_error(lstm(drivers, xreg = lag(drivers, 1)), "begins at 1968.9")
  expect_error(forecast(fit, h = c(1, 4), xreg = coming), "one number of steps, not 2")
})
