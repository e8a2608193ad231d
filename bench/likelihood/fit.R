# Fits mixtures of regressions with R's flexmix (and mixtools) and leaves data, likelihoods and times for bench_mixture to compare with.
# Usage: Rscript bench/likelihood/fit.R OUT [large]
suppressPackageStartupMessages({library(flexmix); library(mixtools)})
arguments <- commandArgs(trailingOnly = TRUE)
out <- arguments[1]
dir.create(out, showWarnings = FALSE, recursive = TRUE)
starts <- 10

# Real and classical data that the packages (and R itself) ship: response, inputs of experts and gate, number of experts.
data("NPreg", package = "flexmix"); data("NregFix", package = "flexmix"); data("patent", package = "flexmix")
data("tonedata", package = "mixtools"); data("CO2data", package = "mixtools"); data("NOdata", package = "mixtools")
data("RTdata", package = "mixtools")
cases <- list(
  NPreg = list(data = data.frame(y = NPreg$yn, x = NPreg$x, x2 = NPreg$x^2), gate = "x", k = 2),
  NregFix = list(data = data.frame(y = NregFix$y, x1 = NregFix$x1, x2 = NregFix$x2), gate = c("x1", "x2"), k = 2),
  tonedata = list(data = data.frame(y = tonedata$tuned, x = tonedata$stretchratio), gate = "x", k = 2),
  CO2data = list(data = data.frame(y = CO2data$CO2, x = CO2data$GNP), gate = "x", k = 2),
  NOdata = list(data = data.frame(y = NOdata$NO, x = NOdata$Equivalence), gate = "x", k = 2),
  patent = list(data = data.frame(y = log1p(patent$Patents), x = patent$lgRD, r = patent$RDS), gate = "r", k = 3),
  faithful = list(data = data.frame(y = faithful$eruptions, x = faithful$waiting), gate = "x", k = 2),
  iris = list(data = data.frame(y = iris$Sepal.Length, x = iris$Petal.Length, w = iris$Petal.Width), gate = "w", k = 3),
  mtcars = list(data = data.frame(y = mtcars$mpg, x = mtcars$wt), gate = "x", k = 2))

record <- function(name, rows) write.csv(rows, file.path(out, paste0(name, ".result.csv")), row.names = FALSE)

for (name in names(cases)) {
  case <- cases[[name]]
  write.csv(case$data, file.path(out, paste0(name, ".csv")), row.names = FALSE)
  inputs <- setdiff(names(case$data), "y")
  formula <- as.formula(paste("y ~", paste(inputs, collapse = " + ")))
  concomitant <- FLXPmultinom(as.formula(paste("~", paste(case$gate, collapse = " + "))))
  set.seed(1)
  fit <- NULL
  control <- list(iter.max = 2000, tolerance = 1e-9, minprior = 0.05)
  time <- system.time(for (i in 1:starts) {
    run <- tryCatch(suppressWarnings(flexmix(formula, data = case$data, k = case$k, concomitant = concomitant, control = control)),
                    error = function(e) { message(name, ": ", conditionMessage(e)); NULL })
    if (!is.null(run) && run@k == case$k && (is.null(fit) || run@logLik > fit@logLik)) fit <- run
  })[["elapsed"]]
  rows <- data.frame(program = "flexmix", experts = case$k, found = if (is.null(fit)) NA else fit@k, gate = paste(case$gate, collapse = "+"),
                     log_likelihood = if (is.null(fit)) NA else as.numeric(logLik(fit)), seconds = time, starts = starts)
  if (name %in% c("tonedata", "NOdata")) {  # minutes each: mixtools' gating step is a general optimiser
    set.seed(1)
    best <- -Inf
    time <- system.time(for (i in 1:starts) {
      run <- tryCatch(suppressWarnings({ capture.output(r <- hmeEM(case$data$y, as.matrix(case$data$x), k = 2, maxit = 2000, epsilon = 1e-9)); r }),
                      error = function(e) NULL)
      if (!is.null(run) && is.finite(run$loglik)) best <- max(best, run$loglik)
    })[["elapsed"]]
    rows <- rbind(rows, data.frame(program = "mixtools", experts = 2, found = 2, gate = "x", log_likelihood = best, seconds = time, starts = starts))
  }
  record(name, rows)
  cat(name, format(rows$log_likelihood, digits = 10), format(rows$seconds), "\n")
}

# n = 100 000, d = 4, k = 4: 100 iterations from the same partition. The data come from bench_mixture --write.
if ("large" %in% arguments) {
  data <- read.csv(file.path(out, "large.data.csv"))
  time <- system.time(fit <- flexmix(y ~ x1 + x2 + x3 + x4, data = data, k = 4, cluster = data$start,
                                     concomitant = FLXPmultinom(~ x1 + x2 + x3 + x4),
                                     control = list(iter.max = 100, tolerance = 0, minprior = 0)))[["elapsed"]]
  record("large", data.frame(program = "flexmix", experts = 4, found = fit@k, gate = "x1+x2+x3+x4",
                             log_likelihood = as.numeric(logLik(fit)), seconds = time, starts = fit@iter))
  cat("large", as.numeric(logLik(fit)), time, fit@iter, "\n")
}
