# From what R users hold to what the network reads. Doubles pass as they are, in R's order and without a copy;
# everything else becomes doubles here, so that every NA is the NaN that it means.

# Sequences of any form: `values` for Python, and what is known of samples and features.
as_sequences <- function(x, name = "x") {
  if (is.data.frame(x)) {
    return(matrix_sequences(frame_values(x, name), name))
  }
  if (inherits(x, "lstm_windows")) {
    stop_pylstm(name, " is what lstm_windows() returns, which holds both: pass its x and its y.")
  }
  if (is.list(x)) {
    return(list_sequences(x, name))
  }
  if (length(dim(x)) == 2L) {
    return(matrix_sequences(as_double(x, name), name))
  }
  if (length(dim(x)) == 3L) {
    x <- as_double(x, name)
    return(list(values = x, n = nrow(x), form = "array", ids = dimnames(x)[[1L]], features = dimnames(x)[[3L]]))
  }
  if (length(dim(x)) > 3L) {
    stop_pylstm(name, " has ", length(dim(x)), " dimensions; it must have three: samples, time steps, features.")
  }
  stop_pylstm(
    name, " is ", a_vector(x), ", but must be an array (samples, time steps, features). If x[1, , ] dropped dimensions, ",
    "write x[1, , , drop = FALSE]. A series is fitted by lstm(ts(x)), and its windows are cut by lstm_windows()."
  )
}

a_vector <- function(x) {
  if (stats::is.ts(x)) "one time series" else paste("a vector of length", length(x))
}

matrix_sequences <- function(x, name) {
  warn_of_embed(x, name)
  list(values = x, n = nrow(x), form = "matrix", ids = rownames(x), features = colnames(x))
}

list_sequences <- function(x, name) {
  if (length(x) == 0L) {
    stop_pylstm(name, " is an empty list.")
  }
  values <- Map(function(sequence, position) {
    label <- paste0(name, "[[", position, "]]")
    if (is.data.frame(sequence)) {
      return(frame_values(sequence, label))
    }
    if (is.null(dim(sequence)) || length(dim(sequence)) == 1L) {
      sequence <- matrix(sequence, ncol = 1L)
    }
    if (length(dim(sequence)) != 2L) {
      stop_pylstm(label, " has ", length(dim(sequence)), " dimensions; it must be a matrix of time steps and features.")
    }
    as_double(sequence, label)
  }, unname(x), seq_along(x))
  list(values = values, n = length(x), form = "list", ids = names(x), features = colnames(values[[1L]]))
}

# Numbers and NA as doubles. Attributes other than dimensions and their names would only travel along.
as_double <- function(x, name) {
  if (is.double(x) && !is.object(x)) {
    return(x)
  }
  if (inherits(x, c("Date", "POSIXt", "difftime")) || !(is.numeric(x) || is.logical(x))) {
    stop_pylstm(name, " must hold numbers, not ", class(x)[1L], ".")
  }
  shape <- dim(x)
  names_of_shape <- dimnames(x)
  x <- as.double(x)
  dim(x) <- shape
  dimnames(x) <- names_of_shape
  x
}

frame_values <- function(x, name) {
  numeric <- vapply(x, function(column) {
    (is.numeric(column) || is.logical(column)) && !inherits(column, c("Date", "POSIXt", "difftime"))
  }, logical(1L))
  if (!all(numeric)) {
    stop_pylstm(
      "Columns of ", name, " that hold no numbers: ", paste(names(x)[!numeric], collapse = ", "),
      ". Leave them out, or turn them into numbers (stats::model.matrix() does so for factors)."
    )
  }
  values <- vapply(x, as.double, numeric(nrow(x)))
  dim(values) <- dim(x)
  row_names <- if (is.character(attr(x, "row.names"))) attr(x, "row.names")
  dimnames(values) <- list(row_names, names(x))
  values
}

# stats::embed() gives the newest value first: then each row, shifted by one to the left, is the row before.
warn_of_embed <- function(x, name) {
  rows <- seq_len(min(nrow(x), 50L))
  if (length(rows) < 3L || ncol(x) < 2L) {
    return(invisible())
  }
  head <- x[rows, , drop = FALSE]
  earlier <- head[-nrow(head), -ncol(head)]
  later <- head[-1L, -1L]
  newest_first <- identical(as.vector(earlier), as.vector(later))
  if (newest_first && stats::var(as.vector(head), na.rm = TRUE) > 0) {
    warn_pylstm(
      "The columns of ", name, " run from the newest value to the oldest, as those of embed(). An LSTM reads from left to right: ",
      "pass ", name, "[, ncol(", name, "):1], or cut the windows by lstm_windows().",
      class = "pylstm_embed_warning"
    )
  }
}

# Targets: numbers, or codes of levels from 0.
as_target <- function(y, name = "y") {
  if (is.null(y)) {
    stop_pylstm(name, " is missing: the targets, one for each sample.")
  }
  if (is.data.frame(y)) {
    y <- if (ncol(y) == 1L) y[[1L]] else frame_values(y, name)
  }
  if (is.list(y)) {
    return(list_target(y, name))
  }
  if (is.numeric(y) && !inherits(y, c("factor", "Date", "POSIXt", "difftime"))) {
    return(numeric_target(y, name))
  }
  if (!(is.factor(y) || is.character(y) || is.logical(y))) {
    stop_pylstm(name, " must be numbers (regression), or a factor, strings or logical values (classification), not ",
                class(y)[1L], ".")
  }
  levels <- levels_of(y)
  codes <- codes_of(y, levels, name)
  list(values = codes, n = NROW(y), type = "classification", levels = levels, kind = kind_of(y), names = NULL)
}

numeric_target <- function(y, name) {
  columns <- colnames(y)
  if (length(dim(y)) == 2L && ncol(y) == 1L) {
    y <- as.vector(y)
  }
  shape <- if (length(dim(y)) > 1L) dim(y) else length(y)
  y <- as.double(y)
  dim(y) <- shape
  if (anyNA(y) && length(shape) == 1L) {
    stop_pylstm(name, " has ", sum(is.na(y)), " missing value(s): leave out these samples.")
  }
  list(values = y, n = shape[1L], type = "regression", levels = NULL, kind = "numeric", names = columns)
}

# One vector (or, for several targets, matrix) a sample: targets of each time step.
list_target <- function(y, name) {
  if (all(vapply(y, is.numeric, logical(1L))) && !any(vapply(y, is.factor, logical(1L)))) {
    values <- lapply(unname(y), function(steps) numeric_target(steps, name)$values)
    return(list(values = values, n = length(y), type = "regression", levels = NULL, kind = "numeric", names = NULL))
  }
  levels <- levels_of(unlist(y))
  values <- lapply(unname(y), codes_of, levels = levels, name = name)
  list(values = values, n = length(y), type = "classification", levels = levels, kind = kind_of(y[[1L]]), names = NULL)
}

levels_of <- function(y) {
  if (is.factor(y)) {
    return(levels(y))
  }
  if (is.logical(y)) c("FALSE", "TRUE") else sort(unique(as.vector(y)), method = "radix")
}

kind_of <- function(y) {
  if (is.ordered(y)) "ordered" else if (is.factor(y)) "factor" else if (is.logical(y)) "logical" else "character"
}

codes_of <- function(y, levels, name) {
  codes <- match(as.character(y), levels)
  if (anyNA(codes)) {
    stop_pylstm(name, " has ", sum(is.na(codes)), " missing or unknown label(s): leave out these samples.")
  }
  array(codes - 1L, if (is.null(dim(y))) length(y) else dim(y))
}

# Labels from their codes in the order of Python's classes.
as_labels <- function(codes, object) {
  labels <- object$about$classes[codes + 1L]
  if (length(dim(codes)) > 1L) {
    dim(labels) <- dim(codes)
    return(if (object$kind == "logical") labels == "TRUE" else labels)
  }
  switch(object$kind,
    character = labels,
    logical = labels == "TRUE",
    factor(labels, levels = object$levels, ordered = object$kind == "ordered")
  )
}

# Whole numbers, given as integers or doubles.
as_whole <- function(x, name, lowest = -Inf) {
  if (!is.numeric(x) || anyNA(x) || any(x != round(x)) || any(x < lowest)) {
    stop_pylstm(
      name, " must be ", if (length(x) == 1L) "a whole number" else "whole numbers",
      if (is.finite(lowest)) paste0(" of at least ", lowest), "."
    )
  }
  as.integer(x)
}

as_lengths <- function(lengths, n) {
  if (is.null(lengths)) {
    return(NULL)
  }
  lengths <- as_whole(lengths, "lengths", 1)
  if (length(lengths) != n) {
    stop_pylstm("lengths must have a value for each of the ", n, " samples, not ", length(lengths), ".")
  }
  array(lengths, length(lengths))
}

as_weights <- function(weights, n) {
  if (is.null(weights)) {
    return(NULL)
  }
  if (!is.numeric(weights) || anyNA(weights)) {
    stop_pylstm("weights must be numbers, and none of them missing.")
  }
  if (length(weights) != n) {
    stop_pylstm("weights must have a value for each of the ", n, " samples, not ", length(weights), ".")
  }
  array(as.double(weights), length(weights))
}
