# Rows in the order of time, and parsnip.

skip_without_pylstm()

prices <- data.frame(log(EuStockMarkets[1:80, ]))

test_that("each row is read with those before it", {
  fit <- quietly(lstm_rows(prices[c("SMI", "CAC")], prices$DAX, window = 5, hidden_size = 3, max_iter = 2, seed = 1))
  expect_length(fitted(fit), 80)
  expect_identical(predict(fit, prices[c("CAC", "SMI")]), fitted(fit))
  as_list <- lapply(1:80, function(row) as.matrix(prices[seq.int(max(1, row - 4), row), c("SMI", "CAC")]))
  by_hand <- quietly(lstm(as_list, prices$DAX, hidden_size = 3, max_iter = 2, seed = 1))
  expect_identical(fitted(by_hand), fitted(fit))
})

test_that("a specification of parsnip fits and predicts", {
  if (!requireNamespace("parsnip", quietly = TRUE)) {
    expect_error(lstm_spec(), "needs the package parsnip")
    return()
  }
  spec <- lstm_spec("regression", window = 5, hidden_units = 3, epochs = 2)
  expect_output(print(spec), "hidden_units = 3")
  spec <- parsnip::set_engine(spec, "pylstm", seed = 1)
  fit <- quietly(parsnip::fit(spec, DAX ~ SMI + CAC, prices))
  by_hand <- quietly(lstm_rows(prices[c("SMI", "CAC")], prices$DAX, window = 5, hidden_size = 3, max_iter = 2, seed = 1))
  expect_identical(predict(fit, prices)$.pred, fitted(by_hand))
  changed <- update(spec, hidden_units = 2)
  expect_identical(quietly(parsnip::fit(changed, DAX ~ SMI, prices))$fit$about$hidden_size, 2L)

  prices$rise <- factor(ifelse(c(0, diff(prices$DAX)) > 0, "yes", "no"))
  spec <- lstm_spec("classification", window = 3, hidden_units = 2, epochs = 2)
  fit <- quietly(parsnip::fit_xy(spec, prices[1:4], prices$rise))
  expect_identical(levels(predict(fit, prices)$.pred_class), c("no", "yes"))
  expect_named(predict(fit, prices, type = "prob"), c(".pred_no", ".pred_yes"))
})

test_that("the model is registered as parsnip demands it", {
  found <- registered_by(register_parsnip, "lstm_spec")
  expect_identical(found$engines, c("regression pylstm", "classification pylstm"))
  expect_identical(found$predicts, c("regression numeric", "classification class", "classification prob"))
  expect_identical(found$packages, "pylstm")
  expect_identical(found$fit, lstm_rows)
  expect_setequal(names(found$arguments), setdiff(names(formals(lstm_spec)), c("mode", "engine")))
  expect_true(all(unlist(found$arguments) %in% c(names(formals(lstm_rows)), names(formals(lstm_control)))))
})
