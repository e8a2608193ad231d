// The penalised mixture: closed forms where they exist, stationarity, monotony, what must not matter.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/lasso.h"
#include "gatewright/likelihood/theory/simulate.h"

namespace {

using namespace gw::likelihood;

MixtureSpec gaussian(int64_t experts) {
  MixtureSpec spec;
  spec.experts = experts;
  return spec;
}

/// Two experts with three slopes each and a gate with two, the first columns; the others do nothing.
MixtureParameters sparse_truth(int64_t p) {
  auto truth = make_parameters(gaussian(2), p);
  truth.gate_bias = {0, 0}, truth.intercept = {1, -1}, truth.scale = {0.5, 0.5};
  truth.gate_slope[0] = 3, truth.gate_slope[1] = -3;
  const double slopes[2][3] = {{3, -2, 2}, {-3, 2, 3}};
  for (int k = 0; k < 2; ++k)
    for (int j = 0; j < 3; ++j) truth.slope[static_cast<size_t>(k * p + 2 + j)] = slopes[k][j];
  return truth;
}

SimulatedData sample(int64_t n, int64_t p, uint64_t seed) {
  InputDistribution design;
  design.d = p;
  return simulate(gaussian(2), sparse_truth(p), design, n, gw::Rng(seed));
}

LassoOptions one_start() {
  LassoOptions options;
  options.starts = 1;
  return options;
}

double l1(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += std::abs(v);
  return sum;
}

TEST(Lasso, OneExpertOneColumnIsSoftThresholding) {
  // One expert, standardised x, c = cov(x, y), v = var(y): slope = S(c, lambda s), s² − lambda slope s = v −
  // 2 slope c + slope².
  SimulatedData data;
  for (int i = 0; i < 40; ++i)
    data.x.push_back(std::sin(i)), data.y.push_back(2 * std::sin(i) + std::cos(3 * i));
  LassoOptions tight;
  tight.tolerance = 1e-13;
  const auto fit = fit_lasso(data.view(), gaussian(1), 0.4, make_parameters(gaussian(1), 1), tight);
  tight.scaled = false;
  const auto plain = fit_lasso(data.view(), gaussian(1), 0.4, make_parameters(gaussian(1), 1), tight);
  double mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
  for (size_t i = 0; i < 40; ++i) mx += data.x[i] / 40, my += data.y[i] / 40;
  for (size_t i = 0; i < 40; ++i) {
    xx += (data.x[i] - mx) * (data.x[i] - mx) / 40;
    xy += (data.x[i] - mx) * (data.y[i] - my) / 40;
    yy += (data.y[i] - my) * (data.y[i] - my) / 40;
  }
  const double c = xy / std::sqrt(xx);
  double slope = c, plain_slope = c, s = std::sqrt(yy);
  for (int i = 0; i < 2000; ++i) {
    const double squares = yy - 2 * slope * c + slope * slope, pressure = 0.4 * slope;
    s = 0.5 * (pressure + std::sqrt(pressure * pressure + 4 * squares));
    slope = std::max(c - 0.4 * s, 0.0);
    plain_slope = std::max(c - 0.4 * (yy - 2 * plain_slope * c + plain_slope * plain_slope), 0.0);
  }
  ASSERT_GT(slope, 0.1);
  EXPECT_NEAR(fit.parameters.slope[0] * std::sqrt(xx), slope, 1e-5);
  EXPECT_NEAR(fit.parameters.scale[0], s, 1e-5);
  EXPECT_NEAR(plain.parameters.slope[0] * std::sqrt(xx), plain_slope, 1e-5);
  EXPECT_TRUE(fit.converged);
}

TEST(Lasso, ObjectiveNeverRisesAndNoZeroSlopeWantsIn) {
  const auto data = sample(120, 40, 3);
  for (const double lambda : {0.3, 0.1, 0.03}) {
    const auto fit = fit_lasso(data.view(), gaussian(2), lambda, sparse_truth(40));
    for (size_t i = 1; i < fit.trace.size(); ++i)
      EXPECT_LE(fit.trace[i], fit.trace[i - 1] + 1e-12) << lambda << " iteration " << i;
    EXPECT_LE(fit.kkt_gap, 1e-3 * lambda) << lambda;
    EXPECT_TRUE(fit.converged) << lambda;
    EXPECT_NEAR(fit.log_likelihood, log_likelihood(gaussian(2), fit.parameters, data.view()),
                1e-7 * std::abs(fit.log_likelihood));
    EXPECT_NEAR(fit.objective, -fit.log_likelihood / 120 + fit.penalty, 1e-10);
  }
}

TEST(Lasso, AMoveOfAnyParameterRaisesTheObjective) {
  const auto data = sample(150, 6, 4);
  LassoOptions options;
  options.tolerance = 1e-13, options.max_iterations = 100000;
  const double lambda = 0.05;
  const auto fit = fit_lasso(data.view(), gaussian(2), lambda, sparse_truth(6), options);
  std::vector<double> deviation(6);
  for (size_t j = 0; j < 6; ++j) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < 150; ++i)
      mean += data.x[i * 6 + j] / 150, square += data.x[i * 6 + j] * data.x[i * 6 + j] / 150;
    deviation[j] = std::sqrt(square - mean * mean);
  }
  const auto objective = [&](const MixtureParameters& p) {
    double norm = 0;
    for (size_t k = 0; k < 2; ++k)
      for (size_t j = 0; j < 6; ++j)
        norm +=
            deviation[j] * (std::abs(p.slope[k * 6 + j]) / p.scale[k] + std::abs(p.gate_slope[k * 6 + j]));
    return -log_likelihood(gaussian(2), p, data.view()) / 150 + lambda * norm;
  };
  const double here = objective(fit.parameters);
  EXPECT_NEAR(here, fit.objective, 1e-9);
  for (const double step : {1e-3, -1e-3}) {
    for (size_t i = 0; i < 12; ++i) {
      auto moved = fit.parameters;
      moved.slope[i] += step;
      EXPECT_GT(objective(moved), here) << "slope " << i;
      if (i >= 6) continue;  // the last gate is pinned
      moved = fit.parameters, moved.gate_slope[i] += step;
      EXPECT_GT(objective(moved), here) << "gate " << i;
    }
    auto moved = fit.parameters;
    moved.scale[0] += step;
    EXPECT_GT(objective(moved), here);
  }
}

TEST(Lasso, NothingSurvivesTheLargestPenaltyAndUnitsDoNotMatter) {
  auto data = sample(100, 20, 5);
  const double top = largest_penalty(data.view(), gaussian(2));
  const auto path = lasso_path(data.view(), gaussian(2), {1.01 * top, 0.3 * top}, 0, one_start());
  EXPECT_EQ(path[0].gate_slopes + path[0].expert_slopes, 0);
  EXPECT_GT(path[1].gate_slopes + path[1].expert_slopes, 0);
  for (size_t i = 0; i < data.x.size(); i += 20)
    data.x[i + 3] = 1000 * data.x[i + 3] - 7;  // another unit for column 3
  const auto scaled = lasso_path(data.view(), gaussian(2), {1.01 * top, 0.3 * top}, 0, one_start());
  EXPECT_NEAR(scaled[1].objective, path[1].objective, 1e-8);
  EXPECT_NEAR(scaled[1].parameters.slope[3] * 1000, path[1].parameters.slope[3], 1e-4);
}

TEST(Lasso, PathIsReproducibleAndMoreStartsAreNeverWorse) {
  const auto data = sample(100, 30, 6);
  const auto grid = penalty_grid(largest_penalty(data.view(), gaussian(2)), 0.05, 8);
  const auto one = lasso_path(data.view(), gaussian(2), grid, 7, one_start()),
             four = lasso_path(data.view(), gaussian(2), grid, 7);
  const auto again = lasso_path(data.view(), gaussian(2), grid, 7);
  for (size_t i = 0; i < grid.size(); ++i) {
    EXPECT_LE(four[i].objective, one[i].objective);
    EXPECT_EQ(four[i].parameters.slope, again[i].parameters.slope);
  }
  EXPECT_GT(l1(four.back().parameters.slope), l1(four.front().parameters.slope));
}

TEST(Lasso, MoreColumnsThanRowsFindTheActiveOnes) {
  const int64_t p = 400;
  const auto data = sample(250, p, 8);
  const auto fit = fit_lasso(data.view(), gaussian(2), 0.12, sparse_truth(p));
  int64_t hits = 0;
  for (size_t k = 0; k < 2; ++k)
    for (size_t j = 2; j < 5; ++j) hits += fit.parameters.slope[k * 400 + j] != 0;
  EXPECT_EQ(hits, 6);
  EXPECT_LT(fit.expert_slopes, 20);
  for (const double s : fit.parameters.scale) EXPECT_GT(s, 0.1);
}

TEST(Lasso, SlowPathOfFiftyPenaltiesAtTwoThousandColumnsTakesSeconds) {
  const auto data = sample(200, 2000, 8);
  const auto grid = penalty_grid(largest_penalty(data.view(), gaussian(2)), 0.05, 50);
  const auto begin = std::chrono::steady_clock::now();
  const auto path = lasso_path(data.view(), gaussian(2), grid, 0, one_start());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_LT(seconds, 20);  // 2.3 s on one core of a loaded 2-core Zen 4
  for (const auto& fit : path) EXPECT_TRUE(fit.converged && fit.kkt_gap <= 1e-3 * fit.lambda) << fit.lambda;
}

TEST(Lasso, AllowedColumnsAndConstantColumnsAreRespected) {
  auto data = sample(80, 10, 9);
  for (size_t i = 0; i < data.x.size(); i += 10) data.x[i + 6] = 4;
  LassoOptions options;
  options.columns = std::vector<int64_t>{2, 3, 4, 6};
  const auto fit = fit_lasso(data.view(), gaussian(2), 0, sparse_truth(10), options);
  for (size_t j = 0; j < 10; ++j) EXPECT_EQ(fit.parameters.slope[j] != 0, j >= 2 && j <= 4) << j;
}

TEST(Lasso, RefusesWhatItCannotFit) {
  auto data = sample(20, 5, 1);
  const auto start = make_parameters(gaussian(2), 5);
  auto laplace = gaussian(2);
  laplace.family = Family("laplace");
  EXPECT_THROW(fit_lasso(data.view(), laplace, 1, start), gw::ValueError);
  EXPECT_THROW(fit_lasso(data.view(), gaussian(2), -1, start), gw::ValueError);
  EXPECT_THROW(fit_lasso(data.view(), gaussian(3), 1, start), gw::ValueError);
  EXPECT_THROW(fit_lasso(data.view(), gaussian(2), 1, make_parameters(gaussian(2), 6)), gw::ValueError);
  EXPECT_THROW(lasso_path(data.view(), gaussian(2), {0.1, 0.2}, 0), gw::ValueError);
  EXPECT_THROW(lasso_path(data.view(), gaussian(2), {0.1, 0}, 0), gw::ValueError);
  EXPECT_THROW(penalty_grid(1, 2, 5), gw::ValueError);
  LassoOptions options;
  options.columns = std::vector<int64_t>{5};
  EXPECT_THROW(fit_lasso(data.view(), gaussian(2), 1, start, options), gw::ValueError);
  options = {};
  options.stop = [] { return true; };
  EXPECT_THROW(lasso_path(data.view(), gaussian(2), {0.1}, 0, options), gw::Interrupted);
  for (double& y : data.y) y = 1;
  EXPECT_THROW(fit_lasso(data.view(), gaussian(2), 1, start), gw::ValueError);
}

}  // namespace
