#' Choose settings by cross-validation
#'
#' Fits a network for each combination of settings and each fold, and compares their errors on samples that were held out. The
#' folds respect time: each tests on samples that come after those it learns from.
#'
#' @param x,y Samples, in the order of time, and their targets, as for [lstm()].
#' @param grid A list of settings, each with the values to try (a vector or list): all combinations are tried. Or a data frame with
#'   a combination in each row.
#' @param folds How many parts at the end of the samples are tested on, one after the other.
#' @param gap Samples left out between those to learn from and those to test on: `max(horizon) - 1` for
#'   windows of [lstm_windows()], so that no target is known too early.
#' @param shuffle Whether to draw folds at random instead: for samples without an order.
#' @param metric A function of targets and predictions, the smaller the better. `NULL`: the root mean squared error, or the share of
#'   wrong classes.
#' @param ... Further settings, the same for all; see [lstm_control()].
#' @param weights,lengths As for [lstm()].
#' @param seed The same seed for all fits; `NULL` draws it from R's generator.
#' @param refit Whether to fit the best combination to all samples.
#'
#' @return An object of class `lstm_tune`: a list of
#'   \item{results}{a data frame of the combinations with `error`, `sd` (between the folds) and `seconds`, the best first;}
#'   \item{best}{the settings of the first row;}
#'   \item{fit}{the model fitted to all samples by these, if `refit`.}
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(nottem, window = 12)
#' set.seed(1)
#' tuned <- suppressWarnings(lstm_tune(
#'   windows$x, windows$y, grid = list(hidden_size = c(4, 8), learning_rate_init = c(0.003, 0.01)),
#'   folds = 2, max_iter = 15
#' ))
#' tuned
#' @export
lstm_tune <- function(x, y, grid, folds = 5, gap = 0, shuffle = FALSE, metric = NULL, ..., weights = NULL,
                      lengths = NULL, seed = NULL, refit = TRUE) {
  folds <- as_whole(folds, "folds", 1)
  gap <- as_whole(gap, "gap", 0)
  combinations <- all_combinations(grid)
  seed <- if (is.null(seed)) sample.int(.Machine$integer.max, 1L) else as_whole(seed, "seed", 0)
  n <- as_sequences(x)$n
  parts <- folds_of(n, folds, gap, shuffle)
  is_numeric <- as_target(y)$type == "regression"
  if (is.null(metric)) {
    metric <- if (is_numeric) function(y, p) sqrt(mean((y - p)^2)) else function(y, p) mean(as.character(y) != as.character(p))
  }
  trials <- lapply(combinations, function(combination) {
    started <- proc.time()[["elapsed"]]
    errors <- vapply(parts, function(part) {
      fit <- do.call(lstm.default, c(
        list(samples_of(x, part$train), samples_of(y, part$train)), combination, list(...),
        list(weights = weights[part$train], lengths = lengths[part$train], seed = seed)
      ))
      if (fit$interrupted) {
        interrupt()
      }
      metric(samples_of(y, part$test), predict.lstm(fit, samples_of(x, part$test), lengths = lengths[part$test]))
    }, numeric(1L))
    c(error = mean(errors), sd = stats::sd(errors), seconds = proc.time()[["elapsed"]] - started)
  })
  order <- order(vapply(trials, `[[`, numeric(1L), "error"))
  table <- do.call(rbind, lapply(combinations, function(combination) {
    as.data.frame(lapply(combination, function(value) {
      if (is.atomic(value) && length(value) == 1L) value else paste(deparse(unclass(value)), collapse = "")
    }))
  }))
  results <- cbind(table, do.call(rbind, trials))[order, , drop = FALSE]
  rownames(results) <- NULL
  best <- combinations[[order[1L]]]
  fit <- if (refit) {
    do.call(lstm.default, c(list(x, y), best, list(...), list(weights = weights, lengths = lengths, seed = seed)))
  }
  if (!is.null(fit)) {
    fit$call <- NULL
  }
  structure(list(results = results, best = best, fit = fit), class = "lstm_tune")
}

all_combinations <- function(grid) {
  if (!is.list(grid) || is.null(names(grid)) || any(names(grid) == "")) {
    stop_pylstm("grid must be a list with names: list(hidden_size = c(8, 16)), say.")
  }
  collect_control(NULL, lapply(grid, function(values) values[[1L]]))
  if (is.data.frame(grid)) {
    return(lapply(seq_len(nrow(grid)), function(row) lapply(as.list(grid), `[[`, row)))
  }
  places <- expand.grid(lapply(grid, seq_along))
  lapply(seq_len(nrow(places)), function(row) Map(function(values, at) values[[at]], grid, places[row, ]))
}

folds_of <- function(n, folds, gap, shuffle) {
  size <- n %/% (folds + 1L)
  if (shuffle) {
    if (folds < 2L) stop_pylstm("Random folds must be two or more.")
    fold <- sample(rep_len(seq_len(folds), n))
    return(lapply(seq_len(folds), function(k) list(train = which(fold != k), test = which(fold == k))))
  }
  if (size < 1L || n - folds * size - gap < 1L) {
    stop_pylstm("There are too few samples (", n, ") for ", folds, " folds with a gap of ", gap, ".")
  }
  lapply(rev(seq_len(folds)), function(k) {
    first <- n - k * size + 1L
    list(train = seq_len(first - 1L - gap), test = seq.int(first, length.out = size))
  })
}

samples_of <- function(values, rows) {
  switch(as.character(length(dim(values))),
    "2" = values[rows, , drop = FALSE],
    "3" = values[rows, , , drop = FALSE],
    values[rows]
  )
}

#' @export
print.lstm_tune <- function(x, ...) {
  cat("Settings by their errors on held-out samples:\n")
  print(x$results, digits = 4, row.names = FALSE)
  invisible(x)
}
