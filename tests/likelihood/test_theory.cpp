// Losses, distances, simulators and the local maximiser of the theory: closed forms, exact cases, finite
// differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/error.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/theory/divergence.h"
#include "gatewright/likelihood/theory/local_layout.h"
#include "gatewright/likelihood/theory/local_mle.h"
#include "gatewright/likelihood/theory/simulate.h"
#include "gatewright/likelihood/theory/voronoi.h"

namespace {

using namespace gw::likelihood;

// The truth of the simulations in arXiv 2305.03288.
MixtureParameters paper_truth() {
  MixtureParameters p;
  p.experts = 2, p.gate_inputs = 1, p.inputs = 1, p.outputs = 1;
  p.gate_bias = {-8, 0}, p.gate_slope = {25, 0};
  p.intercept = {15, -5}, p.slope = {-20, 20}, p.scale = {0.3, 0.4};
  return p;
}

MixtureSpec gaussian(int64_t experts) {
  MixtureSpec spec;
  spec.experts = experts;
  return spec;
}

Atom atom(double log_weight, double gate, double slope, double intercept, double variance) {
  return {log_weight,
          {{GroupKind::kGateSlope, {gate}},
           {GroupKind::kSlope, {slope}},
           {GroupKind::kIntercept, {intercept}},
           {GroupKind::kVariance, {variance}}}};
}

TEST(Voronoi, RbarIsTheTableOfTheTheory) {
  EXPECT_EQ(rbar(1), 1);
  EXPECT_EQ(rbar(2), 4);
  EXPECT_EQ(rbar(3), 6);
  EXPECT_GE(rbar(4), 7);
}

TEST(Voronoi, ExactLossByHand) {
  const MixingMeasure truth{atom(0, 2, 1, 1, 0.5), atom(0, 0, -1, 4, 0.5)};
  // The second atom is off by 0.1 in its slope and 0.2 in its intercept; weights and gates are those of the
  // truth.
  const MixingMeasure fitted{atom(0, 2, 1, 1, 0.5), atom(0, 0, -0.9, 4.2, 0.5)};
  const auto result = voronoi_loss(fitted, truth, LossKind::kExact);
  EXPECT_NEAR(result.loss, 0.3, 1e-9);
  EXPECT_EQ(result.cells, (std::vector<size_t>{0, 1}));
  EXPECT_TRUE(result.all_covered);
}

TEST(Voronoi, OverfitLossUsesThePowersOfTheCellsSize) {
  const MixingMeasure truth{atom(0, 2, 1, 1, 0.5), atom(0, 0, -1, 9, 0.5)};
  const double half = std::log(0.5);
  // Two atoms of half the weight share the first cell: intercepts off by ±0.1 (power 4), slopes by ±0.2 and
  // variances by 0.3 (power 2).
  const MixingMeasure fitted{atom(half, 2, 1.2, 1.1, 0.8), atom(half, 2, 0.8, 0.9, 0.8),
                             atom(0, 0, -1, 9, 0.5)};
  const auto result = voronoi_loss(fitted, truth, LossKind::kSoftmaxGaussian);
  EXPECT_NEAR(result.loss, 1e-4 + 0.04 + 0.09, 1e-9);
  // Were the count taken after the powers, or were they 1, this would be 0.6.
  EXPECT_NEAR(voronoi_loss(fitted, truth, LossKind::kExact).loss, 0.6, 1e-9);
  EXPECT_NEAR(voronoi_loss(fitted, truth, LossKind::kMultinomial).loss, 0.01 + 0.04 + 0.09, 1e-9);
}

TEST(Voronoi, LossDoesNotSeeATranslationOfTheGates) {
  const auto truth = mixing_measure(gaussian(2), paper_truth());
  auto moved = paper_truth();
  for (double& bias : moved.gate_bias) bias += 150;  // exp(150) must not matter either
  for (double& slope : moved.gate_slope) slope -= 3;
  EXPECT_NEAR(voronoi_loss(mixing_measure(gaussian(2), moved), truth, LossKind::kExact).loss, 0, 1e-8);
  moved.gate_slope[0] += 0.5;
  EXPECT_GT(voronoi_loss(mixing_measure(gaussian(2), moved), truth, LossKind::kExact).loss, 1e-5);
}

TEST(Voronoi, CopiesOfTrueAtomsHaveNoLossWhateverTheirShares) {
  auto twice = paper_truth();
  twice.experts = 3;
  twice.gate_bias = {-8 + 2.0, std::log(0.3) + 2.0, std::log(0.7) + 2.0}, twice.gate_slope = {25, 0, 0};
  twice.intercept = {15, -5, -5}, twice.slope = {-20, 20, 20}, twice.scale = {0.3, 0.4, 0.4};
  const auto result = voronoi_loss(mixing_measure(gaussian(3), twice),
                                   mixing_measure(gaussian(2), paper_truth()), LossKind::kSoftmaxGaussian);
  EXPECT_NEAR(result.loss, 0, 1e-8);
}

TEST(Voronoi, TiesGoToOneCellAndTopKTakesTheLargestTerms) {
  const MixingMeasure truth{atom(0, 0, 0, -1, 1), atom(0, 0, 0, 1, 1), atom(0, 0, 0, 9, 1)};
  EXPECT_EQ(voronoi_cells({atom(0, 0, 0, 0, 1)}, truth), (std::vector<size_t>{0}));
  const MixingMeasure fitted{atom(0, 0, 0, -1.1, 1), atom(0, 0, 0, 1.2, 1), atom(0, 0, 0, 9.4, 1)};
  EXPECT_NEAR(voronoi_loss(fitted, truth, LossKind::kExact, 1).loss, 0.4, 1e-9);
  EXPECT_NEAR(voronoi_loss(fitted, truth, LossKind::kExact, 2).loss, 0.6, 1e-9);
  EXPECT_NEAR(voronoi_loss(fitted, truth, LossKind::kExact).loss, 0.7, 1e-9);
}

TEST(Voronoi, PowerMedianMeetsKnownMinima) {
  EXPECT_NEAR(power_median({{1}, {2}, {10}}, {1, 1, 1}, {2, 2, 2})[0], 13.0 / 3, 1e-7);  // the mean
  EXPECT_NEAR(power_median({{1}, {2}, {10}}, {1, 1, 1}, {1, 1, 1})[0], 2, 1e-6);         // the median
  EXPECT_NEAR(power_median({{1}, {2}, {10}}, {1, 1, 5}, {1, 1, 1})[0], 10, 1e-6);        // weighted
  // The geometric median of a triangle with all angles below 120°: the Fermat point, here (0, 1/sqrt 3).
  const auto fermat = power_median({{-1, 0}, {1, 0}, {0, std::sqrt(3.0)}}, {1, 1, 1}, {1, 1, 1});
  EXPECT_NEAR(fermat[0], 0, 1e-6);
  EXPECT_NEAR(fermat[1], 1 / std::sqrt(3.0), 1e-6);
}

TEST(Divergence, ClosedFormsOfOneGaussian) {
  MixtureParameters p = make_parameters(gaussian(1), 1), q = p;
  p.scale = {0.7}, q.scale = {0.7}, q.intercept = {0.5};
  const auto shifted = divergence(gaussian(1), p, gaussian(1), q, uniform_nodes(0, 1, 3));
  EXPECT_NEAR(shifted.kl, 0.5 * 0.25 / 0.49, 1e-8);
  EXPECT_NEAR(shifted.hellinger, std::sqrt(1 - std::exp(-0.25 / (8 * 0.49))), 1e-8);
  q = p, q.slope = {2};  // means differ by 2x
  double expected = 0;
  const auto nodes = uniform_nodes(-1, 1, 50);
  for (double x : nodes.x) expected += 0.02 * 0.5 * 4 * x * x / 0.49;
  EXPECT_NEAR(divergence(gaussian(1), p, gaussian(1), q, nodes).kl, expected, 1e-7);
}

TEST(Divergence, EqualModelsAreAtDistanceZeroInAnyParameterisation) {
  auto moved = paper_truth();
  for (double& bias : moved.gate_bias) bias += 3;
  const auto d = divergence(gaussian(2), paper_truth(), gaussian(2), moved, uniform_nodes(0, 1, 100));
  EXPECT_NEAR(d.kl, 0, 1e-10);
  EXPECT_LT(d.hellinger, 1e-5);
}

TEST(Divergence, RefusesFamiliesThatCannotBeCompared) {
  MixtureSpec classes = gaussian(2);
  classes.family = Family("multinomial");
  EXPECT_THROW(
      divergence(gaussian(2), paper_truth(), classes, make_parameters(classes, 1), uniform_nodes(0, 1, 10)),
      gw::ValueError);
  EXPECT_THROW(uniform_nodes(1, 0, 10), gw::ValueError);
}

TEST(Simulate, FrequenciesAndMomentsAreTheModels) {
  const auto truth = paper_truth();
  const auto data = simulate(gaussian(2), truth, {}, 40000, gw::Rng(1));
  double first = 0, squares[2] = {0, 0}, counts[2] = {0, 0}, expected = 0;
  for (size_t i = 0; i < data.y.size(); ++i) {
    const auto k = static_cast<size_t>(data.expert[i]);
    const double r = data.y[i] - truth.intercept[k] - truth.slope[k] * data.x[i];
    squares[k] += r * r, counts[k] += 1, first += k == 0;
    expected += 1 / (1 + std::exp(8 - 25 * data.x[i]));
  }
  EXPECT_NEAR(first, expected,
              4 * std::sqrt(0.05 * 40000.0));  // the gate's variance over [0, 1] is about 0.04
  EXPECT_NEAR(std::sqrt(squares[0] / counts[0]), 0.3, 0.01);
  EXPECT_NEAR(std::sqrt(squares[1] / counts[1]), 0.4, 0.01);
}

TEST(Simulate, AShorterSampleIsThePrefixOfALongerOne) {
  const auto a = simulate(gaussian(2), paper_truth(), {}, 50, gw::Rng(3)),
             b = simulate(gaussian(2), paper_truth(), {}, 80, gw::Rng(3));
  EXPECT_TRUE(std::equal(a.y.begin(), a.y.end(), b.y.begin()));
  const auto c = simulate(gaussian(2), paper_truth(), {}, 50, gw::Rng(4));
  EXPECT_FALSE(std::equal(a.y.begin(), a.y.end(), c.y.begin()));
}

TEST(Simulate, StartsWithoutNoiseAreTheTruthWhateverTheNumberOfExperts) {
  StartNoise none;
  none.amount = none.variance_amount = 0;
  for (const int64_t experts : {2, 3, 4}) {
    const auto start = start_near(paper_truth(), experts, 1000, none, gw::Rng(9));
    EXPECT_LT(divergence(gaussian(2), paper_truth(), gaussian(experts), start, uniform_nodes(0, 1, 50)).kl,
              1e-9)
        << experts;
  }
  EXPECT_THROW(start_near(paper_truth(), 1, 1000, none, gw::Rng(9)), gw::ValueError);
}

TEST(Simulate, ASplitOfAConstantExpertChangesNoDensity) {
  for (const int64_t classes : {2, 3}) {
    MixtureSpec spec;
    spec.family = Family("multinomial"), spec.classes = classes;
    auto truth = make_parameters(spec, 1);
    truth.gate_slope = {1, 0};
    truth.intercept = classes == 2 ? std::vector<double>{0.5, -1} : std::vector<double>{2, 1, -1, -3};
    truth.slope = classes == 2 ? std::vector<double>{0, 2} : std::vector<double>{0, 0, 2, 0};
    StartNoise noise;
    noise.amount = 0, noise.copy_of = 0, noise.split = 0.8;
    const auto start = start_near(truth, 3, 1000, noise, gw::Rng(2));
    auto over = spec;
    over.experts = 3;
    EXPECT_LT(divergence(spec, truth, over, start, uniform_nodes(-1, 1, 50)).kl, 1e-12) << classes;
    EXPECT_GT(std::abs(start.intercept[0] - start.intercept[static_cast<size_t>(start.outputs)]), 0.5)
        << classes;
    LocalOptions options;
    options.hold_constants = true;
    const auto data = simulate(spec, truth, {}, 500, gw::Rng(3));
    const auto fit = maximise_near(data.view(), over, start, options);
    EXPECT_EQ(fit.parameters.intercept, start.intercept);
    EXPECT_EQ(fit.parameters.gate_bias, start.gate_bias);
    EXPECT_NE(fit.parameters.gate_slope, start.gate_slope);
    EXPECT_THROW(start_near(truth, 2, 1000, noise, gw::Rng(2)), gw::ValueError);
  }
}

TEST(Simulate, SpareExpertsStartWhereTheyAreTold) {
  StartNoise noise;
  noise.amount = noise.variance_amount = 0, noise.copy_of = 1, noise.spare_bias = -30, noise.spare_slope = 4;
  const auto start = start_near(paper_truth(), 3, 1000, noise, gw::Rng(9)), plain = paper_truth();
  EXPECT_NEAR(start.gate_bias[0], plain.gate_bias[1] - std::log(2) - 30, 1e-12);
  EXPECT_EQ(start.gate_slope[0], plain.gate_slope[1] + 4);
  noise.gate_amount = 0.5;
  EXPECT_NE(start_near(paper_truth(), 3, 1000, noise, gw::Rng(9)).gate_slope[1], plain.gate_slope[0]);
}

struct Model {
  const char* name;
  MixtureSpec spec;
  MixtureParameters parameters;
};

std::vector<Model> models() {
  std::vector<Model> all;
  auto p = paper_truth();
  p.gate_bias = {-0.4, 0}, p.gate_slope = {1.5, 0}, p.intercept = {0.5, -0.5}, p.slope = {-2, 1},
  p.scale = {0.6, 0.9};
  all.push_back({"softmax", gaussian(2), p});
  auto spec = gaussian(2);
  spec.gate.kind = GateKind("dense_to_sparse");
  spec.gate.activation = Activation::kTanh;
  p.temperature = 0.6;
  all.push_back({"temperature", spec, p});
  spec = gaussian(2);
  spec.gate.kind = GateKind("modified");
  spec.gate.input_scale = 3;
  spec.family = Family("multinomial");
  spec.classes = 3;
  auto q = make_parameters(spec, 1);
  q.gate_bias = {0.3, 0}, q.gate_slope = {1, 0}, q.intercept = {0.2, -0.3, 0.4, 0.1},
  q.slope = {1, -1, 0.5, 2};
  all.push_back({"modified multinomial", spec, q});
  spec = gaussian(3);
  spec.gate.kind = GateKind("top_k");
  spec.gate.top_k = 2;
  auto r = make_parameters(spec, 1);
  r.gate_bias = {0.3, 0.1, 0}, r.gate_slope = {1, -1, 0}, r.intercept = {0, 1, 2}, r.slope = {1, -1, 0.5},
  r.scale = {0.5, 0.6, 0.7};
  all.push_back({"top-k", spec, r});
  return all;
}

MixtureParameters decoded(const ParameterCodec& codec, MixtureParameters p,
                          const std::vector<double>& values) {
  codec.decode(values, p);
  return p;
}

// Each kind of vector gives back what it holds, and leaves alone what it does not: a codec that mixes up two
// places, or forgets a logarithm, fails here.
TEST(ParameterCodec, VectorsOfEveryKindComeBack) {
  using LastGate = ParameterCodec::LastGate;
  using Order = ParameterCodec::Order;
  for (const auto& model : models()) {
    for (const auto last : {LastGate::kPinned, LastGate::kSlopes, LastGate::kWhole}) {
      const ParameterCodec by_expert(model.spec, 1, last), by_kind(model.spec, 1, last, Order::kByKind);
      ASSERT_EQ(by_expert.size(), by_kind.size());
      auto p = model.parameters;
      p.gate_bias.back() = 0.25, p.gate_slope.back() = -0.75;
      for (const auto& codec : {by_expert, by_kind}) {
        auto values = codec.encode(p);
        EXPECT_EQ(codec.encode(decoded(codec, model.parameters, values)), values) << model.name;
        for (auto& value : values) value += 0.5;
        const auto q = decoded(codec, p, values);
        EXPECT_EQ(q.gate_bias.back(), last == LastGate::kWhole ? 0.75 : 0.25) << model.name;
        EXPECT_EQ(q.gate_slope.back(), last == LastGate::kPinned ? -0.75 : -0.25) << model.name;
        EXPECT_EQ(q.intercept.front(), p.intercept.front() + 0.5) << model.name;
        const double by =
            model.spec.family == Family("gaussian") ? std::exp(0.5) : 1;  // classes have no scale
        EXPECT_NEAR(q.scale.front(), p.scale.front() * by, 1e-12) << model.name;
      }
      for (size_t i = 1; i < by_kind.size(); ++i) {
        const auto kind = by_kind.list()[i].kind;
        EXPECT_TRUE(kind == FreeParameter::Kind::kTemperature || by_kind.list()[i - 1].kind <= kind);
      }
    }
  }
}

TEST(LocalMle, LikelihoodIsThatOfTheDensityAndScoreIsItsDerivative) {
  for (const auto& model : models()) {
    const auto data = simulate(model.spec, model.parameters, {InputDistribution::Kind::kUniform, -1, 1, 1},
                               700, gw::Rng(5));
    // Away from the truth, so that no term of the score is small by chance.
    const auto codec = local_codec(model.spec, model.parameters, /*pin_last_slope=*/true);
    auto values = codec.encode(model.parameters);
    for (size_t i = 0; i < values.size(); ++i) values[i] += 0.1 * std::sin(static_cast<double>(i) + 1);
    const auto at = [&](const std::vector<double>& v) {
      return log_likelihood(model.spec, decoded(codec, model.parameters, v), data.view());
    };
    const auto expansion = expand(data.view(), model.spec, decoded(codec, model.parameters, values));
    EXPECT_NEAR(expansion.log_likelihood, at(values), 1e-8 * std::abs(at(values))) << model.name;
    for (size_t i = 0; i < values.size(); ++i) {
      auto up = values, down = values;
      up[i] += 1e-6, down[i] -= 1e-6;
      const double numeric = (at(up) - at(down)) / 2e-6;
      EXPECT_NEAR(expansion.score[i], numeric, 1e-3 + 1e-4 * std::abs(numeric))
          << model.name << " parameter " << i;
    }
  }
}

TEST(LocalMle, InformationIsMinusTheDerivativeOfTheScoreForScoresLinearInTheirParameters) {
  for (const auto& model : models()) {
    if (model.spec.gate.kind == GateKind("dense_to_sparse"))
      continue;  // a term of mean zero is left out there
    const auto data = simulate(model.spec, model.parameters, {InputDistribution::Kind::kUniform, -1, 1, 1},
                               600, gw::Rng(6));
    const auto codec = local_codec(model.spec, model.parameters, /*pin_last_slope=*/true);
    const auto values = codec.encode(model.parameters);
    const auto score = [&](const std::vector<double>& v) {
      return expand(data.view(), model.spec, decoded(codec, model.parameters, v)).score;
    };
    const auto expansion = expand(data.view(), model.spec, model.parameters);
    for (size_t j = 0; j < values.size(); ++j) {
      auto up = values, down = values;
      up[j] += 1e-6, down[j] -= 1e-6;
      const auto a = score(up), b = score(down);
      for (size_t i = 0; i < values.size(); ++i) {
        const double numeric = -(a[i] - b[i]) / 2e-6;
        EXPECT_NEAR(expansion.information[i * values.size() + j], numeric, 0.02 + 1e-4 * std::abs(numeric))
            << model.name << " " << i << "," << j;
      }
    }
  }
}

TEST(LocalMle, ClimbsMonotonicallyToAStationaryPointAboveTheTruth) {
  for (const auto& model : models()) {
    const auto data = simulate(model.spec, model.parameters, {InputDistribution::Kind::kUniform, -1, 1, 1},
                               3000, gw::Rng(7));
    const auto fit = maximise_near(data.view(), model.spec, model.parameters);
    EXPECT_GE(fit.log_likelihood, log_likelihood(model.spec, model.parameters, data.view())) << model.name;
    for (size_t i = 1; i < fit.trace.size(); ++i) EXPECT_GT(fit.trace[i], fit.trace[i - 1]) << model.name;
    if (model.spec.gate.kind == GateKind("top_k"))
      continue;  // its likelihood jumps: an ascent may end at a jump
    EXPECT_TRUE(fit.converged) << model.name << " after " << fit.iterations;
    for (const double s : expand(data.view(), model.spec, fit.parameters).score)
      EXPECT_NEAR(s, 0, 0.05) << model.name;
  }
}

TEST(LocalMle, RefusesWhatItCannotClimb) {
  MixtureSpec laplace = gaussian(2);
  laplace.family = Family("laplace");
  const auto data = simulate(gaussian(2), paper_truth(), {}, 10, gw::Rng(1));
  EXPECT_THROW(maximise_near(data.view(), laplace, paper_truth()), gw::ValueError);
  EXPECT_THROW(maximise_near(data.view(), gaussian(3), paper_truth()), gw::ValueError);
}

}  // namespace
