# The way to Python: how it is installed, required and shown.

test_that("install_pylstm() makes an environment once, and says how to use it", {
  asked <- list()
  there <- FALSE
  with_stand_in("virtualenv_exists", function(envname) there, package = "reticulate", {
    with_stand_in("virtualenv_create", function(envname, ...) asked$made <<- envname, package = "reticulate", {
      with_stand_in("py_install", function(packages, ...) asked$install <<- list(packages, ...), package = "reticulate", {
        expect_message(install_pylstm("~/src/pylstm", envname = "here"), "use_virtualenv\\(\"here\"\\)")
        expect_identical(asked$made, "here")
        there <- TRUE
        asked$made <- NULL
        suppressMessages(install_pylstm())
      })
    })
  })
  expect_null(asked$made)
  of_old <- utils::packageVersion("reticulate") < "1.38"
  expect_identical(asked$install[[1]], c("pylstm", if (of_old) "numpy<2"))
  expect_identical(asked$install$envname, "r-pylstm")
})

test_that("a reticulate that can provides what the package requires", {
  asked <- NULL
  reticulate <- asNamespace("reticulate")
  can <- exists("py_require", reticulate, inherits = FALSE)
  if (can) {
    with_stand_in("py_require", function(packages, ...) asked <<- packages, .onLoad(), package = "reticulate")
  } else {
    .onLoad()
  }
  expect_identical(asked, if (can) "pylstm")
})

test_that("what is in use is shown", {
  skip_without_pylstm()
  expect_output(shown <- pylstm_config(), "R package +[0-9].*reticulate +[0-9].*numpy")
  expect_identical(shown[1], paste("R package       ", utils::packageVersion("pylstm")))
})
