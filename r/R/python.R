# The way to Python: one module of requests, whose conditions arrive as data and become R's.

python <- new.env(parent = emptyenv())

# A function of inst/python/pylstm_bridge.py. Kept once found, as each look-up costs a tenth of a millisecond.
request <- function(name) {
  found <- python[[name]]
  if (is.null(found)) {
    found <- bridge()[[name]]
    assign(name, found, envir = python)
  }
  found
}

bridge <- function(convert = TRUE) {
  module <- if (convert) ".bridge" else ".raw_bridge"
  if (is.null(python[[module]])) {
    assign(module, import_bridge(convert), envir = python)
  }
  python[[module]]
}

import_bridge <- function(convert) {
  there <- tryCatch(reticulate::py_available(initialize = TRUE), error = function(e) FALSE)
  if (!there) {
    stop_pylstm(
      "No Python was found. Set the environment variable RETICULATE_PYTHON to one with pylstm before the ",
      "first use, or make one by install_pylstm().",
      class = "pylstm_missing_error"
    )
  }
  folder <- system.file("python", package = "pylstm")
  tryCatch(
    reticulate::import_from_path("pylstm_bridge", folder, convert = convert),
    error = function(e) {
      stop_pylstm(
        "The Python package pylstm cannot be loaded from ", reticulate::py_config()$python, ": ",
        first_line(conditionMessage(e)), " install_pylstm() installs it; RETICULATE_PYTHON chooses another Python.",
        class = "pylstm_missing_error"
      )
    }
  )
}

first_line <- function(text) {
  line <- strsplit(trimws(text), "\n", fixed = TRUE)[[1L]][1L]
  if (grepl("[.!?]$", line)) line else paste0(line, ".")
}

# Ask Python for something, and signal what it has to say.
ask <- function(name, ...) {
  answer <- request(name)(...)
  if (!is.null(answer[[2L]])) {
    signal(answer[[2L]])
  }
  answer[[1L]]
}

signal <- function(conditions) {
  for (warned in conditions$warnings) {
    warn_pylstm(warned[[2L]], class = warning_class(warned[[1L]]))
  }
  error <- conditions$error
  if (is.null(error)) {
    return(invisible())
  }
  if (identical(error[[1L]], "KeyboardInterrupt")) {
    interrupt()
  }
  stop_pylstm(in_terms_of_r(error[[2L]]), class = paste0("pylstm_", error[[1L]]))
}

# Python's messages name its classes where R's users know functions.
in_terms_of_r <- function(message) {
  if (startsWith(message, "Input X contains NaN")) {
    return(paste(
      "x has missing values: fill them, or fit with missing = \"mask\".",
      "(Time steps at the end of a sequence of which all values are missing are padding.)"
    ))
  }
  if (startsWith(message, "Input y contains NaN")) {
    return("y has missing values: leave out these samples.")
  }
  message <- sub("^Input X contains infinity or a value too large for .*", "x has infinite values, or too large ones.", message)
  message <- gsub("(,| or) an instance of 'pylstm[^']*'", "", message)
  message <- sub("parameter of LSTM(Regressor|Classifier|Forecaster) must", "setting must", message)
  gsub("LSTM(Regressor|Classifier|Forecaster)", "the network", message)
}

# A function for Python to call. Where R has an interrupt to heed, that of RStudio's button say, it must not jump out of it, over
# Python's frames: it returns, and Python raises the interrupt.
for_python <- function(f) {
  if (!is.null(f)) function(...) tryCatch(f(...), interrupt = function(condition) "interrupted")
}

# As Ctrl-C does in R's own code.
interrupt <- function() {
  condition <- structure(class = c("interrupt", "condition"), list(message = "", call = NULL))
  signalCondition(condition)
  invokeRestart("abort")
}

warning_class <- function(category) {
  if (identical(category, "ConvergenceWarning")) "pylstm_convergence_warning" else paste0("pylstm_", category)
}

stop_pylstm <- function(..., class = NULL) {
  stop(structure(
    class = c(class, "pylstm_error", "error", "condition"),
    list(message = paste0(...), call = NULL)
  ))
}

warn_pylstm <- function(..., class = NULL) {
  warning(structure(
    class = c(class, "pylstm_warning", "warning", "condition"),
    list(message = paste0(...), call = NULL)
  ))
}
