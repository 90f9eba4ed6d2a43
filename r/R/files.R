#' Models in files
#'
#' `lstm_save()` writes a model to a file that Python's `pylstm.interop.load_model` reads, and `lstm_load()` reads those
#' that R or Python has written. The files hold no code and can be loaded without trusting their author.
#'
#' For R alone use [saveRDS()] and [readRDS()]: they also keep the fitted values, formulas, names of features and the order
#' of a factor's levels, of which the file knows nothing.
#'
#' @param object A model of [lstm()].
#' @param file Its path; usually it ends in `.safetensors`.
#' @param optimizer Whether to keep what only further training needs. Without it the file has a third of the size.
#'
#' @return `lstm_save()`: the path, invisibly. `lstm_load()`: a model of class `lstm`; its classes are logical values, or the levels of a factor.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(nottem, window = 24)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 5, n_iter_no_change = Inf)
#' file <- tempfile(fileext = ".safetensors")
#' lstm_save(fit, file)
#' identical(predict(lstm_load(file), windows$x), predict(fit, windows$x))
#' @export
lstm_save <- function(object, file, optimizer = TRUE) {
  ask("save", live(object), path.expand(file), optimizer)
  invisible(file)
}

#' @rdname lstm_save
#' @export
lstm_load <- function(file) {
  result <- ask("load", path.expand(file))
  classes <- result$about$classes
  target <- if (is.null(classes)) {
    list(kind = "numeric")
  } else if (result$about$has_booleans) {
    list(levels = c("FALSE", "TRUE"), kind = "logical")
  } else {
    list(levels = classes, kind = "factor")
  }
  new_lstm(result, list(form = "array", features = NULL), target, lstm_control(), NULL, NULL)
}

#' The estimator in Python
#'
#' A copy of the model as Python's estimator, for scikit-learn's tools by way of reticulate. Its arrays stay Python's:
#' nothing is converted until [reticulate::py_to_r()] is asked to.
#'
#' @param object A model of [lstm()].
#'
#' @return A Python object: an `LSTMRegressor` or `LSTMClassifier`.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(nottem, window = 24)
#' fit <- lstm(windows$x, windows$y, hidden_size = 8, max_iter = 5, n_iter_no_change = Inf)
#' as_python(fit)
#' @export
as_python <- function(object) {
  bridge(convert = FALSE)$detached(live(object))
}
