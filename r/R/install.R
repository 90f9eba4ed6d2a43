#' Install the Python package
#'
#' Installs pylstm into a Python environment that reticulate manages. Not needed where `RETICULATE_PYTHON` names a Python that has
#' it, nor with a reticulate (1.41 or newer) that provides what packages require by itself.
#'
#' @param packages Character: what pip is to install: `"pylstm"`, the address of a repository, or the path of a
#'   source folder or wheel.
#' @param envname Character: name or path of the environment; made if it is not there.
#' @param ... Passed on to [reticulate::py_install()].
#'
#' @return `NULL`, invisibly.
#'
#' @details
#' reticulate before 1.38 does not know NumPy 2: there `"numpy<2"` is installed as well.
#'
#' A Python built elsewhere than R may load another libpython inside R. Where versions seem wrong, make the environment with the
#' system's own Python (`/usr/bin/python3` on Debian and Ubuntu).
#'
#' @seealso [pylstm_config()] shows what is in use.
#' @examples
#' \dontrun{
#' install_pylstm()
#' install_pylstm("~/src/pylstm")
#' }
#' @export
install_pylstm <- function(packages = "pylstm", envname = "r-pylstm", ...) {
  if (utils::packageVersion("reticulate") < "1.38") {
    packages <- c(packages, "numpy<2")
  }
  if (!reticulate::virtualenv_exists(envname)) {
    reticulate::virtualenv_create(envname)
  }
  reticulate::py_install(packages, envname = envname, method = "virtualenv", pip = TRUE, ...)
  message(
    "Installed. Restart R, and choose this Python before the first use: ",
    'reticulate::use_virtualenv("', envname, '").'
  )
  invisible()
}

#' What is in use
#'
#' Versions of pylstm, Python and its packages, the processor's instruction set, and threads.
#'
#' @return The lines that are shown, invisibly.
#' @examplesIf pylstm_available()
#' pylstm_config()
#' @export
pylstm_config <- function() {
  text <- paste0(
    "R package        ", utils::packageVersion("pylstm"), "\n",
    "reticulate       ", utils::packageVersion("reticulate"), "\n",
    ask("config")
  )
  cat(text)
  invisible(strsplit(text, "\n", fixed = TRUE)[[1L]])
}

#' Whether Python and pylstm are there
#'
#' @return `TRUE` or `FALSE`; no error.
#' @examples
#' pylstm_available()
#' @export
pylstm_available <- function() {
  tryCatch(
    {
      bridge()
      TRUE
    },
    pylstm_missing_error = function(e) FALSE
  )
}
