# The two stories run as a reader would run them, and leave no files where they run.

skip_without_pylstm()

run_example <- function(name) {
  folder <- tempfile()
  dir.create(folder)
  before <- setwd(folder)
  devices <- grDevices::dev.list()
  on.exit({
    setwd(before)
    for (device in setdiff(grDevices::dev.list(), devices)) grDevices::dev.off(device)
  })
  shown <- capture.output(source(system.file("examples", paste0(name, ".R"), package = "pylstm"), local = new.env()))
  expect_identical(dir(folder), character())
  shown
}

test_that("monthly sales", {
  skip_if_not_installed("forecast")
  expect_match(paste(run_example("monthly_sales"), collapse = "\n"), "seasonal naive.*80 % interval")
})

test_that("the next day's price", {
  expect_match(paste(run_example("next_day_price"), collapse = "\n"), "today's price.*After the last day")
})
