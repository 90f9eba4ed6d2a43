# A model of parsnip, by its guide "How to build a parsnip model". parsnip is looked up where it is used: the
# package does without.

#' Rows in the order of time, a prediction for each
#'
#' The tabular form of [lstm()], as tidymodels have it: the prediction of a row is read from that row and those before it, a window of
#' them, or as many as there are. What a row holds must be known when its target is predicted; the past of the target is read if a
#' column holds it.
#'
#' @param x A numeric data frame or matrix of predictors, whose rows are consecutive time steps.
#' @param y The targets, one for each row: numbers, or a factor.
#' @param window Rows that are read for each.
#' @param ... As for [lstm()].
#'
#' @return A model of [lstm()] whose [predict()][predict.lstm] takes rows like those of `x` and gives a value for each.
#' @seealso [lstm_spec()], the same for parsnip and workflows.
#' @examplesIf pylstm::pylstm_available()
#' prices <- data.frame(EuStockMarkets[1:200, ])
#' tomorrow <- c(prices$DAX[-1], NA)[-200]
#' fit <- lstm_rows(prices[-200, ], tomorrow, window = 10, hidden_size = 8, max_iter = 20, tol = 0)
#' predict(fit, prices[190:200, ])
#' @export
lstm_rows <- function(x, y, window = 20, ...) {
  window <- as_whole(window, "window", 1)
  x <- series_matrix(x)
  past <- past_of_rows(x, window)
  object <- lstm.default(past$values, y, ..., lengths = past$lengths)
  object$call <- match.call()
  object$window <- window
  class(object) <- c("lstm_rows", "lstm")
  object
}

# For each row an array of the rows up to it; what lies before the first is no part of the sequence.
past_of_rows <- function(x, window) {
  n <- nrow(x)
  lengths <- pmin(seq_len(n), window)
  rows <- outer(seq_len(n) - lengths, seq_len(window), `+`)
  rows[outer(lengths, seq_len(window), `<`)] <- NA
  values <- array(x[rows, , drop = FALSE], c(n, window, ncol(x)), list(NULL, NULL, colnames(x)))
  list(values = values, lengths = lengths)
}

#' @export
predict.lstm_rows <- function(object, newdata, ...) {
  if (missing(newdata)) {
    return(NextMethod())
  }
  past <- past_of_rows(series_matrix(columns_of_fit(newdata, object), "newdata"), object$window)
  predict.lstm(object, past$values, lengths = past$lengths, ...)
}

#' An LSTM for parsnip
#'
#' A model specification with the engine `"pylstm"`, which is [lstm_rows()]. Rows are consecutive time steps: resample them in order,
#' by `rsample::sliding_period()` or `initial_time_split()`.
#'
#' @param mode `"regression"` or `"classification"`.
#' @param engine `"pylstm"`.
#' @param window,hidden_units,num_layers,epochs,learn_rate,penalty,dropout The arguments `window` of [lstm_rows()], and `hidden_size`,
#'   `num_layers`, `max_iter`, `learning_rate_init`, `alpha` and `dropout` of [lstm_control()]; others are passed to
#'   `set_engine()`. Each may be `tune()`.
#'
#' @return A model specification of parsnip.
#' @examplesIf requireNamespace("parsnip", quietly = TRUE) && pylstm::pylstm_available()
#' spec <- lstm_spec("regression", window = 10, hidden_units = 8, epochs = 20)
#' fit <- parsnip::fit(spec, DAX ~ SMI + CAC, data.frame(EuStockMarkets[1:200, ]))
#' predict(fit, data.frame(EuStockMarkets[201:210, ]))
#' @export
lstm_spec <- function(mode = "unknown", engine = "pylstm", window = NULL, hidden_units = NULL, num_layers = NULL,
                      epochs = NULL, learn_rate = NULL, penalty = NULL, dropout = NULL) {
  if (!requireNamespace("parsnip", quietly = TRUE)) {
    stop_pylstm("lstm_spec() needs the package parsnip.")
  }
  register_parsnip()
  parsnip("new_model_spec")(
    "lstm_spec",
    args = list(
      window = rlang::enquo(window), hidden_units = rlang::enquo(hidden_units), num_layers = rlang::enquo(num_layers),
      epochs = rlang::enquo(epochs), learn_rate = rlang::enquo(learn_rate), penalty = rlang::enquo(penalty),
      dropout = rlang::enquo(dropout)
    ),
    eng_args = NULL, mode = mode, method = NULL, engine = engine
  )
}

parsnip <- function(name) getExportedValue("parsnip", name)

# parsnip's names, and ours.
parsnip_arguments <- c(
  window = "window", hidden_units = "hidden_size", num_layers = "num_layers", epochs = "max_iter",
  learn_rate = "learning_rate_init", penalty = "alpha", dropout = "dropout"
)

#' @export
update.lstm_spec <- function(object, parameters = NULL, window = NULL, hidden_units = NULL, num_layers = NULL,
                             epochs = NULL, learn_rate = NULL, penalty = NULL, dropout = NULL, fresh = FALSE, ...) {
  arguments <- list(
    window = rlang::enquo(window), hidden_units = rlang::enquo(hidden_units), num_layers = rlang::enquo(num_layers),
    epochs = rlang::enquo(epochs), learn_rate = rlang::enquo(learn_rate), penalty = rlang::enquo(penalty),
    dropout = rlang::enquo(dropout)
  )
  parsnip("update_spec")(
    object = object, parameters = parameters, args_enquo_list = arguments, fresh = fresh, cls = "lstm_spec", ...
  )
}

#' @export
print.lstm_spec <- function(x, ...) {
  cat("LSTM Model Specification (", x$mode, ")\n\n", sep = "")
  parsnip("model_printer")(x, ...)
  invisible(x)
}

# Makes the model known to parsnip, once a session.
register_parsnip <- function() {
  if ("lstm_spec" %in% parsnip("get_model_env")()$models) {
    return(invisible())
  }
  tell <- function(what, ...) parsnip(paste0("set_", what))(...)
  tell("new_model", "lstm_spec")
  dials <- c(
    window = "window_size", hidden_units = "hidden_units", num_layers = "num_terms", epochs = "epochs",
    learn_rate = "learn_rate", penalty = "penalty", dropout = "dropout"
  )
  for (mode in c("regression", "classification")) {
    tell("model_mode", "lstm_spec", mode)
    tell("model_engine", "lstm_spec", mode, "pylstm")
    tell("dependency", "lstm_spec", "pylstm", "pylstm", mode = mode)
    tell("fit", "lstm_spec", mode, "pylstm", list(
      interface = "data.frame", protect = c("x", "y", "weights"), func = c(pkg = "pylstm", fun = "lstm_rows"), defaults = list()
    ))
    tell("encoding", "lstm_spec", mode, "pylstm", list(
      predictor_indicators = "one_hot", compute_intercept = FALSE, remove_intercept = TRUE, allow_sparse_x = FALSE
    ))
  }
  for (argument in names(parsnip_arguments)) {
    tell(
      "model_arg", "lstm_spec", "pylstm", argument, parsnip_arguments[[argument]],
      list(pkg = "dials", fun = dials[[argument]]), has_submodel = FALSE
    )
  }
  predicts <- function(mode, parsnips, ours, post = NULL) {
    tell("pred", "lstm_spec", mode, "pylstm", parsnips, list(
      pre = NULL, post = post, func = c(fun = "predict"),
      args = list(object = quote(object$fit), newdata = quote(new_data), type = ours)
    ))
  }
  predicts("regression", "numeric", "response")
  predicts("classification", "class", "class")
  predicts("classification", "prob", "prob", function(result, object) {
    getExportedValue("tibble", "as_tibble")(result)
  })
}
