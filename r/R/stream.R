#' Predict step by step
#'
#' A stream takes one time step after the other and says what the network makes of the sequence so far. After the last step it is,
#' bit for bit, the prediction for the whole sequence.
#'
#' A call costs what every call into Python costs, a few tenths of a millisecond, and each step in it a few
#' microseconds: pass as many steps at once as there are.
#'
#' @param object A model of [lstm()], of one direction and without `window_scaling`.
#' @param stream What `lstm_stream()` has returned. It is changed in place.
#' @param x The features of one time step (a vector), or of several (a matrix with a row for each).
#'
#' @return `lstm_stream()`: an object of class `lstm_stream`. `stream_step()`: what is predicted after each step: a vector, or a
#'   matrix with a column for each target, quantile or class (its probability). `stream_reset()`: the stream, which starts a new
#'   sequence.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(sin(1:200 / 5), window = 12)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 10, n_iter_no_change = Inf)
#' stream <- lstm_stream(fit)
#' stream_step(stream, 0.5)
#' stream_step(stream, cbind(c(0.6, 0.7)))
#' stream_reset(stream)
#' @export
lstm_stream <- function(object) {
  structure(
    list(stream = ask("open_stream", live(object)), about = object$about, levels = object$levels),
    class = "lstm_stream"
  )
}

#' @rdname lstm_stream
#' @export
stream_step <- function(stream, x) {
  n_features <- stream$about$n_features
  x <- as_double(if (is.data.frame(x)) frame_values(x, "x") else unclass_series(x), "x")
  if (is.null(dim(x))) {
    x <- matrix(x, ncol = n_features, nrow = if (length(x) == n_features) 1L else length(x) / n_features,
                byrow = FALSE)
    if (nrow(x) != 1L && n_features > 1L) {
      stop_pylstm("x must have ", n_features, " features: one step is a vector of them, several are a matrix.")
    }
  }
  if (length(dim(x)) != 2L || ncol(x) != n_features) {
    stop_pylstm("x must have ", n_features, " columns, one for each feature.")
  }
  if (identical(stream$about$missing, "error") && anyNA(x)) {
    stop_pylstm("x has missing values, after which all states would be missing: fill them, or fit with missing = \"mask\".")
  }
  if (reticulate::py_is_null_xptr(stream$stream)) {
    stop_pylstm("The stream belongs to another R session: make a new one by lstm_stream().")
  }
  values <- ask("stream_steps", stream$stream, x)
  if (ncol(values) == 1L) {
    return(as.vector(values))
  }
  if (!is.null(stream$levels)) colnames(values) <- stream$about$classes
  values
}

#' @rdname lstm_stream
#' @export
stream_reset <- function(stream) {
  ask("stream_reset", stream$stream)
  invisible(stream)
}

#' @export
print.lstm_stream <- function(x, ...) {
  cat("Stream of an LSTM that reads ", count(x$about$n_features, "feature"), " a time step\n", sep = "")
  invisible(x)
}
