#' Predict from a fitted network
#'
#' @param object A model of [lstm()].
#' @param newdata Sequences as in the fit. For a model of a formula a data frame of consecutive rows: the result has a
#'   value for each row, predicted from the rows before it, and `NA` for the first ones. For a model of a time series a series, with
#'   its own past. Without `newdata`: the fitted values.
#' @param type What to predict:
#'   - `"response"`: numbers, or classes (of several quantiles, the one nearest to the median);
#'   - `"class"`, `"prob"`: classes, or a matrix of their probabilities with a column for each level, unused ones included;
#'   - `"quantile"`: a matrix with a column for each quantile that was fitted (`loss = "quantile"`), or for each
#'     of `probs` (`loss = "gaussian"`);
#'   - `"hidden"`: the final hidden states of the top layer, features for other models.
#' @param se.fit Whether to return standard deviations too, with `loss = "gaussian"`: a list of `fit` and `se.fit`. These are
#'   deviations of the values to come, not of their mean.
#' @param interval,level With `"prediction"` a matrix of `fit`, `lwr` and `upr`, between which a value lies with the
#'   probability `level`. Takes `loss = "gaussian"`, or the quantiles `(1 - level) / 2`, and `(1 + level) / 2`.
#' @param probs Quantiles of the normal distribution, for `type = "quantile"`.
#' @param lengths Time steps of each sample of an array.
#' @param ... Refused: there are no other arguments.
#'
#' @return A vector, a factor, or a matrix with a row for each sample (a column for each target); see the arguments.
#'   With `return_sequences` predictions for each time step; for a list of sequences a list of them.
#' @examplesIf pylstm::pylstm_available()
#' windows <- lstm_windows(AirPassengers, window = 12)
#' fit <- lstm(windows$x, windows$y, loss = "gaussian", window_scaling = "mean", hidden_size = 8,
#'             max_iter = 20, n_iter_no_change = Inf)
#' newest <- windows$x[130:132, , , drop = FALSE]
#' predict(fit, newest)
#' predict(fit, newest, interval = "prediction", level = 0.8)
#' predict(fit, newest, type = "quantile", probs = c(0.05, 0.95))
#' @export
predict.lstm <- function(object, newdata, type = c("response", "class", "prob", "quantile", "hidden"), se.fit = FALSE,
                         interval = c("none", "prediction"), level = 0.95, probs = c(0.1, 0.5, 0.9), lengths = NULL,
                         ...) {
  refuse_more("predict", ...)
  type <- match.arg(type)
  interval <- match.arg(interval)
  check_type(object, type)
  if (missing(newdata)) {
    if (type %in% c("prob", "quantile", "hidden") || se.fit || interval != "none") {
      stop_pylstm("A model does not hold the sequences of its fit: pass them as newdata.")
    }
    return(object$fitted.values)
  }
  sequences <- as_in_fit(as_sequences(columns_of_fit(newdata, object), "newdata"), object)
  lengths <- as_lengths(lengths, sequences$n)
  if (interval == "prediction") {
    return(predict_interval(object, sequences, lengths, level))
  }
  if (se.fit) {
    found <- predict_std(object, sequences, lengths, "se.fit = TRUE")
    return(list(fit = named(found[[1L]], object, sequences), se.fit = named(found[[2L]], object, sequences)))
  }
  if (type == "quantile") {
    return(predict_quantiles(object, sequences, lengths, probs))
  }
  predict_sequences(object, sequences, lengths, type)
}

# What a generic's dots would swallow.
refuse_more <- function(name, ...) {
  if (...length()) {
    given <- names(list(...))
    given <- if (is.null(given)) "" else given[1L]
    stop_pylstm(
      name, "() has no argument ", if (given == "") "for a value without a name that is one too many" else given,
      " for this kind of model; see its help page."
    )
  }
}

check_type <- function(object, type) {
  if (object$about$type == "regression" && type %in% c("class", "prob")) {
    stop_pylstm("type = \"", type, "\" is for classification; this model predicts numbers.")
  }
  if (object$about$type == "classification" && type == "quantile") {
    stop_pylstm("type = \"quantile\" is for regression; this model predicts classes.")
  }
}

predict_sequences <- function(object, sequences, lengths, type) {
  if (object$about$type == "classification") {
    if (type %in% c("response", "class")) {
      codes <- ask("predict", live(object), sequences$values, lengths, "class")
      if (is.list(codes)) {
        return(stats::setNames(lapply(codes, function(steps) as_labels(as.vector(steps), object)), sequences$ids))
      }
      labels <- as_labels(if (length(dim(codes)) > 1L) codes else as.vector(codes), object)
      return(if (is.null(dim(labels)) && !is.null(sequences$ids)) stats::setNames(labels, sequences$ids) else labels)
    }
    if (type == "prob") {
      return(with_all_levels(ask("predict", live(object), sequences$values, lengths, "prob"), object, sequences))
    }
  }
  values <- ask("predict", live(object), sequences$values, lengths, type)
  if (type == "response" && length(object$about$quantiles) > 1L) {
    values <- last_slice(values, which.min(abs(object$about$quantiles - 0.5)))
  }
  if (type == "hidden") {
    dimnames(values) <- list(sequences$ids, NULL)
    return(values)
  }
  named(values, object, sequences)
}

# Probabilities by level in the order of the factor, 0 for levels that the fit has not seen.
with_all_levels <- function(prob, object, sequences) {
  if (is.list(prob)) { # a matrix for each sequence, of its time steps
    each <- lapply(prob, with_all_levels, object, list(ids = NULL))
    return(stats::setNames(each, sequences$ids))
  }
  levels <- object$levels
  if (length(dim(prob)) == 3L) {
    all <- array(0, c(dim(prob)[1:2], length(levels)), list(sequences$ids, NULL, levels))
    all[, , match(object$about$classes, levels)] <- prob
    return(all)
  }
  all <- matrix(0, nrow(prob), length(levels), dimnames = list(sequences$ids, levels))
  all[, match(object$about$classes, levels)] <- prob
  all
}

last_slice <- function(values, index) {
  if (is.list(values)) {
    return(lapply(values, last_slice, index))
  }
  shape <- dim(values)
  n <- length(shape)
  slice <- values[seq.int((index - 1L) * prod(shape[-n]) + 1L, index * prod(shape[-n]))]
  if (n > 2L) array(slice, shape[-n]) else slice
}

# A vector for one target, a matrix with names for several.
named <- function(values, object, sequences) {
  if (is.list(values)) { # predictions for the time steps of each sequence
    each <- lapply(values, function(steps) if (length(dim(steps)) == 1L) as.vector(steps) else steps)
    return(stats::setNames(each, sequences$ids))
  }
  if (length(dim(values)) <= 1L) {
    values <- as.vector(values)
    if (!is.null(sequences$ids)) names(values) <- sequences$ids
    return(values)
  }
  columns <- if (ncol(values) == length(object$targets)) object$targets
  if (length(dim(values)) == 2L && (!is.null(columns) || !is.null(sequences$ids))) {
    dimnames(values) <- list(sequences$ids, columns)
  }
  values
}

predict_std <- function(object, sequences, lengths, asked) {
  if (!tolower(object$about$loss) %in% "gaussian") {
    stop_pylstm(asked, " needs a model fitted with loss = \"gaussian\"; this one has ", object$about$loss, ".")
  }
  ask("predict", live(object), sequences$values, lengths, "std")
}

predict_quantiles <- function(object, sequences, lengths, probs) {
  if (object$about$n_targets > 1L || object$about$return_sequences) {
    stop_pylstm("type = \"quantile\" is for a single target for each sample.")
  }
  if (!is.null(object$about$quantiles)) {
    values <- ask("predict", live(object), sequences$values, lengths, "response")
    values <- matrix(values, nrow = sequences$n)
    probs <- object$about$quantiles
  } else {
    found <- predict_std(object, sequences, lengths, "type = \"quantile\"")
    values <- vapply(probs, function(p) found[[1L]] + stats::qnorm(p) * found[[2L]], numeric(sequences$n))
    dim(values) <- c(sequences$n, length(probs))
  }
  dimnames(values) <- list(sequences$ids, percent(probs))
  values
}

percent <- function(probs) paste0(format(100 * probs, trim = TRUE, digits = 7), "%")

check_probability <- function(level) {
  if (!is.numeric(level) || length(level) != 1L || is.na(level) || level <= 0 || level >= 1) {
    stop_pylstm("level must be a number between 0 and 1.")
  }
}

predict_interval <- function(object, sequences, lengths, level) {
  check_probability(level)
  bounds <- c((1 - level) / 2, (1 + level) / 2)
  quantiles <- object$about$quantiles
  if (!is.null(quantiles)) {
    at <- vapply(bounds, function(p) match(TRUE, abs(quantiles - p) < 1e-9), integer(1L))
    if (anyNA(at)) {
      stop_pylstm(
        "level = ", level, " needs the quantiles ", paste(format(bounds), collapse = " and "), "; the model has ",
        paste(format(quantiles), collapse = ", "), "."
      )
    }
    values <- ask("predict", live(object), sequences$values, lengths, "response")
    parts <- lapply(c(which.min(abs(quantiles - 0.5)), at), function(index) last_slice(values, index))
  } else {
    found <- predict_std(object, sequences, lengths, "interval = \"prediction\"")
    half <- stats::qnorm(bounds[2L]) * found[[2L]]
    parts <- list(found[[1L]], found[[1L]] - half, found[[1L]] + half)
  }
  parts <- stats::setNames(lapply(parts, named, object, sequences), c("fit", "lwr", "upr"))
  if (is.null(dim(parts$fit))) do.call(cbind, parts) else parts
}

# Of a data frame those columns that the fit had, whatever else there is.
columns_of_fit <- function(newdata, object) {
  if (is.data.frame(newdata) && length(object$features) && all(object$features %in% names(newdata))) {
    return(newdata[object$features])
  }
  newdata
}

# New sequences in the form of those of the fit: features by name, dimensions explained.
as_in_fit <- function(sequences, object) {
  about <- object$about
  if (sequences$form == "matrix" && !identical(object$form, "matrix")) {
    shape <- dim(sequences$values)
    if (about$n_features > 1L && !identical(about$n_timesteps, 1L)) {
      stop_pylstm(
        "newdata is a matrix of ", shape[1L], " x ", shape[2L], ", but the model reads arrays (samples, time steps, ",
        about$n_features, " features). If a subscript as in x[1, , ] dropped a dimension, write x[1, , , drop = FALSE]."
      )
    }
  }
  with_features(sequences, object$features, "newdata")
}

# The features in the order of the fit, where both have names.
with_features <- function(sequences, features, name) {
  given <- sequences$features
  if (is.null(features) || is.null(given) || identical(features, given)) {
    return(sequences)
  }
  at <- match(features, given)
  if (anyNA(at)) {
    stop_pylstm(
      name, " lacks the feature(s) ", paste(features[is.na(at)], collapse = ", "), " of the fit; it has ",
      paste(given, collapse = ", "), "."
    )
  }
  sequences$values <- switch(sequences$form,
    array = sequences$values[, , at, drop = FALSE],
    matrix = sequences$values[, at, drop = FALSE],
    list = lapply(sequences$values, function(sequence) sequence[, at, drop = FALSE])
  )
  sequences$features <- features
  sequences
}
