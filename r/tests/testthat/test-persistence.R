# Models are R objects: they are saved, and predict the same bits elsewhere.

skip_without_pylstm()

test_that("saveRDS and readRDS, in this process and in a fresh one", {
  file <- tempfile(fileext = ".rds")
  saveRDS(sine_fit(), file)
  expect_identical(predict(readRDS(file), sine_windows$x), predict(sine_fit(), sine_windows$x))

  script <- sprintf(
    "library(pylstm); fit <- readRDS('%s'); x <- lstm_windows(sin(1:120 / 5) + cos(1:120 / 3), 10)$x; saveRDS(predict(fit, x), '%s')",
    file, file
  )
  status <- system2(file.path(R.home("bin"), "Rscript"), c("-e", shQuote(script)), env = paste0("R_LIBS=", paste(.libPaths(), collapse = .Platform$path.sep)))
  expect_identical(status, 0L)
  expect_identical(readRDS(file), predict(sine_fit(), sine_windows$x))
})

test_that("a saved workspace", {
  file <- tempfile(fileext = ".RData")
  fit <- sine_fit()
  gas <- lstm(UKgas, hidden_size = 2, max_iter = 2, seed = 1)
  save(fit, gas, file = file) # as save.image() does of all
  there <- new.env()
  load(file, there)
  expect_identical(predict(there$fit, sine_windows$x), predict(fit, sine_windows$x))
  expect_identical(forecast(there$gas, h = 6)$upper, forecast(gas, h = 6)$upper)
})

test_that("the bytes are a safetensors file, and no pickle", {
  bytes <- sine_fit()$bytes
  expect_type(bytes, "raw")
  length <- sum(as.integer(bytes[1:8]) * 256^(0:7))
  header <- rawToChar(bytes[8 + seq_len(length)])
  expect_match(header, "^\\{.*\"data_offsets\"")
  file <- tempfile()
  lstm_save(sine_fit(), file)
  expect_identical(readBin(file, "raw", 1e6), bytes)
})

test_that("a loaded model is one as others", {
  file <- tempfile()
  lstm_save(sine_fit(), file)
  loaded <- lstm_load(file)
  expect_output(print(summary(loaded)), "8 epochs")
  expect_identical(coef(loaded), coef(sine_fit()))
  expect_error(residuals(loaded), "fitted in R")
  copy <- unserialize(serialize(loaded, NULL))
  expect_identical(predict(copy, sine_windows$x), predict(sine_fit(), sine_windows$x))
  further <- quietly(lstm_continue(loaded, sine_windows$x, sine_windows$y, max_iter = 2))
  expect_identical(
    fitted(further), fitted(quietly(lstm_continue(sine_fit(), sine_windows$x, sine_windows$y, max_iter = 2)))
  )
})

test_that("workers of a cluster, and forked ones", {
  cluster <- parallel::makePSOCKcluster(1)
  on.exit(parallel::stopCluster(cluster))
  parallel::clusterCall(cluster, .libPaths, .libPaths())
  parallel::clusterEvalQ(cluster, library(pylstm))
  there <- parallel::parLapply(cluster, list(sine_windows$x), function(x, fit) predict(fit, x), fit = sine_fit())
  expect_identical(there[[1]], predict(sine_fit(), sine_windows$x))

  skip_on_os("windows")
  forked <- parallel::mclapply(1:2, function(k) {
    fit <- quietly(lstm(sine_windows$x, sine_windows$y, hidden_size = 6, max_iter = 8, seed = 1))
    list(predict(sine_fit(), sine_windows$x), fitted(fit))
  }, mc.cores = 2)
  expect_identical(forked[[1]][[1]], predict(sine_fit(), sine_windows$x))
  expect_identical(forked[[2]][[2]], fitted(sine_fit()))
})

test_that("a file of R loads in Python, and the other way", {
  file <- tempfile(fileext = ".safetensors")
  lstm_save(sine_fit(), file)
  there <- in_python("
from pylstm.interop import load_model, save_model
model = load_model(file)
result = model.predict(as_c(X))
save_model(model.set_params(), file)
", file = file, X = sine_windows$x)
  expect_identical(there, predict(sine_fit(), sine_windows$x))
  expect_identical(predict(lstm_load(file), sine_windows$x), there)
  expect_error(lstm_load(tempfile()), class = "pylstm_error")

  fit <- quietly(lstm(walks$x, walks$y, hidden_size = 2, max_iter = 2))
  lstm_save(fit, file, optimizer = FALSE)
  expect_identical(as.character(predict(lstm_load(file), walks$x)), as.character(predict(fit, walks$x)))
  fit <- quietly(lstm(walks$x, walks$y == "up", hidden_size = 2, max_iter = 2))
  lstm_save(fit, file)
  expect_identical(predict(lstm_load(file), walks$x), predict(fit, walks$x))
  expect_true(in_python("from pylstm.interop import load_model\nresult = load_model(file).classes_.dtype == bool", file = file))
})

test_that("forecasters too", {
  fit <- lstm(UKgas, hidden_size = 2, max_iter = 2, seed = 1)
  copy <- unserialize(serialize(fit, NULL))
  expect_identical(forecast(copy, h = 6)$upper, forecast(fit, h = 6)$upper)
  expect_identical(predict(copy, UKgas), fitted(fit))
})

test_that("training goes on from a copy as from the model, and leaves it alone", {
  fit <- sine_fit()
  before <- predict(fit, sine_windows$x)
  copy <- unserialize(serialize(fit, NULL))
  further <- quietly(lstm_continue(fit, sine_windows$x, sine_windows$y, max_iter = 2))
  of_copy <- quietly(lstm_continue(copy, sine_windows$x, sine_windows$y, max_iter = 2))
  expect_identical(fitted(further), fitted(of_copy))
  expect_identical(predict(fit, sine_windows$x), before)
  expect_false(identical(fitted(further), before))
})

test_that("the estimator is Python's, and a copy", {
  model <- as_python(sine_fit())
  expect_s3_class(model, "python.builtin.object")
  expect_identical(reticulate::py_to_r(model$hidden_size), 6L)
  model$set_params(hidden_size = 99L)
  expect_identical(reticulate::py_to_r(as_python(sine_fit())$hidden_size), 6L)
})
