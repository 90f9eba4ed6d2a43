#' pylstm: LSTM networks without a deep-learning framework
#'
#' [lstm()] fits a network to sequences, to windows of a data frame or to a time series; [predict()][predict.lstm] and
#' [forecast()][forecast.lstm_series] are what R users know. The work is done by the compiled kernels of the Python package pylstm
#' ([install_pylstm()]), and all numbers are those that Python gives, bit for bit.
#'
#' Sequences are arrays of samples, time steps and features; [lstm_windows()] cuts them from series. What can be
#' set of a network and its training is described with [lstm_control()].
#'
#' @section Options and environment:
#' The Python in use is that of reticulate: set the environment variable `RETICULATE_PYTHON` to choose one.
#' Threads follow `OMP_NUM_THREADS`, or the argument `n_jobs`.
#'
#' @keywords internal
#' @importFrom stats coef fitted predict residuals
"_PACKAGE"

.onLoad <- function(libname, pkgname) {
  # Newer versions of reticulate provide an environment with what packages ask for.
  reticulate <- asNamespace("reticulate")
  if (exists("py_require", reticulate, inherits = FALSE)) {
    get("py_require", reticulate)("pylstm")
  }
}
