library(testthat)
library(pylstm)

test_check("pylstm")
