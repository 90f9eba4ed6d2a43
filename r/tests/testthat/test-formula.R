# Rows of a data frame, by a formula.

skip_without_pylstm()

prices <- as.data.frame(log(EuStockMarkets[1:120, ]))
settings <- lstm_control(hidden_size = 3, max_iter = 2)
change <- function(x) c(0, diff(x))

test_that("a formula cuts the windows of its variables", {
  fit <- quietly(lstm(DAX ~ DAX + FTSE, prices, window = 5, control = settings, seed = 1))
  windows <- lstm_windows(prices[c("DAX", "FTSE")], window = 5, target = "DAX")
  by_hand <- quietly(lstm(windows$x, windows$y, control = settings, seed = 1))
  expect_identical(fit$fitted.values, by_hand$fitted.values)
  expect_identical(fit$features, c("DAX", "FTSE"))
  expect_identical(
    quietly(lstm(DAX ~ ., prices, window = 5, control = settings, seed = 1))$features, names(prices)
  )
})

test_that("predictions, fitted values and residuals are at their rows", {
  fit <- quietly(lstm(DAX ~ ., prices, window = 5, horizon = 2, control = settings))
  expect_length(fitted(fit), 120)
  expect_identical(which(is.na(fitted(fit))), 1:6)
  expect_equal(residuals(fit), prices$DAX - fitted(fit))
  expect_identical(predict(fit, prices), fitted(fit))
  expect_identical(predict(fit, prices[101:120, ])[7:20], fitted(fit)[107:120])
  expect_identical(predict(fit, prices[4:1]), fitted(fit))
  expect_error(predict(fit, prices[1:2]), "does not fit the formula")
  expect_error(predict(fit, prices[1:5, ]), "has 5 time steps")
})

test_that("factors, transformations and classes", {
  prices$day <- factor(rep(c("mon", "tue", "wed", "thu", "fri"), 24))
  prices$rise <- factor(ifelse(c(0, diff(prices$DAX)) > 0, "yes", "no"))
  fit <- quietly(lstm(rise ~ change(DAX) + day, prices, window = 4, control = settings))
  expect_identical(fit$about$n_features, 6L)
  expect_identical(levels(predict(fit, prices)), c("no", "yes"))
  expect_identical(dim(predict(fit, prices[1:20, ], type = "prob")), c(20L, 2L))
  expect_identical(predict(fit, prices[1:20, ]), fitted(fit)[1:20])
})

test_that("groups are not crossed", {
  panel <- rbind(cbind(prices[1:50, ], shop = "a"), cbind(prices[51:60, ], shop = "b"))
  fit <- quietly(lstm(DAX ~ DAX, panel, window = 6, group = "shop", control = settings))
  expect_identical(fit$rows, c(7:50, 57:60))
  expect_error(lstm(DAX ~ DAX, panel[c(60, 1:59), ], window = 6, group = "shop"), "sort data")
})

test_that("the next rows are forecast from the last ones", {
  fit <- quietly(lstm(DAX ~ ., prices, window = 5, control = settings))
  extended <- rbind(prices, prices[120, ])
  expect_identical(as.vector(forecast(fit, level = NULL)$mean), predict(fit, extended)[121])
  fit <- quietly(lstm(DAX ~ ., prices, window = 5, horizon = 3, loss = "gaussian", control = settings))
  found <- forecast(fit)
  expect_identical(as.vector(found$mean), predict(fit, rbind(prices, prices[rep(120, 3), ]))[121:123])
  expect_true(all(found$lower[, "95%"] < found$lower[, "80%"] & found$upper[, "80%"] < found$upper[, "95%"]))
  expect_error(forecast(fit, h = 4), "3 step")
})

test_that("what is known in advance is read up to the row that is predicted", {
  prices$day <- factor(rep(c("mon", "tue", "wed", "thu", "fri"), 24))
  prices$rate <- sine
  fit <- quietly(lstm(DAX ~ DAX, prices, window = 5, horizon = 3, known = ~ rate + day, control = settings, seed = 1))
  expect_identical(fit$features[1:3], c("DAX", "rate(t+3)", "dayfri(t+3)"))
  days <- stats::model.matrix(~ day - 1, prices)
  windows <- lstm_windows(prices$DAX, window = 5, horizon = 3, known = unname(cbind(prices$rate, days)))
  by_hand <- quietly(lstm(windows$x, windows$y, control = settings, seed = 1))
  expect_identical(fit$fitted.values, by_hand$fitted.values)
  expect_identical(predict(fit, prices), fitted(fit))

  # What follows is not known but for these two.
  coming <- data.frame(day = c("mon", "tue", "wed"), rate = c(0.1, 0.2, 0.3))
  longer <- rbind(prices[c("DAX", "day", "rate")], cbind(DAX = NA, coming))
  expect_identical(as.vector(forecast(fit, coming = coming, level = NULL)$mean), predict(fit, longer)[121:123])
  expect_identical(
    as.vector(forecast(fit, data = prices[1:60, ], coming = prices[61:62, ], level = NULL)$mean), fitted(fit)[61:62]
  )
  expect_error(forecast(fit), "pass the rows to forecast, with these, as coming")
  expect_error(forecast(fit, h = 3, coming = coming[1:2, ]), "2 rows, but h = 3")
  expect_error(forecast(fit, coming = coming["day"]), "does not fit the formula")
  without <- quietly(lstm(DAX ~ DAX, prices, window = 5, control = settings))
  expect_error(forecast(without, coming = coming), "fitted without known variables")
  expect_error(lstm(DAX ~ DAX, prices, window = 5, known = DAX ~ rate), "without a left-hand side")
})

test_that("weights are of rows, and found in the data", {
  prices$w <- c(rep(0, 60), rep(1, 60))
  fit <- quietly(lstm(DAX ~ DAX, prices, window = 5, weights = w, control = settings, seed = 1))
  windows <- lstm_windows(prices["DAX"], window = 5)
  by_hand <- quietly(lstm(windows$x, windows$y, weights = prices$w[6:120], control = settings, seed = 1))
  expect_identical(fit$fitted.values, by_hand$fitted.values)
})

test_that("what a formula lacks is said", {
  expect_error(lstm(DAX ~ ., prices), "window")
  expect_error(lstm(~DAX, prices, window = 5), "left-hand side")
  expect_error(lstm(DAX ~ ., prices, window = 5, horizon = 1:2), "one horizon")
})
