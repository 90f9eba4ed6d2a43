# modeltime: itself where it is installed, and what it asks of an engine by stand-ins for its functions.

skip_without_pylstm()

passengers <- data.frame(
  date = seq(as.Date("1949-01-01"), by = "month", length.out = 144), value = as.vector(AirPassengers)
)

test_that("the engine forecasts as many steps as it is given rows", {
  stand_ins <- list(
    parse_index_from_data = function(data) data[vapply(data, inherits, logical(1), "Date")],
    parse_period_from_index = function(data, period) if (identical(period, "auto")) 12 else period,
    new_modeltime_bridge = function(class, models, data, extras = NULL, desc = NULL) {
      structure(list(models = models, data = data, extras = extras, desc = desc), class = c(class, "modeltime_bridge"))
    }
  )
  with_stand_in("modeltime", function(name) stand_ins[[name]], {
    engine <- quietly(lstm_reg_fit(passengers["date"], passengers$value, hidden_size = 3, max_iter = 2, seed = 1))
    by_hand <- quietly(lstm(ts(passengers$value, frequency = 12), hidden_size = 3, max_iter = 2, seed = 1))
    expect_s3_class(engine, "modeltime_bridge")
    expect_identical(engine$desc, "LSTM(24,3)")
    coming <- data.frame(date = seq(as.Date("1961-01-01"), by = "month", length.out = 5))
    expect_identical(predict(engine, coming), as.vector(forecast(by_hand, h = 5)$mean))
    expect_identical(engine$data$.fitted, as.vector(fitted(by_hand)))
    expect_equal(engine$data$.residuals, passengers$value - engine$data$.fitted)
    expect_output(print(engine), "LSTM")
    other <- quietly(lstm_reg_fit(passengers["date"], passengers$value, period = 6, hidden_size = 3, max_iter = 1))
    expect_identical(other$desc, "LSTM(12,3)")
    named <- stats::setNames(passengers["date"], "month of the year")
    odd <- quietly(lstm_reg_fit(named, passengers$value, hidden_size = 3, max_iter = 1))
    expect_named(odd$data, c("month of the year", ".actual", ".fitted", ".residuals"))
  })
})

test_that("the model is registered once, with arguments that the engine has", {
  models <- new.env()
  models$models <- character()
  told <- list()
  note <- function(what) function(...) told <<- c(told, list(list(what = what, ...)))
  functions <- function(name) {
    switch(name,
      get_model_env = function() models,
      set_new_model = function(model) models$models <- c(models$models, model),
      note(name)
    )
  }
  register <- get("register_modeltime", asNamespace("pylstm"))
  with_stand_in("parsnip", functions, {
    register()
    n_told <- length(told)
    register()
  })
  expect_length(told, n_told)
  expect_identical(models$models, "lstm_reg")

  of <- function(what) Filter(function(request) request$what == what, told)
  expect_true(all(vapply(of("set_fit"), function(request) request[[2]] == "lstm_reg", TRUE)))
  fit <- of("set_fit")[[1]][[5]]
  expect_identical(fit$interface, "data.frame")
  expect_true(is.function(getExportedValue(fit$func[["pkg"]], fit$func[["fun"]])))
  expect_setequal(names(formals(lstm_reg_fit))[1:2], fit$protect)
  expect_identical(of("set_encoding")[[1]][[5]]$predictor_indicators, "none") # dates stay dates
  pred <- of("set_pred")[[1]][[6]]
  expect_identical(all.vars(pred$args$new_data), "new_data")
  expect_true("new_data" %in% names(formals(getS3method("predict", "lstm_reg_fit"))))
  expect_setequal(vapply(of("set_dependency"), `[[`, "", 4), c("pylstm", "modeltime"))

  arguments <- vapply(of("set_model_arg"), `[[`, "", 4)
  engine <- vapply(of("set_model_arg"), `[[`, "", 5)
  expect_setequal(arguments, setdiff(names(formals(lstm_reg)), c("mode", "engine")))
  expect_true(all(engine %in% c(names(formals(lstm_reg_fit)), names(formals(lstm_control)))))
  expect_false(any(duplicated(engine)))
})

test_that("a specification of modeltime fits, calibrates and forecasts", {
  if (!requireNamespace("parsnip", quietly = TRUE) || !requireNamespace("modeltime", quietly = TRUE)) {
    expect_error(lstm_reg(), "needs the package (parsnip|modeltime)")
    return()
  }
  spec <- parsnip::set_engine(lstm_reg(hidden_units = 3, epochs = 2), "pylstm", seed = 1)
  fit <- quietly(parsnip::fit(spec, value ~ date, passengers[1:132, ]))
  table <- modeltime::modeltime_calibrate(modeltime::modeltime_table(fit), passengers[133:144, ])
  found <- modeltime::modeltime_forecast(table, new_data = passengers[133:144, ], actual_data = passengers)
  by_hand <- quietly(lstm(ts(passengers$value[1:132], frequency = 12), hidden_size = 3, max_iter = 2, seed = 1))
  expect_equal(found$.value[found$.key == "prediction"], as.vector(forecast(by_hand, h = 12)$mean))
})
