# A model of modeltime, by its article "Extending Modeltime". parsnip and modeltime are looked up where they are used: neither could
# be installed where this was written, so tests have stand-ins for them, and themselves where they are there.

#' An LSTM for modeltime
#'
#' A model specification of parsnip's kind with the engine `"pylstm"`, which is [lstm()] for a time series: a `modeltime_table()` takes
#' what `fit()` makes of it, and calibrates, forecasts and refits it. Of the predictors it reads the dates alone, which say when the
#' series goes on, and what its season is.
#'
#' @param mode `"regression"`.
#' @param engine `"pylstm"`.
#' @param seasonal_period Time steps of a season, or a text such as `"1 year"`; by default what the dates say.
#' @param window,horizon,hidden_units,num_layers,epochs,learn_rate,penalty,dropout The arguments `window` and `horizon` of
#'   [lstm()][lstm_series], and `hidden_size`, `num_layers`, `max_iter`, `learning_rate_init`, `alpha` and `dropout` of [lstm_control()];
#'   others are passed to `set_engine()`. Each may be `tune()`.
#'
#' @return A model specification of parsnip. Its fit forecasts as many steps after the series as it is given rows.
#' @seealso [lstm_spec()], for predictors; [LSTM()] for fable.
#' @examplesIf requireNamespace("modeltime", quietly = TRUE) && pylstm::pylstm_available()
#' passengers <- data.frame(
#'   date = seq(as.Date("1949-01-01"), by = "month", length.out = 144), value = as.vector(AirPassengers)
#' )
#' fit <- parsnip::fit(lstm_reg(epochs = 10), value ~ date, passengers[1:132, ])
#' table <- modeltime::modeltime_calibrate(modeltime::modeltime_table(fit), passengers[133:144, ])
#' modeltime::modeltime_forecast(table, new_data = passengers[133:144, ], actual_data = passengers)
#' @export
lstm_reg <- function(mode = "regression", engine = "pylstm", seasonal_period = NULL, window = NULL, horizon = NULL,
                     hidden_units = NULL, num_layers = NULL, epochs = NULL, learn_rate = NULL, penalty = NULL,
                     dropout = NULL) {
  for (package in c("parsnip", "modeltime")) {
    if (!requireNamespace(package, quietly = TRUE)) {
      stop_pylstm("lstm_reg() needs the package ", package, "; lstm() does without.")
    }
  }
  register_modeltime()
  parsnip("new_model_spec")(
    "lstm_reg",
    args = list(
      seasonal_period = rlang::enquo(seasonal_period), window = rlang::enquo(window), horizon = rlang::enquo(horizon),
      hidden_units = rlang::enquo(hidden_units), num_layers = rlang::enquo(num_layers), epochs = rlang::enquo(epochs),
      learn_rate = rlang::enquo(learn_rate), penalty = rlang::enquo(penalty), dropout = rlang::enquo(dropout)
    ),
    eng_args = NULL, mode = mode, method = NULL, engine = engine
  )
}

modeltime <- function(name) getExportedValue("modeltime", name)

# parsnip's names, and ours.
modeltime_arguments <- function() c(seasonal_period = "period", horizon = "horizon", parsnip_arguments)

#' @export
update.lstm_reg <- function(object, parameters = NULL, seasonal_period = NULL, window = NULL, horizon = NULL,
                            hidden_units = NULL, num_layers = NULL, epochs = NULL, learn_rate = NULL, penalty = NULL,
                            dropout = NULL, fresh = FALSE, ...) {
  arguments <- list(
    seasonal_period = rlang::enquo(seasonal_period), window = rlang::enquo(window), horizon = rlang::enquo(horizon),
    hidden_units = rlang::enquo(hidden_units), num_layers = rlang::enquo(num_layers), epochs = rlang::enquo(epochs),
    learn_rate = rlang::enquo(learn_rate), penalty = rlang::enquo(penalty), dropout = rlang::enquo(dropout)
  )
  parsnip("update_spec")(
    object = object, parameters = parameters, args_enquo_list = arguments, fresh = fresh, cls = "lstm_reg", ...
  )
}

#' @export
print.lstm_reg <- function(x, ...) print.lstm_spec(x, ...)

# Makes the model known to parsnip, once a session.
register_modeltime <- function() {
  if ("lstm_reg" %in% parsnip("get_model_env")()$models) {
    return(invisible())
  }
  tell <- function(what, ...) parsnip(paste0("set_", what))(...)
  tell("new_model", "lstm_reg")
  tell("model_mode", "lstm_reg", "regression")
  tell("model_engine", "lstm_reg", "regression", "pylstm")
  for (package in c("pylstm", "modeltime")) {
    tell("dependency", "lstm_reg", "pylstm", package, mode = "regression")
  }
  tell("fit", "lstm_reg", "regression", "pylstm", list(
    interface = "data.frame", protect = c("x", "y"), func = c(pkg = "pylstm", fun = "lstm_reg_fit"), defaults = list()
  ))
  tell("encoding", "lstm_reg", "regression", "pylstm", list(
    predictor_indicators = "none", compute_intercept = FALSE, remove_intercept = FALSE, allow_sparse_x = FALSE
  ))
  dials <- c(
    seasonal_period = "seasonal_period", horizon = "horizon", window = "window_size", hidden_units = "hidden_units",
    num_layers = "num_terms", epochs = "epochs", learn_rate = "learn_rate", penalty = "penalty", dropout = "dropout"
  )
  arguments <- modeltime_arguments()
  for (argument in names(arguments)) {
    home <- if (argument == "seasonal_period") "modeltime" else "dials"
    tell(
      "model_arg", "lstm_reg", "pylstm", argument, arguments[[argument]],
      list(pkg = home, fun = dials[[argument]]), has_submodel = FALSE
    )
  }
  tell("pred", "lstm_reg", "regression", "pylstm", "numeric", list(
    pre = NULL, post = NULL, func = c(fun = "predict"),
    args = list(object = quote(object$fit), new_data = quote(new_data))
  ))
}

#' The engine of lstm_reg()
#'
#' What parsnip calls to fit [lstm_reg()]; it is not meant to be called by hand.
#'
#' @param x A data frame of predictors with one column of dates.
#' @param y The series.
#' @param period Time steps of a season, a text, or `"auto"`.
#' @param window,horizon,... As for [lstm()][lstm_series].
#' @return A bridge of modeltime around the model of [lstm()].
#' @keywords internal
#' @export
lstm_reg_fit <- function(x, y, period = "auto", window = NULL, horizon = NULL, ...) {
  index <- modeltime("parse_index_from_data")(x)
  period <- modeltime("parse_period_from_index")(index, period)
  fit <- lstm.ts(stats::ts(as.double(y), frequency = period), window = window, horizon = horizon, ...)
  fit$name <- "y"
  data <- data.frame(index, .actual = as.double(y), .fitted = as.vector(fitted(fit)), check.names = FALSE)
  data$.residuals <- data$.actual - data$.fitted
  modeltime("new_modeltime_bridge")(
    class = "lstm_reg_fit", models = list(model_1 = fit), data = data, desc = method_of(fit)
  )
}

#' @export
predict.lstm_reg_fit <- function(object, new_data, ...) {
  as.vector(forecast.lstm_series(object$models$model_1, h = nrow(new_data), level = NULL)$mean)
}

#' @export
print.lstm_reg_fit <- function(x, ...) {
  print(x$models$model_1, ...)
  invisible(x)
}
