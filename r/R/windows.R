#' Windows of a series, and what follows them
#'
#' Cuts overlapping windows from a series, in the order of time, for [lstm()].
#'
#' @param x The series: a numeric vector, a matrix or data frame with a row for each time step, or a `ts`.
#' @param window Time steps in each window.
#' @param horizon How many steps after the window's last step the target lies: 1 is the very next step, 0 the last
#'   step itself. Several horizons, say `1:12`, give a column for each.
#' @param step Time steps between the starts of consecutive windows.
#' @param target What to predict: positions or names of columns of `x` (`NULL`: all of them), or a vector, factor
#'   or matrix with a value for each time step of `x`.
#' @param known Features whose future is known when a forecast is made, such as the calendar: a vector, matrix or data
#'   frame with a row for each time step. A window holds them `max(horizon)` steps ahead, so that the network has
#'   read them for the step that it predicts.
#'
#' @return A list of class `lstm_windows`:
#'   \item{x}{an array of windows, time steps and features;}
#'   \item{y}{the targets: a vector, or a matrix with a column for each horizon and target;}
#'   \item{time}{the time of each target: that of a `ts`, otherwise its row (of several horizons the first).}
#'
#' @details
#' Unlike those of [stats::embed()], windows run from the oldest value to the newest, and their number is that of the targets:
#' `(n - window - max(horizon)) %/% step + 1`.
#'
#' Neighbouring windows overlap: hold out the last ones, not random ones.
#'
#' @examples
#' windows <- lstm_windows(1:7, window = 3)
#' windows$x[, , 1]
#' windows$y
#'
#' # A year ahead, from two years of monthly values
#' windows <- lstm_windows(AirPassengers, window = 24, horizon = 1:12)
#' dim(windows$x)
#' dim(windows$y)
#' @export
lstm_windows <- function(x, window, horizon = 1, step = 1, target = NULL, known = NULL) {
  window <- as_whole(window, "window", 1)
  horizon <- as_whole(horizon, "horizon", 0)
  step <- as_whole(step, "step", 1)
  series <- series_matrix(x)
  ahead <- max(horizon)
  starts <- window_starts(nrow(series), window, ahead, step)
  features <- series
  if (!is.null(known)) {
    known <- series_matrix(known, "known")
    if (nrow(known) < nrow(series)) {
      stop_pylstm("known has ", nrow(known), " rows, but the series has ", nrow(series), ".")
    }
    later <- pmin(seq_len(nrow(series)) + ahead, nrow(known))
    if (is.null(colnames(series)) != is.null(colnames(known))) {
      colnames(features) <- colnames(known) <- NULL
    }
    features <- cbind(features, known[later, , drop = FALSE])
  }
  times <- if (stats::is.ts(x)) as.vector(stats::time(x)) else seq_len(nrow(series))
  structure(
    list(
      x = cut_windows(features, starts, window),
      y = cut_targets(series, target, starts + window - 1L, horizon),
      time = times[starts + window - 1L + horizon[1L]]
    ),
    class = "lstm_windows"
  )
}

window_starts <- function(n, window, ahead, step = 1L) {
  last <- n - window - ahead + 1L
  if (last < 1L) {
    stop_pylstm(
      "The series has ", n, " time steps, but one window of ", window, " and a target ", ahead, " steps after it need ",
      window + ahead, "."
    )
  }
  seq.int(1L, last, by = step)
}

# An array of windows, time steps and features from a matrix: the rows of a window are those from its start.
cut_windows <- function(series, starts, window) {
  rows <- outer(starts, seq_len(window) - 1L, `+`)
  array(
    series[rows, , drop = FALSE], c(length(starts), window, ncol(series)),
    if (!is.null(colnames(series))) list(NULL, NULL, colnames(series))
  )
}

cut_targets <- function(series, target, ends, horizon) {
  per_step <- length(target) > 0L && NROW(target) == nrow(series) && !is.character(target) &&
    (nrow(series) > 1L || is.factor(target))
  if (per_step && is.null(dim(target)) && !is.numeric(target)) {
    if (length(horizon) > 1L) {
      stop_pylstm("Classes are predicted for one horizon.")
    }
    return(target[ends + horizon])
  }
  values <- if (is.null(target)) {
    series
  } else if (per_step) {
    series_matrix(target, "target")
  } else if (is.character(target) && length(target) == nrow(series) && !all(target %in% colnames(series))) {
    return(target[ends + horizon[1L]])
  } else {
    series[, unlist(feature_positions(target, "target", colnames(series), ncol(series))) + 1L, drop = FALSE]
  }
  if (length(horizon) == 1L && ncol(values) == 1L) {
    return(as.vector(values[ends + horizon, ]))
  }
  columns <- lapply(horizon, function(h) values[ends + h, , drop = FALSE])
  result <- do.call(cbind, columns)
  if (length(horizon) > 1L) {
    names <- if (ncol(values) == 1L) "" else if (is.null(colnames(values))) seq_len(ncol(values)) else colnames(values)
    colnames(result) <- paste0(rep(names, length(horizon)), rep(if (ncol(values) == 1L) "h" else ".h", length(horizon)),
                               rep(horizon, each = ncol(values)))
  }
  result
}

series_matrix <- function(x, name = "x") {
  if (is.data.frame(x)) {
    return(frame_values(x, name))
  }
  if (length(dim(x)) > 2L) {
    stop_pylstm(name, " must be a vector, matrix or data frame with a row for each time step.")
  }
  names <- colnames(x)
  rows <- NROW(x)
  matrix(as_double(unclass_series(x), name), nrow = rows, dimnames = if (!is.null(names)) list(NULL, names))
}

unclass_series <- function(x) {
  if (stats::is.ts(x)) {
    attr(x, "tsp") <- NULL
    x <- unclass(x)
  }
  x
}

#' @export
print.lstm_windows <- function(x, ...) {
  shape <- dim(x$x)
  cat(
    shape[1L], " windows of ", shape[2L], " time steps and ", shape[3L], " feature(s), with ",
    if (is.null(dim(x$y))) "a target" else paste(ncol(x$y), "targets"), " each\n",
    sep = ""
  )
  invisible(x)
}
