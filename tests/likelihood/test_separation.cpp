// Classes and gates that the inputs separate: which parameters have no maximum, and what is left to the
// others.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "gatewright/likelihood/inference.h"
#include "gatewright/likelihood/information.h"
#include "gatewright/likelihood/predict.h"
#include "gatewright/likelihood/separation.h"
#include "tests/likelihood/samples.h"

namespace {

using namespace gw::likelihood;
using gw::test::Sample;

MixtureSpec one_expert(Family family = Family("gaussian")) {
  MixtureSpec spec;
  spec.experts = 1, spec.family = family;
  return spec;
}

/// Two columns and two classes that one row more, on the wrong side by `overlap`, keeps from being separated.
Sample nearly_separated(double overlap) {
  Sample sample;
  for (int i = 0; i < 60; ++i) {
    const double turn = std::sin(5.0 * i), x = 0.2 + std::abs(std::sin(3.0 * i));
    sample.x.push_back(i % 2 ? x : -x), sample.x.push_back(turn);
    sample.y.push_back(i % 2);
  }
  if (overlap > 0) sample.x.push_back(-0.2 - overlap), sample.x.push_back(-0.4), sample.y.push_back(1);
  return sample;
}

/// examples/data/iris.csv: four measurements of a flower, its species as a class.
Sample flowers() {
  Sample sample;
  std::ifstream file(std::string(GW_SOURCE_ROOT) + "examples/data/iris.csv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) {
      if (cell == "setosa" || cell == "versicolor" || cell == "virginica")
        sample.y.push_back(cell == "setosa" ? 0 : cell == "versicolor" ? 1 : 2);
      else
        sample.x.push_back(std::stod(cell));
    }
  }
  return sample;
}

TEST(Separation, ClassesWithoutAMaximumHaveNoErrorsAndAreNamed) {
  Sample complete;
  complete.x = {1, 2, 3, 4, 6, 7, 8, 9}, complete.y = {0, 0, 0, 0, 1, 1, 1, 1};
  const auto all =
      infer(fit(complete.view(), one_expert(Family("multinomial")), 1), complete.view(), {"dose"});
  EXPECT_FALSE(all.error[0] || all.error[1]);
  ASSERT_EQ(all.warnings.size(), 1u);
  EXPECT_NE(all.warnings[0].find("expert 1, class 1 dose"), std::string::npos) << all.warnings[0];
  Sample quasi;  // class 1 never where the first column is 1; the second column is an ordinary one
  for (int i = 0; i < 80; ++i) {
    const bool d = i % 4 == 0;
    quasi.x.push_back(d), quasi.x.push_back(std::sin(3.0 * i));
    quasi.y.push_back(!d && std::sin(11.0 * i) > 0.3 * std::sin(3.0 * i) ? 1 : 0);
  }
  const auto part = infer(fit(quasi.view(), one_expert(Family("multinomial")), 1), quasi.view());
  EXPECT_TRUE(part.error[0]);
  EXPECT_FALSE(part.error[1]);
  EXPECT_TRUE(part.error[2]);
  ASSERT_EQ(part.warnings.size(), 1u);
  EXPECT_NE(all.warnings[0].find("classes completely:"), std::string::npos) << all.warnings[0];
  EXPECT_NE(part.warnings[0].find("classes in part (quasi-complete separation):"), std::string::npos)
      << part.warnings[0];
}

// Behind a gate nothing decides it exactly, and the note says so.
TEST(Separation, ANoteOnClassesOfSeveralExpertsSaysThatItIsJudged) {
  Sample sample;
  for (int i = 0; i < 60; ++i) sample.x.push_back(i - (i < 30 ? 40 : 20)), sample.y.push_back(i < 30 ? 0 : 1);
  MixtureSpec spec;
  spec.family = Family("multinomial");
  const auto inference = infer(fit(sample.view(), spec, 1), sample.view());
  std::string notes;
  for (const auto& warning : inference.warnings) notes += warning + "\n";
  EXPECT_NE(notes.find("(decided exactly for one expert alone)"), std::string::npos) << notes;
  EXPECT_EQ(notes.find("completely"), std::string::npos) << notes;
}

// An exact criterion, not a numerical one: however steep the maximum is, it is one.
TEST(Separation, IsExact) {
  for (const double overlap : {0.0, 0.05, 0.4, 1.0}) {
    const Sample sample = nearly_separated(overlap);
    const auto spec = one_expert(Family("multinomial"));
    const auto found = separation(spec, Design(sample.view(), spec));
    // The row is inside the other class from where its x is beyond a line that tells the others apart.
    const bool apart = overlap < 0.01;
    if (overlap == 0 || overlap == 1) {
      EXPECT_EQ(found.kind, apart ? Separation::Kind::kComplete : Separation::Kind::kNone) << overlap;
      const auto inference = infer(fit(sample.view(), spec, 1), sample.view());
      for (const auto& error : inference.error) EXPECT_EQ(error.has_value(), !apart) << overlap;
    }
    for (const auto& direction : found.directions) EXPECT_EQ(direction.size(), 3u);
  }
}

// The penalised fit of a separated table has a maximum; the reference is Newton's method on two numbers.
TEST(Separation, ARidgeOnClassesIsThePenalisedFit) {
  Sample sample;
  for (const double x : {1, 2, 3, 4, 6, 7, 8, 9}) sample.x.push_back(x), sample.y.push_back(x > 5 ? 1 : 0);
  FitOptions options;
  options.class_ridge = 0.5;
  const auto spec = one_expert(Family("multinomial"));
  const auto fitted = fit(sample.view(), spec, 1, options);
  const double deviation = std::sqrt(7.5);  // of x
  double a = 0, b = 0;                      // class 0 against class 1 at z = (x - 5) / deviation
  for (int step = 0; step < 50; ++step) {
    double ga = 0, gb = -options.class_ridge * b, haa = 0, hab = 0, hbb = options.class_ridge;
    for (const double x : sample.x) {
      const double z = (x - 5) / deviation, p = 1 / (1 + std::exp(-(a + b * z))), y = x < 5 ? 1 : 0;
      ga += y - p, gb += (y - p) * z, haa += p * (1 - p), hab += p * (1 - p) * z, hbb += p * (1 - p) * z * z;
    }
    const double det = haa * hbb - hab * hab;
    a += (hbb * ga - hab * gb) / det, b += (haa * gb - hab * ga) / det;
  }
  EXPECT_NEAR(fitted.parameters.slope[0], b / deviation, 1e-6);
  EXPECT_NEAR(fitted.parameters.intercept[0], a - 5 * b / deviation, 1e-5);
}

// Certificates over random tables: either a direction tells classes apart, which is checked row by row, or a
// positive combination of all contrasts is 0. The likelihood is asked instead, by Newton's method without a
// ridge.
TEST(Separation, AgreesWithTheLikelihoodOnRandomTables) {
  int counts[3] = {0, 0, 0};
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const gw::Rng rng(seed);
    Sample sample;
    const int rows = 8 + static_cast<int>(rng.below(0, 10));
    for (int i = 0; i < rows; ++i) {
      const auto at = static_cast<uint64_t>(i);
      sample.x.push_back(static_cast<double>(rng.fork("a").below(at, 4))),
          sample.x.push_back(rng.fork("b").uniform(at));
      sample.y.push_back(i < 3 ? i : static_cast<double>(rng.fork("y").below(at, 3)));
      if (i >= 3 && rng.fork("z").uniform(at) < 0.7)
        sample.y.back() = std::min(2.0, std::floor(sample.x[2 * at] * 0.8));
    }
    auto spec = one_expert(Family("multinomial"));
    spec.classes = 3;
    const Design design(sample.view(), spec);
    const auto found = separation(spec, design);
    ++counts[static_cast<int>(found.kind)];
    // Where there is a maximum the steps die out; at a separation they go on by about 1 in some score for
    // ever.
    auto p = make_parameters(spec, 2);
    auto at = to_vector(spec, p);
    double last = 0;
    for (int step = 0; step < 20; ++step) {
      const auto sums = information(spec, from_vector(spec, 2, at), design);
      auto move = solve(sums.curvature, sums.gradient);
      double longest = 0;
      for (const double value : move) longest = std::max(longest, std::abs(value));
      for (size_t i = 0; i < at.size(); ++i) at[i] += move[i] * std::min(1.0, 3 / longest);
      last = longest;
    }
    EXPECT_EQ(found.kind != Separation::Kind::kNone, last > 1e-3) << "seed " << seed << ": " << last;
  }
  for (const int count : counts) EXPECT_GE(count, 5);
}

TEST(Separation, AnInnocentClassKeepsItsErrors) {
  Sample sample;  // class 0 far away; classes 1 and 2 overlap
  for (int i = 0; i < 5; ++i) sample.x.push_back(-20 - i), sample.y.push_back(0);
  const char* overlap = "bcbbcbccbc";
  for (int i = 0; i < 10; ++i) sample.x.push_back(i + 1), sample.y.push_back(overlap[i] == 'b' ? 1 : 2);
  auto spec = one_expert(Family("multinomial"));
  spec.classes = 3;
  const auto inference = infer(fit(sample.view(), spec, 1), sample.view());
  EXPECT_FALSE(inference.error[0] || inference.error[1]);
  EXPECT_NEAR(inference.error[2].value_or(0), 1.487, 0.002);
  EXPECT_NEAR(inference.error[3].value_or(0), 0.242, 0.001);
}

// Measurements of a plant's flower separate one of three species from the others, which overlap: these keep
// what a fit of their 100 rows alone has, computed apart at the same coefficients.
TEST(Separation, TwoOverlappingSpeciesKeepTheirErrors) {
  const Sample sample = flowers();
  DataView view = sample.view();
  view.d = 4, view.n = 150;
  auto spec = one_expert(Family("multinomial"));
  spec.classes = 3;
  const auto inference = infer(fit(view, spec, 1), view);
  for (size_t i = 0; i < 5; ++i) EXPECT_FALSE(inference.error[i]) << i;
  const double wanted[] = {25.7, 2.394, 4.479, 4.737, 9.743};
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(inference.error[5 + i].value_or(0) / wanted[i], 1, 2e-3) << i;
}

TEST(Separation, AGateLeavesTheErrorsOfItsExpertsAlone) {
  Sample sample, left;
  const gw::Rng rng(5);
  for (uint64_t i = 0; i < 200; ++i) {
    const bool first = i < 100;
    const double x = first ? -0.5 - 2 * rng.uniform(2 * i) : 0.5 + 2 * rng.uniform(2 * i);
    const double y = (first ? 1 + x : 8 - x) + 0.3 * gw::test::normal(rng.fork("noise"), i);
    sample.x.push_back(x), sample.y.push_back(y);
    if (first) left.x.push_back(x), left.y.push_back(y);
  }
  const auto result = fit(sample.view(), {}, 1);
  const auto inference = infer(result, sample.view());
  const auto alone = infer(fit(left.view(), one_expert(), 1), left.view());
  EXPECT_FALSE(inference.error[0] || inference.error[1]);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(inference.error[2 + i].value_or(0) / *alone.error[i], 1, 1e-4) << i;
  const double x = -1, between = 0;
  EXPECT_GT(predict({}, result.parameters, &x, 0.95, &inference).mean_error.value_or(0), 0.02);
  EXPECT_FALSE(predict({}, result.parameters, &between, 0.95, &inference)
                   .mean_error);  // which expert it is depends on the gate
  EXPECT_EQ(inference.warnings.size(), 1u);
}

// From groups that lie apart to groups that overlap: the note names exactly the gate's coefficients that have
// no error in the table, and where the maximum is finite, however steep, they have one.
TEST(Separation, TheNoteAndTheTableOfAGateSayTheSame) {
  int separated = 0, steep = 0;
  for (const double gap : {1.0, 0.4, 0.1, 0.0, -0.1, -0.2, -0.3, -0.5}) {
    Sample sample;
    const gw::Rng rng(7);
    for (uint64_t i = 0; i < 160; ++i) {
      const bool first = i % 2 == 0;
      const double x = (first ? -1 : 1) * (gap / 2 + 2 * rng.uniform(i));
      sample.x.push_back(x),
          sample.y.push_back((first ? 1 + x : 8 - x) + 0.3 * gw::test::normal(rng.fork("noise"), i));
    }
    const auto inference = infer(fit(sample.view(), {}, 1), sample.view(), {"dose"});
    const std::string note = inference.warnings.empty() ? "" : inference.warnings[0];
    for (size_t i = 0; i < 2; ++i) {
      const bool named = note.find(i == 0 ? "gate 1 (intercept)" : "gate 1 dose") != std::string::npos;
      EXPECT_NE(named, inference.error[i].has_value()) << gap << ": " << note;
    }
    separated += !inference.error[1], steep += inference.error[1].value_or(0) > 3;
  }
  EXPECT_GE(separated, 2);
  EXPECT_GE(steep, 1);
}

}  // namespace
