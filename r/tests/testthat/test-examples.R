# The two stories run as a reader would run them.

skip_without_pylstm()

run_example <- function(name) {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  capture.output(source(system.file("examples", paste0(name, ".R"), package = "pylstm"), local = new.env()))
}

test_that("monthly sales", {
  skip_if_not_installed("forecast")
  expect_match(paste(run_example("monthly_sales"), collapse = "\n"), "seasonal naive.*80 % interval")
})

test_that("the next day's price", {
  expect_match(paste(run_example("next_day_price"), collapse = "\n"), "today's price.*After the last day")
})
