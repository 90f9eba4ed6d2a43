# What R users hold becomes what they mean.

skip_without_pylstm()

settings <- lstm_control(hidden_size = 3, max_iter = 2)
fit_to <- function(x, y, ...) quietly(lstm(x, y, control = settings, seed = 1, ...))

test_that("whole numbers may be doubles", {
  x <- sine_windows$x
  fit <- fit_to(x, sine_windows$y, lengths = rep(10, nrow(x)), batch_size = 16)
  expect_identical(fit$about$hidden_size, 3L)
  expect_identical(
    predict(fit, x, lengths = rep(10, nrow(x))),
    predict(fit, x, lengths = rep(10L, nrow(x)))
  )
  expect_error(lstm(x, sine_windows$y, lengths = rep(9.5, nrow(x))), "whole numbers")
})

test_that("NA of any type is missing", {
  whole <- matrix(1:60, 10)
  y <- rowSums(whole)
  for (missing in list(NA, NA_integer_, NA_real_, NaN)) {
    x <- whole
    x[2, 3] <- missing
    expect_error(fit_to(x, y), "x has missing values", class = "pylstm_error")
    fit <- expect_silent(fit_to(x, y, missing = "mask"))
    as_nan <- whole + 0
    as_nan[2, 3] <- NaN
    expect_identical(predict(fit, x), predict(fit, as_nan))
  }
  logical <- matrix(rep(c(TRUE, FALSE, NA), 20), 10)
  fit <- fit_to(logical, y, missing = "mask")
  expect_identical(predict(fit, logical), predict(fit, logical + 0))
  expect_error(fit_to(whole, replace(y, 3, NA)), "1 missing value")
  expect_error(fit_to(walks$x, replace(walks$y, 3, NA)), "1 missing or unknown label")
})

test_that("arrays of doubles reach Python in R's own memory", {
  skip_if_not(capabilities("profmem"))
  x <- sine_windows$x + 0
  before <- tracemem(x)
  passed <- get("as_sequences", asNamespace("pylstm"))(x)$values
  expect_identical(tracemem(passed), before)
  untracemem(x)
  there <- reticulate::r_to_py(x)
  expect_true(reticulate::py_to_r(there$flags["F_CONTIGUOUS"]))
  expect_false(reticulate::py_to_r(there$flags["OWNDATA"]))
})

test_that("missing and infinite targets and values are named as R knows them", {
  x <- sine_windows$x
  expect_error(lstm(x, cbind(sine_windows$y, NA)), "^y has missing values")
  expect_error(lstm(replace(x, 3, Inf), sine_windows$y), "^x has infinite values")
})

test_that("time steps of NA at the end are padding", {
  x <- array(rnorm(20 * 6), c(20, 6, 1))
  padded <- x
  padded[1:10, 5:6, ] <- NA
  y <- x[, 1, 1]
  fit <- fit_to(padded, y)
  expect_identical(fitted(fit), fitted(fit_to(x, y, lengths = rep(c(4, 6), each = 10))))
})

test_that("factors keep levels, order and unused levels", {
  fit <- fit_to(walks$x, walks$y)
  expect_identical(levels(predict(fit, walks$x)), c("up", "flat", "down"))
  prob <- predict(fit, walks$x, type = "prob")
  expect_identical(colnames(prob), c("up", "flat", "down"))
  expect_identical(unname(prob[, "flat"]), numeric(60))
  expect_equal(rowSums(prob), rep(1, 60), tolerance = 1e-6)
  ordered <- factor(walks$y, levels = c("down", "flat", "up"), ordered = TRUE)
  expect_s3_class(predict(fit_to(walks$x, ordered), walks$x), "ordered")
  expect_type(predict(fit_to(walks$x, as.character(walks$y)), walks$x), "character")
  expect_type(predict(fit_to(walks$x, walks$y == "up"), walks$x), "logical")
  expect_identical(
    as.character(predict(fit, walks$x)),
    predict(fit_to(walks$x, as.character(walks$y)), walks$x)
  )
})

test_that("matrices, data frames and lists of vectors are sequences", {
  frame <- as.data.frame(walks$x)
  y <- walks$x[, 8]
  from_matrix <- fitted(fit_to(walks$x, y))
  expect_identical(unname(fitted(fit_to(frame, y))), from_matrix)
  expect_identical(fitted(fit_to(array(walks$x, c(60, 8, 1)), y)), from_matrix)
  expect_identical(fitted(fit_to(lapply(seq_len(60), function(row) walks$x[row, ]), y)), from_matrix)
  named <- frame
  named$V1 <- letters[1:2]
  expect_error(fit_to(named, y), "no numbers: V1")
})

test_that("features are found by their names", {
  x <- array(rnorm(30 * 4 * 2), c(30, 4, 2), list(NULL, NULL, c("a", "b")))
  fit <- fit_to(x, x[, 4, "a"])
  expect_identical(predict(fit, x[, , c("b", "a")]), predict(fit, x))
  dimnames(x)[[3]] <- c("a", "c")
  expect_error(predict(fit, x), "lacks the feature\\(s\\) b")
  frame <- as.data.frame(walks$x)
  fit <- fit_to(frame, walks$y)
  expect_identical(predict(fit, rev(frame)), predict(fit, frame))
})

test_that("names of samples and targets are kept", {
  x <- walks$x
  rownames(x) <- paste0("walk", seq_len(60))
  fit <- fit_to(x, cbind(first = x[, 1], last = x[, 8]))
  expect_identical(dimnames(predict(fit, x)), list(rownames(x), c("first", "last")))
  expect_named(predict(fit_to(x, walks$y), x[1:2, ]), c("walk1", "walk2"))
})

test_that("features are named, or counted from 1, in settings", {
  x <- array(rnorm(40 * 5 * 2), c(40, 5, 2), list(NULL, NULL, c("level", "flag")))
  y <- x[, 5, "level"]
  by_name <- fit_to(x, y, window_scaling = "last", window_features = "level")
  by_number <- fit_to(x, y, window_scaling = "last", window_features = 1)
  expect_identical(fitted(by_name), fitted(by_number))
  expect_error(fit_to(x, y, window_scaling = "last", window_features = 3), "feature 3 of 2")
  expect_error(fit_to(x, y, window_scaling = "last", window_features = "no"), "names 'no'")
})

test_that("NULL and Inf mean what they mean in Python", {
  fit <- quietly(lstm(sine_windows$x, sine_windows$y, hidden_size = 2, max_iter = 3, n_iter_no_change = Inf,
                      max_grad_norm = NULL, seed = 1))
  expect_identical(fit$about$n_iter, 3L)
})

test_that("schedules, averages and losses travel", {
  fit <- quietly(lstm(sine_windows$x, sine_windows$y, hidden_size = 2, max_iter = 6, learning_rate = cosine_decay(warm_up = 2),
                      averaging = ema(0.9), loss = huber_loss(2), seed = 1))
  there <- in_python("
from pylstm.training import CosineDecay, EMA
from pylstm.core import Huber
model = pylstm.LSTMRegressor(2, max_iter=6, learning_rate=CosineDecay(warm_up=2), averaging=EMA(0.9), loss=Huber(2), random_state=1)
result = model.fit(as_c(X), y).predict(as_c(X))
", X = sine_windows$x, y = array(sine_windows$y))
  expect_identical(fitted(fit), there)
})

test_that("each schedule and average is one of Python's", {
  for (rate in list(step_decay(2, 0.9), cosine_decay(1, 0.1), reduce_on_plateau(0.5, 1, 1e-3, 0.1))) {
    expect_identical(fit_to(sine_windows$x, sine_windows$y, learning_rate = rate)$about$n_iter, 2L)
  }
  for (average in list(ema(0.9), swa(0.5))) {
    expect_identical(fit_to(sine_windows$x, sine_windows$y, averaging = average)$about$n_iter, 2L)
  }
  expect_output(print(step_decay(2, 0.9)), "StepDecay\\(every = 2, factor = 0.9\\)")
})

test_that("set.seed governs the fit, and a seed leaves R's generator alone", {
  set.seed(5)
  first <- fitted(quietly(lstm(sine_windows$x, sine_windows$y, control = settings)))
  second <- fitted(quietly(lstm(sine_windows$x, sine_windows$y, control = settings)))
  set.seed(5)
  expect_identical(fitted(quietly(lstm(sine_windows$x, sine_windows$y, control = settings))), first)
  expect_false(identical(first, second))
  before <- .Random.seed
  fit_to(sine_windows$x, sine_windows$y)
  expect_identical(.Random.seed, before)
})

test_that("class weights are named", {
  weighted <- fit_to(walks$x, walks$y, class_weight = c(up = 1, down = 5))
  expect_gt(sum(predict(weighted, walks$x) == "down"), 0)
  expect_false(identical(
    predict(weighted, walks$x, type = "prob"), predict(fit_to(walks$x, walks$y), walks$x, type = "prob")
  ))
  expect_error(fit_to(walks$x, walks$y, class_weight = c(1, 5)), "names of classes")
})

test_that("outputs at each time step", {
  x <- array(rnorm(30 * 6), c(30, 6, 1))
  steps <- t(apply(x[, , 1], 1, cumsum))
  fit <- fit_to(x, steps, return_sequences = TRUE)
  expect_identical(dim(predict(fit, x)), c(30L, 6L))
  expect_equal(residuals(fit), steps - fitted(fit))
  signs <- ifelse(steps > 0, "plus", "minus")
  fit <- fit_to(x, signs, return_sequences = TRUE)
  expect_identical(dim(predict(fit, x)), c(30L, 6L))
  expect_identical(dim(predict(fit, x, type = "prob")), c(30L, 6L, 2L))
  ragged <- lapply(1:30, function(i) x[i, seq_len(3 + i %% 4), 1])
  fit <- fit_to(ragged, lapply(ragged, cumsum), return_sequences = TRUE)
  expect_equal(residuals(fit)[[5]], cumsum(ragged[[5]]) - fitted(fit)[[5]])
  expect_identical(lengths(predict(fit, ragged)), lengths(ragged))
  fit <- fit_to(ragged, lapply(ragged, function(x) ifelse(cumsum(x) > 0, "plus", "minus")), return_sequences = TRUE)
  expect_identical(lengths(predict(fit, ragged)), lengths(ragged))
  expect_identical(dim(predict(fit, ragged, type = "prob")[[1]]), c(4L, 2L))
})
