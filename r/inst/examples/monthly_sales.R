# Monthly sales: the next year, how sure of it one may be, and whether it was worth it.
#
#     Rscript -e 'source(system.file("examples", "monthly_sales.R", package = "pylstm"))'
#
# Needs the forecast package, which ships the sales of Australian wine makers (1980 to 1994), in thousands of bottles.

library(pylstm)
library(forecast)

sales <- wineind / 1000
set.seed(1)

# The last two years are held out.
known <- window(sales, end = c(1992, 8))
held_out <- window(sales, start = c(1992, 9))

fit <- lstm(known)
print(fit)

coming <- forecast(fit, h = length(held_out), level = c(80, 95))
errors <- rbind(
  LSTM = accuracy(coming, held_out)["Test set", ],
  "seasonal naive" = accuracy(snaive(known, h = length(held_out)), held_out)["Test set", ]
)
print(round(errors[, c("RMSE", "MAE", "MASE")], 2))
cat("Of these sales last year's month says as much: then take it. Look before you leap, by lstm_backtest():\n")
print(lstm_backtest(fit, origins = 3), digits = 3)

inside <- held_out >= coming$lower[, "80%"] & held_out <= coming$upper[, "80%"]
cat(sprintf("%.0f %% of the months lie within the 80 %% interval\n", 100 * mean(inside)))

if (!interactive() && dev.cur() == 1) pdf(NULL) # else Rscript leaves a file Rplots.pdf where it runs
plot(coming, include = 60, main = "Wine sales: forecast of two years, and what came", ylab = "million bottles")
lines(held_out, lwd = 2)
