#' What can be set of a network and its training
#'
#' All arguments may be given to [lstm()] directly; `lstm_control()` collects and names them. Names and
#' defaults are those of pylstm's estimators in Python. Whole numbers may be doubles: `hidden_size = 10`.
#'
#' @section The network:
#' \describe{
#'   \item{hidden_size, num_layers}{Units of each layer, and layers.}
#'   \item{bidirectional}{Whether each layer also reads the sequence from its end.}
#'   \item{return_sequences}{Whether there is a prediction for each time step, instead of one for each sequence.}
#'   \item{stateful}{Whether the samples are consecutive windows of one series, each starting with the states that the one before
#'     has left.}
#'   \item{highway}{Last time steps of a window that a linear regression reads beside the network: for series
#'     that are nearly linear in their past. 0 for none, `"all"` for the whole window.}
#'   \item{forget_bias}{First bias of the forget gates: a number, or `"chrono"` for long sequences.}
#'   \item{dtype}{`"float32"` or `"float64"`.}
#' }
#'
#' @section Data:
#' \describe{
#'   \item{standardize}{Whether features and targets are standardised within. Predictions are in the units of `y` either way.}
#'   \item{window_scaling}{How each window is scaled by its own values: `NULL`, `"last"` (minus its last value), `"mean"` (divided
#'     by the mean absolute value), `"relative"` (both) or `"standard"`. For series with levels and trends.}
#'   \item{window_features, target_features}{Positions from 1, or names, of the features that are scaled so, and of the features
#'     that the targets are values of. `NULL` means all, and these in order.}
#'   \item{missing}{`"error"`, or `"mask"`: the network is told which values are missing. `NA` of any type is missing.}
#'   \item{n_timesteps}{For a matrix `x` whose rows are flattened windows (all features of the first time step
#'     first): their time steps. `NULL`: one feature, and a column for each time step.}
#'   \item{class_weight}{`NULL`, `"balanced"`, or a named vector of weights of the classes.}
#' }
#'
#' @section Loss:
#' \describe{
#'   \item{loss}{`"squared_error"` (mean), `"absolute_error"` (median), `"huber"` or [huber_loss()], `"quantile"`,
#'     `"poisson"` (counts) or `"gaussian"` (mean and standard deviation). Classification has the log loss.}
#'   \item{quantile}{Quantiles for `loss = "quantile"`, increasing, between 0 and 1.}
#'   \item{alpha}{Penalty on the squared weights (weight decay of `solver = "adamw"`).}
#'   \item{dropout, recurrent_dropout}{Shares of units that are left out between and within layers.}
#' }
#'
#' @section Training:
#' \describe{
#'   \item{solver}{`"adam"`, `"adamw"`, `"rmsprop"` or `"sgd"`.}
#'   \item{learning_rate_init, learning_rate}{First learning rate, and `"constant"` or a schedule: [step_decay()],
#'     [cosine_decay()], [reduce_on_plateau()].}
#'   \item{averaging}{`NULL`, or an average of the weights: [ema()], [swa()].}
#'   \item{max_iter, batch_size, shuffle}{Epochs at most, samples of a step, and whether their order is drawn anew.}
#'   \item{tol, n_iter_no_change}{The training ends after so many epochs (or `Inf`) whose loss, or validation score, is not better
#'     by at least `tol`.}
#'   \item{early_stopping, validation_fraction}{Whether a share of the samples is held out to stop by, and which share. Samples of
#'     one's own are given as `validation` to [lstm()].}
#'   \item{max_grad_norm, max_grad_value}{Gradients are clipped to these; `NULL` for not.}
#'   \item{momentum, nesterovs_momentum, beta_1, beta_2, epsilon}{Settings of the solvers.}
#'   \item{verbose}{1 shows each epoch.}
#'   \item{n_jobs}{Threads; `NULL` for as many as make sense. The results do not depend on it.}
#' }
#'
#' @param hidden_size,num_layers,bidirectional,return_sequences,stateful,highway,forget_bias,dtype See *The network*.
#' @param standardize,window_scaling,window_features,target_features,missing,n_timesteps,class_weight See *Data*.
#' @param loss,quantile,alpha,dropout,recurrent_dropout See *Loss*.
#' @param solver,learning_rate_init,learning_rate,averaging,max_iter,batch_size,shuffle,tol,n_iter_no_change,early_stopping,validation_fraction,max_grad_norm,max_grad_value,momentum,nesterovs_momentum,beta_1,beta_2,epsilon,verbose,n_jobs
#'   See *Training*.
#'
#' @return A list of class `lstm_control`.
#' @examples
#' control <- lstm_control(hidden_size = 10, learning_rate = cosine_decay())
#' control$hidden_size
#' @export
lstm_control <- function(hidden_size = 32, num_layers = 1, loss = "squared_error", quantile = NULL,
                         class_weight = NULL, bidirectional = FALSE, dropout = 0, recurrent_dropout = 0,
                         return_sequences = FALSE, stateful = FALSE, missing = "error", n_timesteps = NULL,
                         standardize = TRUE, window_scaling = NULL, window_features = NULL, target_features = NULL,
                         highway = 0, forget_bias = 1, solver = "adam", alpha = 0, batch_size = 32,
                         learning_rate = "constant", learning_rate_init = 0.003, max_iter = 50, shuffle = TRUE,
                         max_grad_norm = 1, max_grad_value = NULL, averaging = NULL, tol = 1e-4,
                         n_iter_no_change = 10, early_stopping = FALSE, validation_fraction = 0.1, momentum = 0.9,
                         nesterovs_momentum = TRUE, beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8, verbose = 0,
                         n_jobs = NULL, dtype = "float32") {
  control <- mget(names(formals()))
  for (name in names(control)) {
    value <- control[[name]]
    if (is.atomic(value) && !is.null(value) && anyNA(value)) {
      stop_pylstm(name, " is NA.")
    }
  }
  if (is.logical(verbose)) {
    control["verbose"] <- as.integer(verbose)
  }
  structure(control, class = "lstm_control")
}

#' @export
print.lstm_control <- function(x, ...) {
  usual <- lapply(formals(lstm_control), eval)
  changed <- !vapply(names(x), function(name) isTRUE(all.equal(x[[name]], usual[[name]])), logical(1L))
  if (!any(changed)) {
    cat("LSTM settings: all as usual\n")
    return(invisible(x))
  }
  cat("LSTM settings that differ from the usual ones:\n")
  shown <- vapply(unclass(x)[changed], function(value) paste(deparse(unclass(value)), collapse = ""), character(1L))
  cat(paste0("  ", format(names(shown)), "  ", shown, "\n"), sep = "")
  invisible(x)
}

# Settings from `control` and from the dots of lstm(), which go first; a misspelt one is answered by its neighbour.
collect_control <- function(control, dots, refused = NULL) {
  known <- names(formals(lstm_control))
  if (length(dots) && (is.null(names(dots)) || any(names(dots) == ""))) {
    stop_pylstm("Settings must be named: hidden_size = 10, say. What there is stands in ?lstm_control.")
  }
  for (name in setdiff(names(dots), known)) {
    near <- utils::head(agrep(name, known, max.distance = 0.25, value = TRUE), 1L)
    stop_pylstm(
      "There is no setting '", name, "'", if (length(near)) paste0("; did you mean '", near, "'"), "? See ?lstm_control."
    )
  }
  if (!is.null(control) && !inherits(control, "lstm_control")) {
    control <- do.call(lstm_control, as.list(control))
  }
  settings <- if (is.null(control)) list() else unclass(control)
  settings[names(dots)] <- dots
  do.call(lstm_control, settings)
}

# Settings as Python's estimators take them.
python_parameters <- function(control, type, features, n_features, levels, seed) {
  parameters <- unclass(control)
  of_other <- if (type == "classification") c("loss", "quantile", "highway", "target_features") else "class_weight"
  usual <- lapply(formals(lstm_control), eval)
  for (name in of_other) {
    if (!isTRUE(all.equal(parameters[[name]], usual[[name]]))) {
      other <- if (type == "classification") "regression, and y is a factor, strings or logical" else
        "classification, and y is numeric"
      stop_pylstm(name, " is a setting for ", other, ".")
    }
  }
  parameters[of_other] <- NULL
  for (name in intersect(c("window_features", "target_features"), names(parameters))) {
    if (!is.null(parameters[[name]])) {
      parameters[name] <- list(feature_positions(parameters[[name]], name, features, n_features))
    }
  }
  if (!is.null(parameters$class_weight) && !is.character(parameters$class_weight)) {
    parameters$class_weight <- as.list(parameters$class_weight)
    unknown <- setdiff(names(parameters$class_weight), levels)
    if (is.null(names(parameters$class_weight)) || length(unknown)) {
      stop_pylstm("class_weight must be a vector with the names of classes: ", paste(levels, collapse = ", "), ".")
    }
  }
  c(parameters, list(random_state = seed))
}

# Python's positions of features, a list, from names or R's positions.
feature_positions <- function(which, argument, features, n_features) {
  if (is.character(which)) {
    positions <- match(which, features)
    if (anyNA(positions)) {
      stop_pylstm(
        argument, " names '", which[is.na(positions)][1L], "', but the features are ",
        if (is.null(features)) "without names" else paste(features, collapse = ", "), "."
      )
    }
  } else {
    positions <- as_whole(which, argument, 1)
    if (any(positions > n_features)) {
      stop_pylstm(argument, " names feature ", max(positions), " of ", n_features, "; positions count from 1.")
    }
  }
  as.list(positions - 1L)
}

setting <- function(name, ...) {
  structure(list(setting = name, ...), class = "lstm_setting")
}

#' @export
print.lstm_setting <- function(x, ...) {
  values <- unclass(x)[-1L]
  cat(x$setting, "(", paste(names(values), vapply(values, format, ""), sep = " = ", collapse = ", "), ")\n", sep = "")
  invisible(x)
}

#' Schedules of the learning rate, averages of the weights, the Huber loss
#'
#' Values of the settings `learning_rate`, `averaging` and `loss` of [lstm_control()].
#'
#' @param every,factor `step_decay()` multiplies the rate by `factor` after each `every` epochs;
#'   `reduce_on_plateau()` does so when nothing has improved.
#' @param warm_up Epochs in which the rate rises from 0.
#' @param floor The least share of the first rate.
#' @param patience,tol Epochs without an improvement of at least `tol` before the rate falls.
#' @param decay Share that the exponential average keeps at each step.
#' @param start Share of the epochs after which the average of the weights begins.
#' @param delta Errors up to here count by their square, larger ones by their size; in the units of `y`.
#'
#' @return An object of class `lstm_setting`.
#' @examples
#' lstm_control(learning_rate = cosine_decay(warm_up = 5), averaging = ema(0.99))
#' lstm_control(loss = huber_loss(delta = 10))
#' @name lstm_settings
NULL

#' @rdname lstm_settings
#' @export
step_decay <- function(every = 10, factor = 0.5) setting("StepDecay", every = every, factor = factor)

#' @rdname lstm_settings
#' @export
cosine_decay <- function(warm_up = 0, floor = 0) setting("CosineDecay", warm_up = warm_up, floor = floor)

#' @rdname lstm_settings
#' @export
reduce_on_plateau <- function(factor = 0.5, patience = 5, tol = 1e-4, floor = 0) {
  setting("ReduceOnPlateau", factor = factor, patience = patience, tol = tol, floor = floor)
}

#' @rdname lstm_settings
#' @export
ema <- function(decay = 0.999) setting("EMA", decay = decay)

#' @rdname lstm_settings
#' @export
swa <- function(start = 0.75) setting("SWA", start = start)

#' @rdname lstm_settings
#' @export
huber_loss <- function(delta = 1) setting("Huber", delta = delta)
