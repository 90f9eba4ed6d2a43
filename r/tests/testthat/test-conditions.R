# What goes wrong is said as R says it.

skip_without_pylstm()

test_that("Python's errors have our message alone, and a class", {
  error <- expect_error(lstm(sine_windows$x, sine_windows$y, hidden_size = 0), class = "pylstm_error")
  expect_match(conditionMessage(error), "^The 'hidden_size' setting must be .* Got 0 instead\\.$")
  expect_null(conditionCall(error))
  expect_false(grepl("Traceback|File \"", conditionMessage(error)))
})

test_that("what to do is said where pylstm or Python is missing", {
  folder <- tempfile()
  python <- reticulate::py_config()$python
  system2(python, c("-m", "venv", "--without-pip", shQuote(folder)))
  script <- "library(pylstm); cat(pylstm_available(), ''); tryCatch(pylstm_config(), error = function(e) cat(conditionMessage(e)))"
  said <- function(python) {
    paths <- paste0("R_LIBS=", paste(.libPaths(), collapse = .Platform$path.sep))
    shown <- suppressWarnings(system2(
      file.path(R.home("bin"), "Rscript"), c("-e", shQuote(script)),
      stdout = TRUE, stderr = FALSE, env = c(paths, paste0("RETICULATE_PYTHON=", python))
    ))
    paste(shown, collapse = " ")
  }
  executable <- if (.Platform$OS.type == "windows") "Scripts/python.exe" else "bin/python"
  expect_match(said(file.path(folder, executable)), "FALSE The Python package pylstm cannot be loaded.*install_pylstm\\(\\)")
  expect_match(said(file.path(folder, "no-python")), "FALSE No Python was found.*RETICULATE_PYTHON")
})

test_that("a training that has not converged is a warning of its own class", {
  expect_warning(
    lstm(sine_windows$x, sine_windows$y, hidden_size = 2, max_iter = 2),
    class = "pylstm_convergence_warning"
  )
})

test_that("misspelt and unnamed settings are refused, with a hint", {
  expect_error(lstm(sine_windows$x, sine_windows$y, hiden_size = 2), "did you mean 'hidden_size'")
  expect_error(lstm(sine_windows$x, sine_windows$y, 10), "must be named")
  expect_error(lstm(walks$x, walks$y, loss = "huber"), "setting for regression")
  expect_error(lstm_control(alpha = NA), "alpha is NA")
  expect_error(lstm(sine_windows$x, sine_windows$y, loss = "mse"), "'loss' setting must be a str among [^']*'[^a-z]*[^(]*Got 'mse' instead")
  expect_error(lstm(walks$x, factor(rep("a", 60))), "at least 2 classes")
  expect_error(lstm(1:100, window = 10), "no setting 'window'")
  expect_error(lstm(1:100), "lstm\\(ts\\(x\\)\\)")
})

test_that("dropped dimensions are explained", {
  x <- array(rnorm(20 * 6 * 3), c(20, 6, 3))
  fit <- quietly(lstm(x, x[, 6, 1], hidden_size = 2, max_iter = 1))
  expect_error(predict(fit, x[1, , ]), "drop = FALSE")
  expect_error(predict(fit, x[, 6, ]), "matrix of 20 x 3.*3 features.*drop = FALSE")
  expect_error(predict(fit, x[, , 1]), "drop = FALSE")
  expect_error(predict(sine_fit(), sine_windows$x[1, , ]), "drop = FALSE")
  expect_error(lstm(x[1, , ], 1), "drop = FALSE")
  expect_error(lstm(x, 1:19), "20 samples, but y has 19")
})

test_that("columns of embed() are warned of", {
  rows <- embed(sine, 6)
  expect_warning(
    quietly(lstm(rows[, -1], rows[, 1], hidden_size = 2, max_iter = 1)), "newest", class = "pylstm_embed_warning"
  )
  expect_silent(quietly(lstm(rows[, 6:2], rows[, 1], hidden_size = 2, max_iter = 1)))
  expect_silent(quietly(lstm(walks$x, walks$y, hidden_size = 2, max_iter = 1)))
})

test_that("what cannot be predicted is said", {
  expect_error(predict(sine_fit(), sine_windows$x, type = "prob"), "classification")
  expect_error(predict(sine_fit(), sine_windows$x, se.fit = TRUE), "gaussian")
  expect_error(predict(sine_fit(), sine_windows$x, interval = "prediction"), "gaussian")
  expect_error(predict(sine_fit(), type = "hidden"), "newdata")
  expect_error(lstm(Sys.Date() + 1:10, 1:10), "must be an array")
  expect_error(lstm(matrix(letters, 2), 1:2), "must hold numbers")
})

test_that("progress is shown on R's console", {
  shown <- capture.output(
    fit <- quietly(lstm(sine_windows$x, sine_windows$y, hidden_size = 2, max_iter = 3, verbose = 1))
  )
  expect_match(paste(shown, collapse = "\n"), "3/3")
  shown <- capture.output(lstm(UKgas, hidden_size = 2, max_iter = 3, verbose = TRUE))
  expect_length(grep("3/3", shown), 2) # of both networks
})

test_that("Python's classes of errors and warnings are among those of the conditions", {
  found <- tryCatch(lstm(sine_windows$x, sine_windows$y, alpha = -1), error = class)
  expect_identical(found[-1], c("pylstm_error", "error", "condition"))
  found <- tryCatch(lstm(sine_windows$x, sine_windows$y, max_iter = 1), warning = class)
  expect_identical(found, c("pylstm_convergence_warning", "pylstm_warning", "warning", "condition"))
})

test_that("a function is called after each epoch, and may end the training", {
  seen <- numeric()
  fit <- lstm(sine_windows$x, sine_windows$y, hidden_size = 2, max_iter = 20, n_iter_no_change = Inf,
              on_epoch = function(epoch, loss) {
                seen <<- c(seen, loss)
                epoch < 4
              })
  expect_identical(seen, as.vector(fit$about$loss_curve))
  expect_length(seen, 4)
  expect_error(
    lstm(sine_windows$x, sine_windows$y, on_epoch = function(...) stop("a fault of my own")), "a fault of my own"
  )
})

test_that("Ctrl-C ends the training and keeps what was learned", {
  skip_on_os("windows")
  x <- array(rnorm(2000 * 30), c(2000, 30, 1))
  y <- x[, 30, 1]
  interrupt_soon <- function(epoch, ...) {
    if (epoch == 2) tools::pskill(Sys.getpid(), tools::SIGINT)
    NULL
  }
  fit <- NULL
  expect_warning(
    fit <- lstm(x, y, max_iter = 1000, n_iter_no_change = Inf, on_epoch = interrupt_soon),
    class = "pylstm_interrupt_warning"
  )
  expect_true(fit$interrupted)
  expect_lt(fit$about$n_iter, 100)
  expect_length(predict(fit, x), 2000)
  further <- quietly(lstm_continue(fit, x, y, max_iter = 1))
  expect_identical(further$about$n_iter, fit$about$n_iter + 1L)
})

test_that("Ctrl-C in the fit of a time series keeps what its last network has learned", {
  skip_on_os("windows")
  interrupt_in <- function(network) {
    n_lines <- 0
    write <- function(text) {
      n_lines <<- n_lines + grepl("^epoch", text)
      if (n_lines == 30 * (network - 1) + 2) tools::pskill(Sys.getpid(), tools::SIGINT)
    }
    with_stand_in(
      "console", function(control) write,
      lstm(nottem, hidden_size = 32, max_iter = 30, verbose = 1, seed = 1)
    )
  }
  fit <- NULL
  expect_warning(fit <- interrupt_in(2), "update\\(\\) fits it again", class = "pylstm_interrupt_warning")
  expect_true(fit$interrupted)
  expect_lt(fit$about$n_iter, 30)
  expect_length(forecast(fit, h = 3)$mean, 3)
  expect_identical(tryCatch(interrupt_in(1), interrupt = function(condition) "interrupted"), "interrupted")
})

test_that("Ctrl-C is heeded once, whenever it comes, and R's own afterwards", {
  skip_on_os("windows")
  x <- sine_windows$x
  interrupted_at <- function(last) {
    heed <- function(epoch, ...) {
      if (epoch == last) tools::pskill(Sys.getpid(), tools::SIGINT)
      NULL
    }
    fit <- NULL
    withCallingHandlers(
      fit <- lstm(x, sine_windows$y, hidden_size = 2, max_iter = 40, n_iter_no_change = Inf, on_epoch = heed),
      pylstm_interrupt_warning = function(w) invokeRestart("muffleWarning")
    )
    fit
  }
  for (last in 1:20) {
    fit <- tryCatch(interrupted_at(last), interrupt = function(condition) NULL)
    expect_identical(fit$about$n_iter, last)
    expect_length(predict(fit, x), 110)
  }
  of_r <- tryCatch({
    tools::pskill(Sys.getpid(), tools::SIGINT)
    Sys.sleep(5)
  }, interrupt = function(condition) "interrupted")
  expect_identical(of_r, "interrupted")
})

test_that("an interrupt of R's within a function that Python calls reaches the training", {
  fit <- NULL
  stop_by_r <- function(epoch, ...) {
    if (epoch == 3) signalCondition(structure(class = c("interrupt", "condition"), list(message = "", call = NULL)))
    NULL
  }
  expect_warning(
    fit <- lstm(sine_windows$x, sine_windows$y, hidden_size = 2, max_iter = 9, n_iter_no_change = Inf, on_epoch = stop_by_r),
    class = "pylstm_interrupt_warning"
  )
  expect_identical(fit$about$n_iter, 3L)
})

test_that("what fits a series on the way to something else ends by its interrupt", {
  ended <- function(expr) tryCatch(expr, interrupt = function(condition) TRUE)
  with_stand_in("lstm.ts", function(...) list(interrupted = TRUE), expect_true(ended(lstm_backtest(nottem))))
})
