# A model of fable, by the vignette "Extending fable" of fabletools, which is looked up where it is used.

#' An LSTM for fable
#'
#' A model definition for `fabletools::model()`: each series has its own network, that of [lstm()] for a time series.
#'
#' @param formula The variable to forecast, or a formula with the special `season(period)`: the time steps of a season, or a text such as
#'   `"year"`; by default the smallest season that the times have.
#' @param ... Arguments of [lstm()][lstm_series]: `window`, `horizon` and settings.
#'
#' @return A model definition. Forecasts are normal distributions.
#' @examplesIf requireNamespace("fabletools", quietly = TRUE) && pylstm::pylstm_available()
#' passengers <- tsibble::as_tsibble(AirPassengers)
#' fit <- fabletools::model(passengers, lstm = LSTM(value, max_iter = 10))
#' fabletools::forecast(fit, h = 12)
#' @rdname lstm_fable
#' @export
LSTM <- function(formula, ...) {
  if (!requireNamespace("fabletools", quietly = TRUE)) {
    stop_pylstm("LSTM() needs the package fabletools; lstm() does without.")
  }
  specials <- fabletools::new_specials(
    season = function(period = NULL) fabletools::get_frequencies(period, self$data, .auto = "smallest"),
    xreg = function(...) {
      stop_pylstm("LSTM() reads the series alone; other variables are read by lstm() with a formula.")
    },
    .required_specials = "season"
  )
  class <- fabletools::new_model_class(
    "lstm",
    train = train_fable, specials = specials,
    check = function(.data) {
      if (!tsibble::is_regular(.data)) {
        stop_pylstm("The times must be regular.")
      }
    }
  )
  fabletools::new_model_definition(class, !!rlang::enquo(formula), ...)
}

utils::globalVariables("self") # of a special: the model that asks

train_fable <- function(.data, specials, ...) {
  measured <- tsibble::measured_vars(.data)
  if (length(measured) != 1L) {
    stop_pylstm("LSTM() forecasts one variable of a series.")
  }
  fit <- lstm.ts(stats::ts(.data[[measured]], frequency = specials$season[[1L]]), ...)
  if (fit$interrupted) {
    interrupt() # the other series of the table, too
  }
  fit$name <- measured
  structure(list(fit = fit), class = "lstm_fable")
}

#' @export
forecast.lstm_fable <- function(object, new_data, specials = NULL, ...) {
  level <- 80
  found <- forecast.lstm_series(object$fit, h = nrow(new_data), level = level)
  if (is.null(found$lower)) {
    return(getExportedValue("distributional", "dist_degenerate")(as.vector(found$mean)))
  }
  width <- as.vector(found$upper - found$lower)
  deviation <- width / (2 * stats::qnorm(0.5 + level / 200))
  getExportedValue("distributional", "dist_normal")(as.vector(found$mean), deviation)
}

#' @export
fitted.lstm_fable <- function(object, ...) as.vector(fitted(object$fit))

#' @export
residuals.lstm_fable <- function(object, ...) as.vector(residuals(object$fit))

#' @exportS3Method fabletools::model_sum
model_sum.lstm_fable <- function(x) method_of(x$fit)

#' @exportS3Method fabletools::report
report.lstm_fable <- function(object, ...) print(summary(object$fit))
