# What R users ask of any model.

#' @export
print.lstm <- function(x, ...) {
  about <- x$about
  cat("LSTM for ", about$type, " (", about$loss, ")\n", sep = "")
  cat(
    "  reads    ", if (is.null(about$n_timesteps)) "sequences of any length" else
      paste(about$n_timesteps, "time steps"), ", ", count(about$n_features, "feature"), "\n",
    "  network  ", count(about$num_layers, "layer"), " of ", about$hidden_size, " units",
    if (about$bidirectional) ", both ways", "; ", about$n_parameters, " parameters\n",
    "  trained  ", count(about$n_iter, "epoch"), if (!is.null(x$seconds)) sprintf(" in %.1f s", x$seconds),
    if (!is.null(x$n)) paste0(" on ", count(x$n, "sample")), "; loss ", format(utils::tail(about$loss_curve, 1L), digits = 4),
    if (x$interrupted) "; interrupted", "\n",
    sep = ""
  )
  invisible(x)
}

count <- function(n, what) paste0(n, " ", what, if (n != 1) "s")

#' Methods for fitted networks
#'
#' @param object,x A model of [lstm()].
#' @param ... Further arguments; of `update()` changed arguments of the call, as for [stats::update()].
#' @param digits Digits that are shown.
#'
#' @return
#' - `fitted()`: what is predicted for the samples of the fit; of a formula with a value for each row of the data, of a
#'   time series one. `residuals()`: the targets minus these; of classes, one minus the probability that only
#'   [predict()][predict.lstm] gives, so they are an error.
#' - `coef()`: a list of arrays. `W0` (features by 4 units), `U0` (units by 4 units) and `b0` are those of the first layer, for
#'   the input gate, the forget gate, the new memory and the output gate, in this order; `V` and `d` those of the linear layer.
#' - `summary()`: an object that prints the model with its errors in the fit.
#' - `nobs()`: samples of the fit.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(lynx, window = 10)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 20, n_iter_no_change = Inf)
#' summary(fit)
#' str(coef(fit))
#' update(fit, hidden_size = 4)
#' @name lstm-methods
NULL

#' @rdname lstm-methods
#' @export
fitted.lstm <- function(object, ...) object$fitted.values

#' @rdname lstm-methods
#' @export
residuals.lstm <- function(object, ...) {
  if (object$about$type != "regression" || is.null(object$fitted.values)) {
    stop_pylstm("There are residuals of models that were fitted in R to numbers; for classes see table(object$y, fitted(object)).")
  }
  if (is.list(object$y)) {
    return(Map(function(y, fitted) y - fitted, object$y, object$fitted.values))
  }
  values <- object$y - object$fitted.values
  if (is.null(dim(values))) as.vector(values) else values
}

#' @export
fitted.lstm_formula <- function(object, ...) by_row(object$fitted.values, object$rows, object$n_rows)

#' @export
residuals.lstm_formula <- function(object, ...) by_row(NextMethod(), object$rows, object$n_rows)

#' @rdname lstm-methods
#' @export
coef.lstm <- function(object, ...) {
  lapply(ask("coefficients", live(object)), function(values) if (length(dim(values)) == 1L) as.vector(values) else values)
}

#' @rdname lstm-methods
#' @importFrom stats nobs
#' @export
nobs.lstm <- function(object, ...) object$n

#' @rdname lstm-methods
#' @export
summary.lstm <- function(object, ...) {
  result <- list(model = object)
  if (object$about$type == "classification" && !is.null(object$y)) {
    result$confusion <- table(observed = object$y, fitted = object$fitted.values)
    result$accuracy <- mean(object$y == object$fitted.values)
  } else if (!is.null(object$y) && !is.list(object$y)) {
    errors <- residuals.lstm(object)
    result$residuals <- stats::quantile(errors, names = FALSE, na.rm = TRUE)
    result$rmse <- sqrt(mean(errors^2, na.rm = TRUE))
    result$mae <- mean(abs(errors), na.rm = TRUE)
    result$r_squared <- 1 - mean(errors^2, na.rm = TRUE) / mean((object$y - mean(object$y, na.rm = TRUE))^2, na.rm = TRUE)
  }
  structure(result, class = "summary.lstm")
}

#' @rdname lstm-methods
#' @export
print.summary.lstm <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  if (!is.null(x$model$call)) {
    cat("\nCall:\n", paste(deparse(x$model$call), collapse = "\n"), "\n\n", sep = "")
  }
  print(x$model)
  scores <- x$model$about$validation_scores
  if (!is.null(scores)) {
    cat("  validated best score ", format(max(scores), digits = digits), " (epoch ", which.max(scores), ")\n", sep = "")
  }
  if (!is.null(x$confusion)) {
    cat("\nAccuracy in the fit: ", format(x$accuracy, digits = digits), "\n", sep = "")
    print(x$confusion)
  }
  if (!is.null(x$residuals)) {
    cat("\nResiduals of the fit:\n")
    print(stats::setNames(signif(x$residuals, digits), c("Min", "1Q", "Median", "3Q", "Max")))
    cat(
      "RMSE ", format(x$rmse, digits = digits), ", MAE ", format(x$mae, digits = digits), ", R-squared ",
      format(x$r_squared, digits = digits), "\n",
      sep = ""
    )
  }
  invisible(x)
}

#' Draw a fitted network
#'
#' @param x A model of [lstm()].
#' @param which `"loss"`: the loss of each epoch, with the validation score if there is one; `"gates"`: what the gates of a layer do,
#'   step by step, while they read a sequence.
#' @param newdata For the gates: sequences as in the fit.
#' @param sample Which of them.
#' @param layer,lengths As for [lstm_gates()].
#' @param ... Graphical parameters, for the curve.
#'
#' @return `x`, invisibly.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(nottem, window = 24)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 30, n_iter_no_change = Inf)
#' plot(fit)
#' plot(fit, "gates", windows$x)
#' @export
plot.lstm <- function(x, which = c("loss", "gates"), newdata, sample = 1, layer = NULL, lengths = NULL, ...) {
  which <- match.arg(which)
  if (which == "loss") {
    plot_loss(x, ...)
  } else {
    if (missing(newdata)) {
      stop_pylstm("A model does not hold the sequences of its fit: pass some as newdata.")
    }
    plot_gates(lstm_gates(x, newdata, layer = layer, lengths = lengths), sample)
  }
  invisible(x)
}

plot_loss <- function(x, xlab = "epoch", ylab = "loss", type = "l", log = "y", ...) {
  curve <- x$about$loss_curve
  if (any(curve <= 0, na.rm = TRUE) && log == "y") {
    log <- ""
  }
  scores <- x$about$validation_scores
  if (!is.null(scores)) {
    margins <- graphics::par(mar = c(5, 4, 4, 4) + 0.1)
    on.exit(graphics::par(margins))
  }
  plot(seq_along(curve), curve, xlab = xlab, ylab = ylab, type = type, log = log, ...)
  if (!is.null(scores)) {
    graphics::par(new = TRUE)
    plot(seq_along(scores), scores, type = "l", lty = 2, col = "firebrick", axes = FALSE, xlab = "", ylab = "")
    graphics::axis(4, col = "firebrick", col.axis = "firebrick")
    graphics::mtext("validation score", side = 4, line = 2.5, col = "firebrick")
    graphics::abline(v = which.max(scores), lty = 3, col = "grey50")
  }
}

plot_gates <- function(gates, sample) {
  titles <- c(
    input = "input gate", forget = "forget gate", candidate = "new memory", output = "output gate", cell = "cell state",
    hidden = "hidden state"
  )
  before <- graphics::par(mfrow = c(3, 2), mar = c(3.5, 3.5, 2, 1), mgp = c(2.2, 0.7, 0))
  on.exit(graphics::par(before))
  for (name in names(titles)) {
    values <- array(gates[[name]][sample, , ], dim(gates[[name]])[2:3])
    is_gate <- name %in% c("input", "forget", "output")
    limits <- if (is_gate) c(0, 1) else c(-1, 1) * max(1, abs(values))
    colours <- grDevices::hcl.colors(64, if (is_gate) "Blues" else "Blue-Red", rev = is_gate)
    graphics::image(
      seq_len(nrow(values)), seq_len(ncol(values)), values,
      zlim = limits, col = colours, xlab = "time step", ylab = "unit", main = titles[[name]], useRaster = TRUE
    )
  }
}

#' What the gates do
#'
#' The activations of one layer while it reads sequences.
#'
#' @param object A model of [lstm()].
#' @param newdata Sequences as in the fit.
#' @param layer The layer, from 1; `NULL` is the top one.
#' @param direction `"forward"`, or `"reverse"` of a bidirectional layer.
#' @param lengths Time steps of each sample of an array.
#'
#' @return A list of arrays, samples by time steps by units: `input`, `forget` and `output` gates, the `candidate` (new
#'   memory), `cell` and `hidden` states.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(nottem, window = 24)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 5, n_iter_no_change = Inf)
#' str(lstm_gates(fit, windows$x[1:2, , , drop = FALSE]))
#' @export
lstm_gates <- function(object, newdata, layer = NULL, direction = c("forward", "reverse"), lengths = NULL) {
  sequences <- as_in_fit(as_sequences(newdata, "newdata"), object)
  layer <- if (is.null(layer)) -1L else as_whole(layer, "layer", 1) - 1L
  ask("gates", live(object), sequences$values, as_lengths(lengths, sequences$n), layer, match.arg(direction))
}

#' What each value contributes to a prediction
#'
#' Integrated gradients: the gradient of the prediction by its inputs, averaged on the way from a baseline to the
#' sequence, times that way. The contributions add up to the prediction minus that for the baseline.
#'
#' @param object A model of [lstm()].
#' @param newdata Sequences as in the fit.
#' @param baseline Where each way starts: `NULL` (the mean of each feature), a number, or a vector with one for each feature.
#' @param lengths Time steps of each sample of an array.
#'
#' @return A list: `values`, shaped as `newdata` (with a last axis for several outputs), `base_values` and `predictions`.
#' @references Sundararajan M, Taly A, Yan Q (2017). Axiomatic attribution for deep networks. *ICML*.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(nottem, window = 24)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 20, n_iter_no_change = Inf)
#' parts <- lstm_attributions(fit, windows$x[1:3, , , drop = FALSE])
#' apply(parts$values, 1, sum) + parts$base_values - parts$predictions
#' @export
lstm_attributions <- function(object, newdata, baseline = NULL, lengths = NULL) {
  sequences <- as_in_fit(as_sequences(newdata, "newdata"), object)
  if (length(baseline) > 1L) {
    baseline <- as_double(if (is.null(dim(baseline))) array(baseline) else baseline, "baseline")
  }
  found <- ask("attributions", live(object), sequences$values, baseline, as_lengths(lengths, sequences$n))
  lapply(found, function(values) if (length(dim(values)) == 1L) as.vector(values) else values)
}

#' @export
print.lstm_series <- function(x, ...) {
  print.lstm(x)
  cat("  forecasts", x$plan$horizon, "steps at once of", x$name, "\n")
  invisible(x)
}
