// Properties of every registered optimizer, parity with PyTorch, and schedules against their formulas.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/optimizer.h"
#include "gatewright/train/schedule.h"

namespace gw::test::optimizers_cases {

using gw::Json;

constexpr int64_t kSizes[] = {12, 5};
constexpr int64_t kSteps = 10;

at::Tensor ramp(int64_t n) { return at::arange(n, at::kDouble); }
at::Tensor gradient_of(int64_t k, int64_t t) {
  return at::sin(0.7 * ramp(kSizes[k]) + 1.3 * static_cast<double>(t) + static_cast<double>(k));
}

std::vector<gw::NamedParameter> parameters(at::ScalarType type = at::kDouble) {
  std::vector<gw::NamedParameter> out;
  for (int64_t k = 0; k < 2; ++k)
    out.push_back({k == 0 ? "conv.weight" : "norm.bias",
                   at::cos(0.3 * ramp(kSizes[k]) + static_cast<double>(k)).to(type)});
  return out;
}

std::shared_ptr<gw::Optimizer> make(const std::string& part, const Json& options,
                                    const std::vector<gw::NamedParameter>& list) {
  return gw::make_part<gw::Optimizer>(part, options, {list});
}

/// Steps `from` … `to`; parameter 1 has no gradient at steps divisible by 3.
void walk(gw::Optimizer& optimizer, int64_t from, int64_t to) {
  for (int64_t t = from; t <= to; ++t) {
    std::vector<at::Tensor> gradients;
    for (int64_t k = 0; k < 2; ++k) {
      const bool skipped = k == 1 && t % 3 == 0;
      gradients.push_back(skipped ? at::Tensor()
                                  : gradient_of(k, t).to(optimizer.parameters()[0].value.scalar_type()));
    }
    optimizer.step(gradients, 0.05 / static_cast<double>(t));
  }
}

std::string refusal(gw::Optimizer& optimizer, const std::map<std::string, at::Tensor>& state) {
  try {
    optimizer.load_state(state);
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "accepted";
}

class OptimizerConformance : public ::testing::TestWithParam<std::string> {};

TEST_P(OptimizerConformance, StateRoundTripGivesTheSameBits) {
  for (const auto type : {at::kDouble, at::kFloat}) {
    for (int64_t cut = 0; cut < kSteps; cut += 2) {
      const auto whole = parameters(type), before = parameters(type);
      auto halves = parameters(type);
      const auto uninterrupted = make(GetParam(), {}, whole), first = make(GetParam(), {}, before);
      walk(*uninterrupted, 1, kSteps);
      walk(*first, 1, cut);
      for (size_t k = 0; k < 2; ++k) halves[k].value.copy_(before[k].value);
      const auto second = make(GetParam(), {}, halves);
      second->load_state(first->state());
      walk(*first, cut + 1, kSteps);  // what was loaded is a copy: these steps must not reach it
      walk(*second, cut + 1, kSteps);
      for (size_t k = 0; k < 2; ++k)
        EXPECT_TRUE(at::equal(whole[k].value, halves[k].value)) << "cut at " << cut << ", parameter " << k;
      const auto a = uninterrupted->state(), b = second->state();
      ASSERT_EQ(a.size(), b.size());
      for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
    }
  }
}

TEST_P(OptimizerConformance, EveryMissingTensorIsNoticed) {
  const auto optimizer = make(GetParam(), {}, parameters());
  walk(*optimizer, 1, 3);
  const auto state = optimizer->state();
  for (const auto& [name, tensor] : state) {
    auto less = state;
    less.erase(name);
    EXPECT_NE(refusal(*optimizer, less).find(name), std::string::npos) << name;
  }
}

TEST_P(OptimizerConformance, SkipsUndefinedGradients) {
  const auto list = parameters();
  const auto before = list[1].value.clone();
  const auto optimizer = make(GetParam(), {}, list);
  for (int64_t t = 1; t <= 4; ++t) optimizer->step({gradient_of(0, t), at::Tensor()}, 0.1);
  EXPECT_TRUE(at::equal(list[1].value, before)) << "not even weight decay";
  EXPECT_FALSE(at::equal(list[0].value, parameters()[0].value));
  // Its own first step is then like the first step of one that never waited, bias corrections included.
  const auto fresh = parameters();
  make(GetParam(), {}, fresh)->step({at::Tensor(), gradient_of(1, 1)}, 0.1);
  optimizer->step({at::Tensor(), gradient_of(1, 1)}, 0.1);
  EXPECT_TRUE(at::equal(list[1].value, fresh[1].value));
}

TEST_P(OptimizerConformance, DecaysOnlyWhatItMay) {
  const Json decay{{"weight_decay", 0.5}}, spared{{"weight_decay", 0.5}, {"no_decay", {"norm"}}},
      none{{"weight_decay", 0.0}};
  const auto a = parameters(), b = parameters(), c = parameters();
  walk(*make(GetParam(), decay, a), 1, 3);
  walk(*make(GetParam(), spared, b), 1, 3);
  walk(*make(GetParam(), none, c), 1, 3);
  EXPECT_TRUE(at::equal(a[0].value, b[0].value));
  EXPECT_TRUE(at::equal(b[1].value, c[1].value));
  EXPECT_FALSE(at::equal(b[0].value, c[0].value));
  EXPECT_FALSE(at::equal(a[1].value, b[1].value));
}

TEST_P(OptimizerConformance, GoesDownhill) {
  const auto list = parameters();
  const auto optimizer = make(GetParam(), {{"weight_decay", 0.0}}, list);
  const auto value = [&] {
    return list[0].value.square().sum().item<double>() + list[1].value.square().sum().item<double>();
  };
  const double start = value();
  for (int64_t t = 1; t <= 200; ++t) optimizer->step({2 * list[0].value, 2 * list[1].value}, 0.02);
  EXPECT_LT(value(), 0.05 * start);
}

TEST_P(OptimizerConformance, RefusesForeignStateAndKeepsItsOwn) {
  const auto list = parameters();
  const auto optimizer = make(GetParam(), {}, list);
  walk(*optimizer, 1, 2);
  const auto good = optimizer->state();
  auto missing = good;
  missing.erase("norm.bias/steps");
  EXPECT_NE(refusal(*optimizer, missing).find("\"norm.bias/steps\""), std::string::npos)
      << refusal(*optimizer, missing);
  auto foreign = good;
  foreign["head.weight/momentum"] = at::zeros({2});
  EXPECT_NE(refusal(*optimizer, foreign).find("no parameter of this network"), std::string::npos)
      << refusal(*optimizer, foreign);
  auto count = good;
  count["conv.weight/steps"] = at::zeros({2}, at::kLong);
  EXPECT_NE(refusal(*optimizer, count).find("expected one integer as \"conv.weight/steps\""),
            std::string::npos)
      << refusal(*optimizer, count);
  for (const auto& wrong : {at::zeros({13}, at::kDouble), at::zeros({12}, at::kFloat)}) {
    auto shape = good;
    shape["conv.weight/any"] = wrong;
    EXPECT_NE(refusal(*optimizer, shape).find("expected \"conv.weight/any\" like its parameter"),
              std::string::npos)
        << refusal(*optimizer, shape);
  }
  const auto kept = optimizer->state();
  ASSERT_EQ(kept.size(), good.size());
  for (const auto& [name, tensor] : good) EXPECT_TRUE(at::equal(tensor, kept.at(name))) << name;
}

TEST_P(OptimizerConformance, RefusesUnknownOptions) {
  EXPECT_THROW(make(GetParam(), {{"weight_decya", 0.1}}, parameters()), gw::ValueError);
  EXPECT_THROW(make(GetParam(), {{"weight_decay", -0.1}}, parameters()), gw::ValueError);
}

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const auto& part : gw::Registry::instance().list("optimizers")) names.push_back(part.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerConformance, ::testing::ValuesIn(optimizer_names()),
                         [](const auto& name) { return name.param; });

TEST(Optimizers, AgreeWithPyTorch) {
  const auto cases = Json::parse(gw::read_file("tests/train/golden/optimizers.json", 1 << 20));
  ASSERT_EQ(cases.size(), 5u);
  for (const auto& golden : cases) {
    const auto list = parameters();
    walk(*make(golden["part"], golden["options"], list), 1, kSteps);
    for (size_t k = 0; k < 2; ++k) {
      const auto expected = golden["values"][k].get<std::vector<double>>();
      ASSERT_EQ(expected.size(), static_cast<size_t>(kSizes[k]));
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(list[k].value[static_cast<int64_t>(i)].item<double>(), expected[i], 1e-13)
            << golden["part"] << golden["options"] << k << " " << i;
      }
    }
  }
}

gw::Schedule schedule(const Json& options) {
  gw::Schedule s;
  gw::parse_options("schedule", options, s);
  return s;
}

TEST(Schedules, CosineFallsByEpochOrByStep) {
  const auto s = schedule({{"lr", 0.4}});
  EXPECT_DOUBLE_EQ(s.at(0, 0, 10, 4), 0.4);
  EXPECT_DOUBLE_EQ(s.at(0, 9, 10, 4), 0.4) << "by epoch: constant within one";
  EXPECT_NEAR(s.at(1, 3, 10, 4), 0.2 * (1 + std::sqrt(0.5)), 1e-15);
  EXPECT_NEAR(s.at(2, 0, 10, 4), 0.2, 1e-15);
  EXPECT_NEAR(s.at(3, 9, 10, 4), 0.2 * (1 - std::sqrt(0.5)), 1e-15);
  const auto fine = schedule({{"lr", 0.4}, {"per_step", true}});
  EXPECT_NEAR(fine.at(0, 5, 10, 1), 0.2, 1e-15);
  EXPECT_NEAR(fine.at(2, 5, 10, 3), 0.2 * (1 + std::cos(M_PI * 2.5 / 3)), 1e-15);
}

// Cycles of 12 and 24 epochs, the last one to the end of the run; a short run has one.
TEST(Schedules, CyclesDoubleAndTheLastOneEndsWithTheRun) {
  const auto s = schedule({{"shape", "cycles"}, {"lr", 1.0}, {"per_step", true}});
  const auto fall = [](double t) { return 0.5 * (1 + std::cos(M_PI * t)); };
  for (const int64_t epoch : {0, 5, 34}) EXPECT_NEAR(s.at(epoch, 0, 10, 35), fall(epoch / 35.0), 1e-12);
  EXPECT_NEAR(s.at(6, 0, 10, 100), fall(0.5), 1e-12);
  EXPECT_NEAR(s.at(11, 9, 10, 100), fall(11.9 / 12), 1e-12);
  EXPECT_NEAR(s.at(12, 0, 10, 100), 1, 1e-12) << "begins anew";
  EXPECT_NEAR(s.at(24, 0, 10, 80), fall(12.0 / 68), 1e-12) << "no cycle of 48 fits behind one of 24";
  EXPECT_NEAR(s.at(24, 0, 10, 108), fall(12.0 / 24), 1e-12);
  EXPECT_NEAR(s.at(79, 9, 10, 80), fall(67.9 / 68), 1e-12);
  EXPECT_NEAR(s.at(7, 0, 10, 0), 0, 1e-12) << "no length, no rate";
}

TEST(Schedules, StepsAtMilestones) {
  const auto s = schedule({{"shape", "step"}, {"lr", 1.0}, {"milestones", {2, 3.5}}, {"gamma", 0.1}});
  EXPECT_DOUBLE_EQ(s.at(0, 0, 10, 5), 1);
  EXPECT_DOUBLE_EQ(s.at(1, 9, 10, 5), 1);
  EXPECT_DOUBLE_EQ(s.at(2, 0, 10, 5), 0.1);
  EXPECT_DOUBLE_EQ(s.at(3, 4, 10, 5), 0.1);
  EXPECT_NEAR(s.at(3, 5, 10, 5), 0.01, 1e-17) << "a milestone within an epoch";
}

TEST(Schedules, WarmsUpLinearlyAndNeverFromZero) {
  const auto s = schedule({{"shape", "constant"}, {"lr", 1.0}, {"warmup_epochs", 2}});
  EXPECT_DOUBLE_EQ(s.at(0, 0, 10, 5), 0.05) << "the first step already moves";
  EXPECT_DOUBLE_EQ(s.at(0, 9, 10, 5), 0.5);
  EXPECT_DOUBLE_EQ(s.at(1, 9, 10, 5), 1);
  EXPECT_DOUBLE_EQ(s.at(4, 0, 10, 5), 1);
}

TEST(Schedules, RefuseWhatMakesNoSense) {
  EXPECT_THROW(schedule({{"shape", "cosin"}}), gw::ValueError);
  EXPECT_THROW(schedule({{"lr", -1}}), gw::ValueError);
  EXPECT_THROW(schedule({{"gamma", 2}}), gw::ValueError);
}

}  // namespace gw::test::optimizers_cases
