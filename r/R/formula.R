# Windows of a data frame's rows, by a formula.

#' @rdname lstm
#' @export
lstm.formula <- function(formula, data, window, horizon = 1, group = NULL, known = NULL, ..., control = NULL,
                         weights = NULL, on_epoch = NULL, seed = NULL) {
  call <- match.call()
  call[[1L]] <- quote(lstm)
  if (missing(data) || missing(window)) {
    stop_pylstm("A formula needs data, a data frame of consecutive time steps, and window, how many of them are read.")
  }
  if (length(formula) != 3L) {
    stop_pylstm("The formula has no left-hand side: name the variable to predict, as in sales ~ .")
  }
  control <- collect_control(control, list(...))
  plan <- list(
    window = as_whole(window, "window", 1), horizon = as_whole(horizon, "horizon", 0), group = group, formula = formula
  )
  if (length(plan$horizon) != 1L) {
    stop_pylstm("A formula predicts one horizon; several are predicted from the windows of lstm_windows().")
  }
  data <- as_frame(data)
  without <- data[setdiff(names(data), group)]
  environment <- environment(formula)
  plan <- c(plan, planned_terms(stats::as.formula(call("~", formula[[3L]]), environment), data, without))
  if (!is.null(known)) {
    if (!inherits(known, "formula") || length(known) != 2L) {
      stop_pylstm("known must be a formula without a left-hand side, as ~ price + holiday.")
    }
    plan$known <- planned_terms(known, data, without)
  }
  features <- plan_features(plan, data)
  response <- eval(formula[[2L]], data, environment)

  starts <- plan_starts(plan, data)
  rows <- starts + plan$window - 1L + plan$horizon
  target <- as_target(if (length(dim(response)) == 2L) response[rows, , drop = FALSE] else response[rows])
  sequences <- list(
    values = cut_windows(features, starts, plan$window), n = length(starts), form = "array",
    features = colnames(features)
  )
  if (!is.null(call$weights)) {
    weights <- as_weights(eval(call$weights, data, parent.frame()), nrow(data))[rows]
  }
  object <- fit_network(
    sequences, target, control,
    weights = weights, on_epoch = on_epoch, seed = seed, call = call
  )
  object$plan <- plan
  object$rows <- rows
  object$n_rows <- nrow(data)
  # What the next forecasts are made from
  object$last <- data[seq.int(max(1L, nrow(data) - plan$window - plan$horizon + 2L), nrow(data)), , drop = FALSE]
  class(object) <- c("lstm_formula", "lstm")
  object
}

as_frame <- function(data) {
  if (stats::is.ts(data) || is.matrix(data)) as.data.frame(data) else if (is.data.frame(data)) data else
    stop_pylstm("data must be a data frame or a multivariate time series.")
}

# What is to be found again in other data: variables, and levels of factors.
planned_terms <- function(formula, data, without) {
  frame <- stats::model.frame(stats::terms(formula, data = without), data, na.action = stats::na.pass)
  terms <- stats::terms(frame)
  list(terms = terms, xlevels = stats::.getXlevels(terms, frame))
}

# The columns that the network reads. Factors have a column for each level: nothing is left to an intercept.
model_features <- function(plan, frame) {
  is_factor <- vapply(frame, function(column) is.factor(column) || is.character(column), logical(1L))
  full <- lapply(frame[is_factor], function(column) stats::contrasts(as.factor(column), contrasts = FALSE))
  features <- stats::model.matrix(plan$terms, frame, contrasts.arg = if (length(full)) full)
  features <- features[, colnames(features) != "(Intercept)", drop = FALSE]
  dimnames(features) <- list(NULL, colnames(features))
  if (ncol(features) == 0L) {
    stop_pylstm("The formula names nothing to read on its right-hand side.")
  }
  features
}

# First rows of the windows: those within one group.
plan_starts <- function(plan, data) {
  if (is.null(plan$group)) {
    return(window_starts(nrow(data), plan$window, plan$horizon))
  }
  if (!plan$group %in% names(data)) {
    stop_pylstm("group must be the name of a column of data, not '", plan$group, "'.")
  }
  groups <- rle(as.character(data[[plan$group]]))
  if (anyDuplicated(groups$values)) {
    stop_pylstm("Rows of one ", plan$group, " must follow each other: sort data by ", plan$group, " and time.")
  }
  firsts <- cumsum(c(1L, groups$lengths))[seq_along(groups$lengths)]
  starts <- unlist(Map(function(first, length) {
    last <- first + length - plan$window - plan$horizon
    if (last >= first) seq.int(first, last)
  }, firsts, groups$lengths))
  if (is.null(starts)) {
    stop_pylstm("No ", plan$group, " has the ", plan$window + plan$horizon, " rows that one window and its target need.")
  }
  starts
}

# What is read at each row: those that are known in advance `horizon` rows ahead, of `coming` those after the last one.
plan_features <- function(plan, data, coming = NULL) {
  features <- features_of(plan, data)
  if (is.null(plan$known)) {
    return(features)
  }
  known <- rbind(features_of(plan$known, data), if (!is.null(coming)) features_of(plan$known, coming))
  later <- known[pmin(seq_len(nrow(features)) + plan$horizon, nrow(known)), , drop = FALSE]
  if (plan$horizon > 0L) {
    colnames(later) <- paste0(colnames(later), "(t+", plan$horizon, ")")
  }
  cbind(features, later)
}

features_of <- function(plan, data) {
  frame <- tryCatch(
    stats::model.frame(stats::delete.response(plan$terms), data, na.action = stats::na.pass, xlev = plan$xlevels),
    error = function(e) stop_pylstm("newdata does not fit the formula: ", conditionMessage(e))
  )
  model_features(plan, frame)
}

#' @export
predict.lstm_formula <- function(object, newdata, ...) {
  if (missing(newdata)) {
    return(NextMethod())
  }
  plan <- object$plan
  data <- as_frame(newdata)
  features <- plan_features(plan, data)
  starts <- plan_starts(plan, data)
  windows <- cut_windows(features, starts, plan$window)
  by_row(predict.lstm(object, windows, ...), starts + plan$window - 1L + plan$horizon, nrow(data))
}

# Predictions at their rows; NA where there is no window before.
by_row <- function(predicted, rows, n) {
  if (is.list(predicted)) {
    return(lapply(predicted, by_row, rows, n))
  }
  at <- rep(NA_integer_, n)
  at[rows] <- seq_along(rows)
  if (length(dim(predicted)) == 2L) predicted[at, , drop = FALSE] else predicted[at]
}
