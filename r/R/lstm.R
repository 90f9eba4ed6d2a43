#' Fit an LSTM network
#'
#' A long short-term memory network reads sequences step by step and predicts a number, several numbers or a class for each: from
#' arrays, from the rows of a data frame by a formula, or from a time series.
#'
#' @param x What the network reads:
#'   - an array of samples, time steps and features;
#'   - a matrix or data frame with a row for each sample and a column for each time step, the oldest first (or flattened
#'     windows, see `n_timesteps` of [lstm_control()]);
#'   - a list of matrices, time steps by features, or vectors, which may differ in their lengths;
#'   - a time series (`ts`), univariate or not: see [lstm_series].
#' @param formula A formula: on the left the variable to predict, on the right those whose past is read; `.` stands for all
#'   columns, the one on the left included.
#' @param data A data frame (or a multivariate time series) whose rows are consecutive time steps.
#' @param y The targets, one for each sample: numbers, or a matrix with a column for each of several targets; a factor, strings
#'   or logical values for classification. With `return_sequences` one for each time step: a matrix, samples by time
#'   steps, or a list of vectors.
#' @param window Rows of `data` in each window.
#' @param horizon How many rows after the window the predicted one lies: 1 is the next, 0 the window's last.
#' @param group The name of a column of `data`: windows stay within rows of the same value. It is read only if the formula names it.
#' @param known A formula without a left-hand side, of variables whose future is known when a forecast is made, such as
#'   `~ price + holiday`: they are read up to the predicted row itself. What `.` stands for in `formula` is read up to the window's last row.
#' @param ... Settings of the network and its training: see [lstm_control()].
#' @param control The same, collected by [lstm_control()]; those in `...` go first.
#' @param weights Weights of the samples (with a formula, of the rows): not negative.
#' @param lengths Time steps of each sample of an array; what follows them is padding.
#' @param validation Samples to stop by, a list of `x`, `y` and, if there are any, `weights` and `lengths`. It sets `early_stopping`.
#' @param on_epoch A function that is called after each epoch with its number, the loss, and with early stopping the validation
#'   score; the training ends if it returns `FALSE`.
#' @param seed A whole number that governs the fit. `NULL` draws it from R's generator: [set.seed()] makes fits repeatable.
#'
#' @return An object of class `lstm`: a list with, among others,
#'   \item{fitted.values}{what is predicted for the samples of the fit; see [fitted()] and [residuals()];}
#'   \item{about}{dimensions, epochs done (`n_iter`), `loss_curve`, `validation_scores`;}
#'   \item{control, seed, call}{how it was made;}
#'   \item{bytes}{the model itself, in the form of [lstm_save()].}
#'
#' It is a plain R object: it can be saved and sent to other processes, and predicts the same bits there.
#'
#' @section Interrupts:
#' Ctrl-C (or *Stop*) ends the training: `lstm()` then returns the model as the last finished epoch has left it, with a warning of
#' class `pylstm_interrupt_warning`; [lstm_continue()] goes on. Before the end of the first epoch it is an interrupt as any other. Of a
#' time series two networks are fitted, the first to its beginning: an interrupt of that, too, ends it without a result.
#'
#' @section Conditions:
#' Errors are of class `pylstm_error`, warnings of class `pylstm_warning`; those on a training that has not
#' converged also of class `pylstm_convergence_warning`.
#'
#' @section Missing values:
#' `NA` of any type, and `NaN`, are missing. They are refused unless `missing = "mask"`; but time steps at the end of a
#' sequence of which all values are missing are padding.
#'
#' @seealso [predict.lstm()], [lstm_windows()], [lstm_series] for forecasts, [lstm_tune()] for choosing settings.
#' @references
#' Hochreiter S, Schmidhuber J (1997). Long short-term memory. *Neural Computation* 9(8).
#'
#' Gers F, Schmidhuber J, Cummins F (2000). Learning to forget: continual prediction with LSTM. *Neural
#' Computation* 12(10).
#' @examplesIf pylstm::pylstm_available()
#' # The next value of a series from the twelve before it
#' windows <- lstm_windows(sin(1:200 / 5), window = 12)
#' set.seed(1)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 30, n_iter_no_change = Inf)
#' fit
#' predict(fit, windows$x[1:3, , , drop = FALSE])
#'
#' # Classes: does a sequence rise or fall?
#' x <- t(replicate(60, cumsum(rnorm(10))))
#' direction <- factor(ifelse(x[, 10] > x[, 1], "up", "down"))
#' fit <- lstm(x, direction, hidden_size = 8, learning_rate_init = 0.01, tol = 0.01)
#' table(direction, fitted(fit))
#'
#' # Rows of a data frame: tomorrow's price from the last ten days of two indices
#' prices <- as.data.frame(log(EuStockMarkets[1:300, ]))
#' fit <- lstm(DAX ~ DAX + FTSE, prices, window = 10, window_scaling = "last", target_features = "DAX",
#'             hidden_size = 8, max_iter = 20, tol = 0)
#' tail(predict(fit, prices), 2)
#' @export
lstm <- function(x, ...) {
  UseMethod("lstm")
}

#' @rdname lstm
#' @export
lstm.default <- function(x, y, ..., control = NULL, weights = NULL, lengths = NULL, validation = NULL,
                         on_epoch = NULL, seed = NULL) {
  call <- match.call()
  call[[1L]] <- quote(lstm)
  control <- collect_control(control, list(...))
  sequences <- as_sequences(x)
  target <- as_target(if (!missing(y)) y)
  fit_network(
    sequences, target, control,
    weights = weights, lengths = lengths, validation = validation, on_epoch = on_epoch, seed = seed, call = call
  )
}

# The one way to a fitted object. `features` in `sequences` name what the network reads.
fit_network <- function(sequences, target, control, weights = NULL, lengths = NULL, validation = NULL,
                        on_epoch = NULL, seed = NULL, call = NULL) {
  if (target$n != sequences$n) {
    stop_pylstm(
      "x has ", sequences$n, " samples, but y has ", target$n, " targets.",
      if (sequences$form == "matrix" && target$n == 1L) {
        " If x[1, , ] dropped a dimension, write x[1, , , drop = FALSE]."
      }
    )
  }
  if (!is.null(validation)) {
    control$early_stopping <- TRUE
  }
  seed <- if (is.null(seed)) sample.int(.Machine$integer.max, 1L) else as_whole(seed, "seed", 0)
  parameters <- python_parameters(
    control, target$type, sequences$features, n_features(sequences, control), target$levels, seed
  )
  lengths <- as_lengths(lengths, sequences$n)
  bridge() # whose first import is no time of the fit
  started <- proc.time()[["elapsed"]]
  result <- ask(
    "fit", target$type, parameters, sequences$values, target$values, python_levels(target),
    as_weights(weights, sequences$n), lengths, as_validation(validation, sequences, target),
    for_python(as_on_epoch(on_epoch)), for_python(console(control))
  )
  object <- new_lstm(result, sequences, target, control, seed, call)
  object$seconds <- proc.time()[["elapsed"]] - started
  with_fitted_values(object, sequences, target, lengths)
}

n_features <- function(sequences, control) {
  switch(sequences$form,
    array = dim(sequences$values)[3L],
    list = ncol(sequences$values[[1L]]),
    matrix = if (is.null(control$n_timesteps)) 1L else ncol(sequences$values) / control$n_timesteps
  )
}

new_lstm <- function(result, sequences, target, control, seed, call) {
  handle <- new.env(parent = emptyenv())
  handle$model <- result$handle
  if (isTRUE(result$interrupted)) {
    warn_pylstm(
      "Interrupted: the model is that of the ", result$about$n_iter, " finished epochs (of ", control$max_iter, "). ",
      if (is.null(result$forecaster)) "lstm_continue() goes on." else "update() fits it again.",
      class = "pylstm_interrupt_warning"
    )
  }
  if (identical(target$kind, "logical")) {
    result$about$classes <- toupper(result$about$classes)
  }
  structure(
    list(
      call = call, about = result$about, control = control, seed = seed, levels = target$levels, kind = target$kind,
      form = sequences$form, features = sequences$features, targets = target$names, interrupted = isTRUE(result$interrupted),
      bytes = result$bytes, handle = handle
    ),
    class = "lstm"
  )
}

with_fitted_values <- function(object, sequences, target, lengths) {
  object$fitted.values <- predict_sequences(object, sequences, lengths, "response")
  object$y <- if (target$type == "regression") {
    if (is.list(target$values)) {
      lapply(target$values, function(steps) if (length(dim(steps)) == 1L) as.vector(steps) else steps)
    } else if (length(dim(target$values)) > 1L) {
      target$values
    } else {
      as.vector(target$values)
    }
  } else if (!is.list(target$values)) {
    as_labels(match(target$levels[target$values + 1L], object$about$classes) - 1L, object)
  }
  object$n <- sequences$n
  object
}

as_validation <- function(validation, sequences, target) {
  if (is.null(validation)) {
    return(NULL)
  }
  unknown <- setdiff(names(validation), c("x", "y", "weights", "lengths"))
  if (!is.list(validation) || is.null(validation$x) || is.null(validation$y) || length(unknown)) {
    stop_pylstm("validation must be a list of x and y and, if there are any, weights and lengths.")
  }
  held_out <- with_features(as_sequences(validation$x, "validation$x"), sequences$features, "validation$x")
  y <- validation$y
  if (!is.null(target$levels)) {
    values <- if (is.list(y)) lapply(y, codes_of, target$levels, "validation$y") else
      codes_of(y, target$levels, "validation$y")
  } else {
    values <- as_target(y, "validation$y")$values
  }
  list(
    x = held_out$values, y = values, weights = as_weights(validation$weights, held_out$n),
    lengths = as_lengths(validation$lengths, held_out$n)
  )
}

as_on_epoch <- function(on_epoch) {
  if (is.null(on_epoch)) {
    return(NULL)
  }
  on_epoch <- match.fun(on_epoch)
  function(...) !identical(on_epoch(...), FALSE)
}

# Labels as Python knows them: strings or booleans, in a list whatever their number.
python_levels <- function(target) {
  if (identical(target$kind, "logical")) list(FALSE, TRUE) else if (!is.null(target$levels)) as.list(target$levels)
}

# Where a running fit reports: R's console, so that sinks and notebooks see it.
console <- function(control) {
  if (identical(as.integer(control$verbose), 0L)) {
    return(NULL)
  }
  function(text) {
    cat(text)
    utils::flush.console()
  }
}

# The estimator in this process: made again from the bytes where the handle was of another one.
live <- function(object) {
  model <- object$handle$model
  if (is.null(model) || reticulate::py_is_null_xptr(model)) {
    model <- ask("restore", object$bytes)
    assign("model", model, envir = object$handle)
  }
  model
}

#' Train a model further
#'
#' Goes on where the training of a model ended, with its weights and the state of its optimiser: with the same samples after an
#' interrupt, or with new ones.
#'
#' @param object A model of [lstm()].
#' @param x,y Samples and targets as for [lstm()]; the classes must be those of the first fit.
#' @param max_iter Epochs at most.
#' @param ... Other settings of the training, see [lstm_control()]. The network stays.
#' @param weights,lengths,validation,on_epoch As for [lstm()].
#'
#' @return The model after the training: a new object, `object` stays as it was.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(sin(1:200 / 5), window = 12)
#' settings <- lstm_control(hidden_size = 8, max_iter = 5, n_iter_no_change = Inf)
#' fit <- suppressWarnings(lstm(windows$x, windows$y, control = settings))
#' further <- suppressWarnings(lstm_continue(fit, windows$x, windows$y, max_iter = 5))
#' c(fit$about$n_iter, further$about$n_iter)
#' @export
lstm_continue <- function(object, x, y, max_iter = object$control$max_iter, ..., weights = NULL, lengths = NULL,
                          validation = NULL, on_epoch = NULL) {
  if (inherits(object, c("lstm_series", "lstm_formula"))) {
    stop_pylstm("Models of arrays are trained further; fit this one again by update().")
  }
  changes <- list(max_iter = max_iter, ...)
  control <- collect_control(object$control, changes)
  if (!is.null(validation)) {
    control$early_stopping <- changes$early_stopping <- TRUE
  }
  sequences <- with_features(as_sequences(x), object$features, "x")
  target <- as_target(y)
  if (target$n != sequences$n) {
    stop_pylstm("x has ", sequences$n, " samples, but y has ", target$n, " targets.")
  }
  if (!is.null(object$levels)) {
    target$values <- if (is.list(y)) lapply(y, codes_of, object$levels, "y") else codes_of(y, object$levels, "y")
    target[c("levels", "kind")] <- object[c("levels", "kind")]
  }
  lengths <- as_lengths(lengths, sequences$n)
  started <- proc.time()[["elapsed"]]
  result <- ask(
    "go_on", live(object), lapply(changes, unclass), sequences$values, target$values, python_levels(target),
    as_weights(weights, sequences$n), lengths, as_validation(validation, sequences, target),
    for_python(as_on_epoch(on_epoch)), for_python(console(control))
  )
  continued <- new_lstm(result, sequences, target, control, object$seed, object$call)
  continued$features <- object$features
  continued$targets <- object$targets
  continued$seconds <- object$seconds + proc.time()[["elapsed"]] - started
  with_fitted_values(continued, sequences, target, lengths)
}
