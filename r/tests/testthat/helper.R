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

# Something of a package's namespace is another while an expression is evaluated.
with_stand_in <- function(name, value, expr, package = "pylstm") {
  usual <- get(name, asNamespace(package))
  on.exit(utils::assignInNamespace(name, usual, package))
  utils::assignInNamespace(name, value, package)
  force(expr)
}

# parsnip's functions of registration: their arguments, what they demand of these, and a record of them.
registered_by <- function(register, model) {
  found <- list(models = "linear_reg", arguments = list(), predicts = character())
  demand <- function(value, names) if (!setequal(names(value), names)) stop("names: ", toString(names(value)))
  known <- function(model) if (!model %in% found$models) stop(model, " is not registered")
  functions <- list(
    get_model_env = function() found,
    set_new_model = function(model) {
      if (model %in% found$models) stop(model, " is there")
      found$models <<- c(found$models, model)
    },
    set_model_mode = function(model, mode) {
      known(model)
      found$modes <<- c(found$modes, mode)
    },
    set_model_engine = function(model, mode, eng) {
      if (!mode %in% found$modes) stop("mode ", mode)
      found$engines <<- c(found$engines, paste(mode, eng))
    },
    set_dependency = function(model, eng, pkg = "parsnip", mode = NULL) {
      if (!paste(mode, eng) %in% found$engines) stop("engine ", eng)
      found$packages <<- union(found$packages, pkg)
    },
    set_fit = function(model, mode, eng, value) {
      demand(value, c("interface", "protect", "func", "defaults"))
      found$fit <<- getExportedValue(value$func[["pkg"]], value$func[["fun"]])
      if (!all(setdiff(value$protect, "weights") %in% names(formals(found$fit)))) stop("protect")
    },
    set_encoding = function(model, mode, eng, options) {
      demand(options, c("predictor_indicators", "compute_intercept", "remove_intercept", "allow_sparse_x"))
    },
    set_model_arg = function(model, eng, parsnip, original, func, has_submodel) {
      demand(func, c("pkg", "fun"))
      if (!nzchar(func$fun) || is.na(func$fun)) stop("no tuning parameter for ", parsnip)
      found$arguments[[parsnip]] <<- original
    },
    set_pred = function(model, mode, eng, type, value) {
      demand(value, c("pre", "post", "func", "args"))
      found$predicts <<- c(found$predicts, paste(mode, type))
    }
  )
  with_stand_in("parsnip", function(name) functions[[name]], {
    register()
    n_models <- length(found$models)
    register()
  })
  testthat::expect_identical(found$models, c("linear_reg", model)) # once a session
  found
}
