# Tomorrow's price: what four stock indices of the last twenty days say of the next day's DAX.
#
#     Rscript -e 'source(system.file("examples", "next_day_price.R", package = "pylstm"))'

library(pylstm)

# Closing prices of 1991 to 1998, which R ships. Changes of logarithms are returns.
prices <- as.data.frame(log(EuStockMarkets))
learned <- 1:1500
set.seed(1)

# Each window is read from its last day on, so that the network predicts the change since then.
fit <- lstm(
  DAX ~ DAX + SMI + CAC + FTSE, prices[learned, ],
  window = 20, window_scaling = "last", target_features = "DAX", loss = "gaussian",
  hidden_size = 16, max_iter = 15, n_iter_no_change = Inf
)
print(fit)

# A prediction for each later day, from the days before it.
recent <- prices[1481:1860, ]
found <- predict(fit, recent, interval = "prediction", level = 0.9)[-(1:20), ]
actual <- prices$DAX[1501:1860]
today <- prices$DAX[1500:1859]

rmse <- function(error) 100 * sqrt(mean(error^2))
cat(sprintf(
  "Error of the next day's price, in per cent: LSTM %.3f, today's price %.3f\n",
  rmse(actual - found[, "fit"]), rmse(actual - today)
))
cat(sprintf(
  "Days within the 90 %% interval: %.0f %%; direction right on %.0f %% of the days\n",
  100 * mean(actual >= found[, "lwr"] & actual <= found[, "upr"]),
  100 * mean(sign(found[, "fit"] - today) == sign(actual - today))
))
cat("The intervals are too narrow: 1997 and 1998 were wilder than the years that were learned from.\n")
cat("Prices of liquid markets hardly betray the next day: an honest model stays close to today's price.\n")

tomorrow <- forecast(fit, data = prices, level = 90)
cat(sprintf("After the last day: DAX %.0f (%.0f to %.0f)\n", exp(tomorrow$mean), exp(tomorrow$lower), exp(tomorrow$upper)))

days <- 241:360
if (!interactive() && dev.cur() == 1) pdf(NULL) # else Rscript leaves a file Rplots.pdf where it runs
plot(days, exp(actual[days]), type = "l", lwd = 2, xlab = "day", ylab = "DAX", main = "The next day, with 90 % intervals")
polygon(c(days, rev(days)), exp(c(found[days, "lwr"], rev(found[days, "upr"]))), col = "#1f77b433", border = NA)
lines(days, exp(found[days, "fit"]), col = "#1f77b4")
