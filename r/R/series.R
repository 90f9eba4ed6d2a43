#' Fit a network to a time series, and forecast it
#'
#' Of a time series `lstm()` makes a forecaster: windows are read from their own level, a linear regression of the
#' whole window carries what is linear, the network learns what that leaves, and errors on held-out values say how wide the
#' prediction intervals must be. The defaults are those of Python's `LSTMForecaster`. `forecast()` returns what the forecast package's `forecast()` does, so that its `plot()`,
#' `autoplot()` and `accuracy()` work.
#'
#' @param x For `lstm()` a time series (`ts`), univariate or multivariate, without missing values.
#' @param window Time steps that the network reads. `NULL`: two seasons, or 24 where there is no season (or one of more
#'   than 60 steps).
#' @param horizon Time steps that it forecasts at once; forecasts of more steps go on from these. `NULL`: one season, or 12.
#' @param window_scaling,loss,highway,alpha,n_iter_no_change Settings as of [lstm_control()], with the defaults that
#'   serve most series.
#' @param xreg Features whose future is known when a forecast is made, such as prices or holidays: a vector, matrix or data frame of
#'   numbers, or a `ts` of the same times, without missing values, with a row for each time step of the series. Of `forecast()` with a row for each step to
#'   forecast, so that `h` need not be given; the network reads them to the end of a block of `horizon` steps, of which all rows
#'   must be there. With `series` or `newdata` the rows of that series come first.
#' @param calibration Share of the series at its end whose errors tell how wide intervals must be; 0 takes the network's own.
#' @param ...,control,seed As for [lstm()].
#'
#' @return `lstm()`: an object of class `lstm_series` and `lstm`; its component `shares` says by how much of what was learned forecasts
#'   go: of the regression's `drift`, of the `regression`, of the `network`, all 0 for a naive forecast. `forecast()`: an object of class `forecast`, with the
#'   components `mean`, `lower`, `upper`, `level`, `x`, `fitted`, `residuals` and `method`; of a multivariate series one
#'   of class `mforecast`. `predict()` and `fitted()`: a time series of what is predicted for each step from the steps
#'   before it, with `NA` for the first window, and for the last `horizon - 1` steps if `xreg` does not reach further than the series.
#'
#' @seealso [lstm_backtest()] for what forecasts are worth; [lstm()] with a formula for variables whose future is not known.
#' @examplesIf pylstm::pylstm_available()
#' set.seed(1)
#' fit <- lstm(AirPassengers, max_iter = 20)
#' fit
#' coming <- forecast(fit, h = 12, level = 80)
#' coming$mean
#' if (requireNamespace("forecast", quietly = TRUE)) {
#'   print(coming)
#'   plot(coming)
#' }
#'
#' # Features known in advance: a law, planned prices
#' fit <- lstm(Seatbelts[, "drivers"], xreg = Seatbelts[, c("law", "PetrolPrice")], max_iter = 20)
#' forecast(fit, xreg = cbind(law = rep(1, 12), PetrolPrice = 0.12), level = NULL)$mean
#' @name lstm_series
NULL

#' @rdname lstm_series
#' @export
lstm.ts <- function(x, window = NULL, horizon = NULL, window_scaling = "relative", loss = "gaussian", highway = "all",
                    alpha = 0.3, n_iter_no_change = Inf, calibration = 0.2, xreg = NULL, ..., control = NULL, seed = NULL) {
  call <- match.call()
  call[[1L]] <- quote(lstm)
  given <- intersect(c("loss", "highway", "alpha", "n_iter_no_change"), names(call))
  settings <- list(loss = loss, highway = highway, alpha = alpha, n_iter_no_change = n_iter_no_change)
  if (!is.null(control)) {
    settings <- settings[given] # what control says goes before this method's defaults
  }
  control <- collect_control(control, c(settings, list(...)))
  if (!is.null(control$window_features) || !is.null(control$target_features)) {
    stop_pylstm("Of a time series all columns are scaled and forecast; for others use a formula or lstm_windows().")
  }
  seed <- if (is.null(seed)) sample.int(.Machine$integer.max, 1L) else as_whole(seed, "seed", 0)
  season <- stats::frequency(x)
  seasonal <- season > 1 && season <= 60 && season == round(season)
  plan <- list(
    window = if (is.null(window)) as.integer(if (seasonal) 2 * season else 24) else as_whole(window, "window", 1),
    horizon = if (is.null(horizon)) as.integer(if (seasonal) season else 12) else as_whole(horizon, "horizon", 1),
    window_scaling = window_scaling, calibration_fraction = calibration, random_state = seed
  )
  series <- series_values(x)
  known <- as_xreg(xreg, NROW(x), stats::tsp(x)[c(1L, 3L)])
  if (!is.null(known)) {
    plan$known <- as.list(NCOL(x) + seq_len(ncol(known)) - 1L)
  }
  bridge()
  started <- proc.time()[["elapsed"]]
  result <- ask("fit_series", plan, series_parameters(control), series, known, for_python(console(control)))
  shape <- list(values = NULL, n = NROW(x) - plan$window - plan$horizon + 1L, form = "array", features = if (is.null(known)) colnames(x))
  object <- new_lstm(result, shape, list(levels = NULL, kind = "numeric", names = colnames(x)), control, seed, call)
  assign("forecaster", result$forecaster, envir = object$handle)
  object$seconds <- proc.time()[["elapsed"]] - started
  object$n <- shape$n
  object$series <- x
  object$xreg <- known
  object$name <- paste(deparse(call$x), collapse = "")
  object$plan <- plan
  object$calibration <- list(levels = as.list(result$levels), scores = result$scores)
  object$shares <- unlist(result$shares)
  object$fitted.values <- as_ts_like(result$fitted, x, plan$window)
  object$y <- x
  class(object) <- c("lstm_series", "lstm")
  object
}

# Python's parameters of the estimator within the forecaster, which sets the others itself.
series_parameters <- function(control) {
  parameters <- python_parameters(control, "regression", NULL, 1L, NULL, NULL)
  parameters[c("window_scaling", "window_features", "target_features", "random_state")] <- NULL
  parameters
}

series_values <- function(x, name = "x") {
  if (!is.numeric(x)) {
    stop_pylstm(name, " must be a numeric time series.")
  }
  if (anyNA(x)) {
    stop_pylstm(name, " has ", sum(is.na(x)), " missing values; fill them first (forecast::na.interp() does so).")
  }
  values <- as.double(x)
  dim(values) <- if (NCOL(x) == 1L) length(values) else dim(x)
  values
}

# Features known in advance: a row for each step, in the order of the columns of the fit if both have names.
# Of a time series the first must be that of the steps that it is for, which begin at `start`.
as_xreg <- function(xreg, n_rows, start, fitted = NULL) {
  if (is.null(xreg)) {
    return(NULL)
  }
  if (stats::is.ts(xreg) && any(abs(stats::tsp(xreg)[c(1L, 3L)] - start) > getOption("ts.eps"))) {
    stop_pylstm(
      "xreg begins at ", format(stats::tsp(xreg)[1L]), " with frequency ", stats::frequency(xreg),
      ", but the steps that it is for at ", format(start[1L]), " with frequency ", start[2L], "."
    )
  }
  known <- series_matrix(xreg, "xreg")
  if (ncol(known) == 0L) {
    stop_pylstm("xreg has no columns.")
  }
  if (nrow(known) < n_rows || is.null(fitted) && nrow(known) > n_rows) {
    stop_pylstm("xreg has ", nrow(known), " rows, but the series has ", n_rows, " time steps.")
  }
  if (anyNA(known)) {
    stop_pylstm("xreg has ", sum(is.na(known)), " missing values; fill them first.")
  }
  if (is.null(fitted)) {
    return(known)
  }
  if (ncol(known) != ncol(fitted)) {
    stop_pylstm("xreg has ", ncol(known), " columns, that of the fit ", ncol(fitted), ".")
  }
  names <- colnames(fitted)
  if (!is.null(names) && !is.null(colnames(known))) {
    absent <- setdiff(names, colnames(known))
    if (length(absent)) {
      stop_pylstm("xreg lacks the column(s) ", paste(absent, collapse = ", "), " of the fit.")
    }
    known <- known[, names, drop = FALSE]
  }
  known
}

# The same for a fitted model, which tells whether there must be any.
xreg_of <- function(xreg, object, n_rows, start) {
  if (is.null(xreg) != is.null(object$xreg)) {
    stop_pylstm(if (is.null(xreg)) {
      "The model was fitted with xreg: pass what is known of the steps to forecast as xreg."
    } else {
      "The model was fitted without xreg: fit it with xreg, or pass none."
    })
  }
  as_xreg(xreg, n_rows, start, object$xreg)
}

# Predictions that begin after the first window of a series, as a series of its length.
as_ts_like <- function(values, x, window) {
  n_after <- NROW(x) - window - NROW(values)
  values <- if (length(dim(values)) == 2L) {
    rbind(matrix(NA_real_, window, ncol(values)), values, matrix(NA_real_, n_after, ncol(values)))
  } else {
    c(rep(NA_real_, window), values, rep(NA_real_, n_after))
  }
  if (!is.null(colnames(x))) {
    dim(values) <- dim(x)
    colnames(values) <- colnames(x)
  }
  stats::ts(values, start = stats::tsp(x)[1L], frequency = stats::frequency(x))
}

live_forecaster <- function(object) {
  forecaster <- object$handle$forecaster
  if (is.null(forecaster) || reticulate::py_is_null_xptr(forecaster)) {
    forecaster <- ask(
      "restore_series", live(object), object$plan, object$calibration$levels, as.list(object$calibration$scores),
      series_values(object$series), object$xreg
    )
    assign("forecaster", forecaster, envir = object$handle)
  }
  forecaster
}

#' @export
residuals.lstm_series <- function(object, ...) object$series - object$fitted.values

#' @rdname lstm_series
#' @param newdata A time series; `NULL` means that of the fit.
#' @param interval With `"prediction"` `predict()` returns columns `fit`, `lwr` and `upr` (of a multivariate series a list of
#'   these), between which a value lies with the probability `level`.
#' @export
predict.lstm_series <- function(object, newdata = NULL, interval = c("none", "prediction"), level = 0.95, xreg = NULL,
                                ...) {
  refuse_more("predict", ...)
  interval <- match.arg(interval)
  check_probability(level)
  if (is.null(newdata)) {
    if (is.null(xreg) && interval == "none") {
      return(object$fitted.values)
    }
    newdata <- object$series
    if (is.null(xreg)) xreg <- object$xreg
  }
  newdata <- as_series_of(newdata, object)
  known <- xreg_of(xreg, object, NROW(newdata), stats::tsp(newdata)[c(1L, 3L)])
  found <- ask(
    "predict_series", live_forecaster(object), series_values(newdata, "newdata"), known,
    if (interval == "prediction") level
  )
  parts <- lapply(found, as_ts_like, newdata, object$plan$window)
  if (interval == "none") {
    return(parts[[1L]])
  }
  names(parts) <- c("fit", "lwr", "upr")
  if (is.null(dim(parts$fit))) do.call(cbind, parts) else parts
}

as_series_of <- function(series, object) {
  if (!stats::is.ts(series)) series <- stats::as.ts(series)
  if (NCOL(series) != NCOL(object$series)) {
    stop_pylstm("The series has ", NCOL(series), " columns, that of the fit ", NCOL(object$series), ".")
  }
  series
}

#' @rdname lstm_series
#' @param object A model of [lstm()].
#' @param h Time steps to forecast; `NULL`: `horizon`, or those of `xreg`.
#' @param level Of `forecast()` probabilities of the prediction intervals, in per cent (or between 0 and 1); `NULL` for none. Of
#'   `predict()` one probability between 0 and 1.
#' @param series The series to forecast, up to now; `NULL` means that of the fit.
#' @export
forecast.lstm_series <- function(object, h = NULL, level = c(80, 95), series = NULL, xreg = NULL, ...) {
  refuse_more("forecast", ...)
  level <- as_level(level, object)
  x <- if (is.null(series)) object$series else as_series_of(series, object)
  n_before <- if (is.null(series)) 0L else NROW(x)
  times <- stats::tsp(x)
  start <- c(if (is.null(series)) times[2L] + 1 / times[3L] else times[1L], times[3L])
  known <- xreg_of(xreg, object, n_before, start)
  h <- if (!is.null(h)) as_steps(h) else if (is.null(known)) object$plan$horizon else nrow(known) - n_before
  if (!is.null(known)) {
    check_future(nrow(known) - n_before, h, object$plan$horizon)
  }
  found <- ask(
    "forecast_series", live_forecaster(object), h, as.list(level / 100),
    if (!is.null(series)) series_values(x, "series"), known
  )
  fitted <- if (is.null(series)) object$fitted.values else predict.lstm_series(object, series, xreg = known)
  as_forecast(object, found, x, fitted, level, method_of(object), object$name)
}

as_steps <- function(h) {
  if (length(h) != 1L) {
    stop_pylstm("h must be one number of steps, not ", length(h), " values.")
  }
  as_whole(h, "h", 1)
}

check_future <- function(rows, h, horizon) {
  needed <- as.integer(max(1, ceiling(h / horizon)) * horizon)
  if (rows < needed) {
    stop_pylstm(
      "xreg has ", rows, " rows for the steps to forecast, but the network reads it up to its horizon of ", horizon,
      " steps ahead: pass ", needed, " rows, with h for fewer steps, or fit with another horizon."
    )
  }
}

as_level <- function(level, object) {
  if (is.null(level) || length(level) == 0L) {
    return(numeric())
  }
  if (!is.numeric(level) || anyNA(level) || any(level <= 0) || any(level >= 100)) {
    stop_pylstm("level must be per cents between 0 and 100.")
  }
  level <- sort(if (max(level) < 1) 100 * level else level)
  quantiles <- object$about$quantiles
  if (object$about$loss == "gaussian") {
    return(level)
  }
  there <- vapply(level, function(l) {
    all(vapply(c(0.5 - l / 200, 0.5, 0.5 + l / 200), function(p) any(abs(quantiles - p) < 1e-9), logical(1L)))
  }, logical(1L))
  level[there]
}

method_of <- function(object) {
  paste0("LSTM(", paste(c(object$plan$window, rep(object$about$hidden_size, object$about$num_layers)), collapse = ","), ")")
}

# An object of the forecast package's class, from Python's arrays: predictions, then bounds for each level.
as_forecast <- function(object, found, x, fitted, level, method, name) {
  steps <- NROW(found[[1L]])
  after <- function(values) {
    stats::ts(values, start = stats::tsp(x)[2L] + 1 / stats::frequency(x), frequency = stats::frequency(x))
  }
  one <- function(column, label, x, fitted) {
    take <- function(values) as.vector(if (length(dim(values)) == 2L) values[, column] else values)
    bounds <- function(first) {
      values <- vapply(seq_along(level), function(k) take(found[[first + 2L * (k - 1L)]]), numeric(steps))
      dim(values) <- c(steps, length(level))
      colnames(values) <- paste0(level, "%")
      after(values)
    }
    result <- list(model = object, mean = after(take(found[[1L]])), level = level, x = x)
    if (length(level)) {
      result <- c(result, list(lower = bounds(2L), upper = bounds(3L)))
    }
    structure(
      c(result, list(fitted = fitted, residuals = x - fitted, method = method, series = label)),
      class = "forecast"
    )
  }
  if (NCOL(x) == 1L) {
    return(one(1L, name, x, fitted))
  }
  labels <- if (is.null(colnames(x))) paste("Series", seq_len(ncol(x))) else colnames(x)
  forecasts <- lapply(seq_len(ncol(x)), function(column) one(column, labels[column], x[, column], fitted[, column]))
  names(forecasts) <- labels
  structure(list(model = object, forecast = forecasts, method = stats::setNames(rep(method, ncol(x)), labels)), class = "mforecast")
}

#' @rdname lstm_series
#' @param known Features known in advance that the windows of the fit had (see [lstm_windows()]): a row for each time step of
#'   `series` and for each step to forecast.
#' @param n_paths Futures that are simulated for intervals of several steps.
#' @export
forecast.lstm <- function(object, h, series, horizon = 1, known = NULL, level = c(80, 95), n_paths = 1000, seed = NULL,
                          ...) {
  refuse_more("forecast", ...)
  if (missing(series) || missing(h)) {
    stop_pylstm("To forecast, this model needs series, the one from which its windows were cut, and h, the steps to forecast.")
  }
  h <- as_steps(h)
  if (inherits(object, "lstm_formula")) {
    stop_pylstm("A model of a formula forecasts by forecast(object, h, data).")
  }
  level <- as_level(level, object)
  x <- if (stats::is.ts(series)) series else stats::ts(series_matrix(series, "series"))
  history <- series_values(x, "series")
  known <- if (!is.null(known)) series_matrix(known, "known")
  seed <- if (is.null(seed)) sample.int(.Machine$integer.max, 1L) else as_whole(seed, "seed", 0)
  arguments <- list(live(object), history, h, as_whole(horizon, "horizon", 1), known)
  found <- if (length(level) == 0L) {
    do.call(ask, c("forecast", arguments, list(NULL), list(n_paths, seed)))
  } else {
    by_level <- lapply(level / 100, function(l) do.call(ask, c("forecast", arguments, list(l, n_paths, seed))))
    c(by_level[[1L]][1L], unlist(lapply(by_level, `[`, 2:3), recursive = FALSE))
  }
  as_forecast(object, found, x, x * NA, level, paste0("LSTM(", object$about$hidden_size, ")"), "series")
}

#' @rdname lstm_series
#' @param data Rows to forecast from, of the variables of the formula; `NULL` means the last ones of the fit.
#' @param coming The rows to forecast, of the variables that `known` named in the fit.
#' @details
#' A model of a formula forecasts the steps up to its `horizon`, from what is known now: of other variables than those that
#' `known` names it reads the past alone. `forecast()`
#' gives these without intervals unless `loss` says how far values scatter.
#' @export
forecast.lstm_formula <- function(object, h = object$plan$horizon, data = NULL, level = c(80, 95), coming = NULL, ...) {
  refuse_more("forecast", ...)
  plan <- object$plan
  rows <- as_frame(if (is.null(data)) object$last else data)
  if (is.null(plan$known) != is.null(coming)) {
    stop_pylstm(
      if (is.null(coming)) "The model was fitted with known variables: pass the rows to forecast, with these, as coming." else
        "The model was fitted without known variables: name them by known = ~ ... in the fit, or pass no coming."
    )
  }
  if (!is.null(coming)) {
    coming <- as_frame(coming)
    if (missing(h)) h <- nrow(coming)
  }
  h <- as_steps(h)
  if (h > plan$horizon) {
    stop_pylstm(
      "The model predicts ", plan$horizon, " step(s) ahead, and not the ", h, " of h: fit it with horizon = ", h,
      ", or fit lstm() to a time series, which is forecast as far as you like."
    )
  }
  if (!is.null(coming) && nrow(coming) < h) {
    stop_pylstm("coming has ", nrow(coming), " rows, but h = ", h, " are to be forecast.")
  }
  ends <- seq.int(nrow(rows) - plan$horizon + 1L, length.out = h)
  if (ends[1L] < plan$window) {
    stop_pylstm("data has ", nrow(rows), " rows; ", plan$window + plan$horizon - 1L, " are needed.")
  }
  windows <- cut_windows(plan_features(plan, rows, coming), ends - plan$window + 1L, plan$window)
  level <- if (object$about$type == "classification") numeric() else as_level(level, object)
  if (object$about$type == "classification") {
    return(predict.lstm(object, windows))
  }
  found <- list(predict.lstm(object, windows))
  for (l in level) {
    bounds <- predict.lstm(object, windows, interval = "prediction", level = l / 100)
    found <- c(found, list(bounds[, "lwr"], bounds[, "upr"]))
  }
  n <- object$n_rows
  observed <- stats::ts(replace(rep(NA_real_, n), object$rows, object$y))
  fitted <- stats::ts(by_row(object$fitted.values, object$rows, n))
  as_forecast(
    object, found, observed, fitted, level, paste0("LSTM(", plan$window, ",", object$about$hidden_size, ")"),
    paste(deparse(plan$formula[[2L]]), collapse = "")
  )
}

#' What forecasts of a known past were worth
#'
#' Fits a forecaster to the beginning of a series, forecasts from several origins after it, and compares with what came and with
#' forecasts that cost nothing.
#'
#' @param x A time series, or a model that [lstm()] has fitted to one, whose settings are taken.
#' @param origins From how many origins to forecast; the last forecast ends with the series.
#' @param step Time steps between the origins; `NULL` means the horizon.
#' @param level Probability of the interval whose coverage is measured, in per cent.
#' @param ... For a time series, arguments of [lstm()][lstm_series].
#'
#' @return A data frame with a row for each method (the LSTM, the last value, the value of a season ago) and the columns `MAE`,
#'   `RMSE`, `MASE` and `coverage`. The attribute `by_horizon` has the same by the number of steps ahead: a list of matrices.
#' @references Hyndman RJ, Koehler AB (2006). Another look at measures of forecast accuracy. *International Journal of
#'   Forecasting* 22(4).
#' @examplesIf pylstm::pylstm_available()
#' set.seed(1)
#' lstm_backtest(AirPassengers, origins = 2, max_iter = 10)
#' @export
lstm_backtest <- function(x, origins = 5, step = NULL, level = 80, ...) {
  if (!inherits(x, "lstm_series")) {
    if (!stats::is.ts(x)) {
      stop_pylstm("x must be a time series, or a model of one.")
    }
    x <- lstm.ts(x, ...)
    if (x$interrupted) {
      interrupt()
    }
  } else {
    refuse_more("lstm_backtest", ...)
  }
  season <- stats::frequency(x$series)
  level <- as_level(level, x)
  found <- ask(
    "backtest_series", x$plan, series_parameters(x$control), series_values(x$series), x$xreg,
    as_whole(origins, "origins", 1),
    if (!is.null(step)) as_whole(step, "step", 1), if (season == round(season)) as.integer(season) else 1L,
    if (length(level)) level / 100
  )
  errors <- as.data.frame(lapply(found$errors, as.vector), row.names = found$methods)
  attr(errors, "by_horizon") <- lapply(found$by_horizon, function(values) {
    dimnames(values) <- list(found$methods, NULL)
    values
  })
  errors
}

#' @importFrom generics forecast
#' @export
generics::forecast
