# pylstm from R: what a call costs beyond Python's, and forecasts beside R's neural networks.
#
#     Rscript benchmarks/r.R          # about five minutes; prints the tables of R.md
#
# Needs the R packages pylstm (r/), forecast and nnet, and RETICULATE_PYTHON.

suppressPackageStartupMessages({
  library(pylstm)
  library(forecast)
})
invisible(pylstm_config())

# -- calls -----------------------------------------------------------------------------------------

# Microseconds of a call, by the processor's time and the least of many blocks: other processes only add to it.
microseconds <- function(call, n) {
  call()
  blocks <- replicate(20, {
    started <- proc.time()
    for (i in seq_len(n)) call()
    sum((proc.time() - started)[c("user.self", "sys.self")]) / n
  })
  1e6 * min(blocks)
}

windows <- lstm_windows(sin(1:1012 / 5), window = 12)
fit <- suppressWarnings(lstm(windows$x, windows$y, hidden_size = 8, max_iter = 5, seed = 1))
in_python <- reticulate::py_run_string("
import time
import timeit
import numpy as np
def predict(model, X, n):
    X = np.ascontiguousarray(X)
    return min(timeit.repeat(lambda: model.predict(X), number=n, repeat=20, timer=time.process_time)) / n * 1e6
def steps(model, X, n):
    stream = model.stream()
    def run():
        for x in X:
            stream.step(x)
    return min(timeit.repeat(run, number=n, repeat=20, timer=time.process_time)) / n * 1e6
")
estimator <- as_python(fit)
stream <- lstm_stream(fit)
cat("\n| call | R, microseconds | Python | more |\n|---|---|---|---|\n")
report <- function(what, ours, theirs) {
  cat(sprintf("| %s | %.0f | %.0f | %.0f |\n", what, ours, theirs, ours - theirs))
}
for (n in c(1, 100, 1000)) {
  x <- windows$x[seq_len(n), , , drop = FALSE]
  report(
    sprintf("`predict()` of %d window%s", n, if (n > 1) "s" else ""),
    microseconds(function() predict(fit, x), 200), in_python$predict(estimator, x, 200L)
  )
}
for (n in c(1, 1000)) {
  x <- matrix(sin(seq_len(n)))
  report(
    sprintf("`stream_step()` of %d step%s", n, if (n > 1) "s" else ""),
    microseconds(function() stream_step(stream, x), 200 / sqrt(n)), in_python$steps(estimator, x, if (n > 1) 6L else 200L)
  )
}

# -- forecasts -------------------------------------------------------------------------------------

# A season ahead from each of three origins; each method sees what was known then.
by_nnet <- function(x, season) {
  cut <- lstm_windows(x, window = 2 * season, horizon = seq_len(season))
  last <- cut$x[, 2 * season, 1]
  inputs <- (cut$x[, , 1] - last) / sd(x)
  fit <- nnet::nnet(inputs, (cut$y - last) / sd(x), size = 8, linout = TRUE, decay = 0.01, maxit = 300,
                    MaxNWts = 1e5, trace = FALSE)
  now <- utils::tail(as.vector(x), 2 * season)
  utils::tail(now, 1) + sd(x) * as.vector(predict(fit, (matrix(now, 1) - utils::tail(now, 1)) / sd(x)))
}
methods <- list(
  "`lstm()`" = function(x, season) as.vector(forecast(lstm(x), h = season, level = NULL)$mean),
  "`forecast::nnetar()`" = function(x, season) as.vector(forecast(nnetar(x), h = season)$mean),
  "`nnet::nnet()` on the same windows" = by_nnet,
  "seasonal naive" = function(x, season) as.vector(snaive(x, h = season)$mean)
)
cat("\n| series | method | RMSE: median (least to greatest) | MASE: median | seconds a fit |\n|---|---|---|---|---|\n")
for (name in c("AirPassengers", "nottem", "UKgas")) {
  series <- get(name)
  season <- frequency(series)
  for (method in names(methods)) {
    seeds <- if (method == "seasonal naive") 1 else 1:5
    results <- vapply(seeds, function(seed) {
      set.seed(seed)
      seconds <- 0
      errors <- lapply(3:1, function(origin) {
        n <- length(series) - origin * season
        past <- ts(series[seq_len(n)], start = start(series), frequency = season)
        started <- proc.time()[["elapsed"]]
        found <- methods[[method]](past, season)
        seconds <<- seconds + proc.time()[["elapsed"]] - started
        error <- series[n + seq_len(season)] - found
        c(mean(error^2), mean(abs(error)) / mean(abs(diff(past, season))))
      })
      means <- Reduce(`+`, errors) / 3
      c(sqrt(means[1]), means[2], seconds / 3)
    }, numeric(3))
    middle <- apply(results, 1, median)
    cat(sprintf(
      "| %s | %s | %.1f (%.1f to %.1f) | %.2f | %.2f |\n",
      name, method, middle[1], min(results[1, ]), max(results[1, ]), middle[2], middle[3]
    ))
  }
}
