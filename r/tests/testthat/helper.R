skip_without_pylstm <- function() {
  skip_if_not(pylstm_available(), "Python with pylstm")
}

# The same in Python, on arrays in C order, as Python's users have them.
in_python <- function(code, ...) {
  main <- reticulate::import_main(convert = TRUE)
  given <- list(...)
  for (name in names(given)) {
    reticulate::py_set_attr(main, name, reticulate::r_to_py(given[[name]]))
  }
  imports <- paste(
    "import numpy as np", "import warnings", "import pylstm", "warnings.simplefilter('ignore')",
    "as_c = np.ascontiguousarray",
    sep = "\n"
  )
  reticulate::py_run_string(paste(imports, code, sep = "\n"))
  result <- reticulate::py_get_attr(main, "result")
  result <- reticulate::py_to_r(result)
  if (is.list(result)) lapply(result, plain) else plain(result)
}

plain <- function(values) if (length(dim(values)) == 1L) as.vector(values) else values

quietly <- function(expr) {
  withCallingHandlers(expr, pylstm_convergence_warning = function(w) invokeRestart("muffleWarning"))
}

sine <- sin(1:120 / 5) + cos(1:120 / 3)
sine_windows <- lstm_windows(sine, window = 10)
sine_fit <- local({
  fit <- NULL
  function() {
    if (is.null(fit)) {
      fit <<- quietly(lstm(sine_windows$x, sine_windows$y, hidden_size = 6, max_iter = 8, seed = 1))
    }
    fit
  }
})

walks <- local({
  set.seed(20)
  x <- t(replicate(60, cumsum(stats::rnorm(8))))
  list(x = x, y = factor(ifelse(x[, 8] > 0, "up", "down"), levels = c("up", "flat", "down")))
})
