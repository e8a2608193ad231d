// Properties of every registered attack; a new one is under test by being registered.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/attack_loop.h"
#include "tests/train/attack_victims.h"

namespace gw::test::attacks_conformance_cases {

using gw::Json;

constexpr double kEpsilon = 0.06;

/// Options that make a part quick enough for the fast set, by the names of its options.
Json quick(const std::string& name) {
  Json options = Json::object();
  for (const auto& option : gw::Registry::instance().info("attacks", name).options) {
    if (option.name == "steps") options["steps"] = 6;
    if (option.name == "queries") options["queries"] = 40;
    if (option.name == "restarts") options["restarts"] = 2;
    if (option.name == "attacks")
      options["options"] = Json{{"apgd_ce", quick("apgd_ce")}, {"square", quick("square")}};
  }
  return options;
}

class AttackConformance : public ::testing::TestWithParam<std::string> {
 protected:
  std::string name() const { return GetParam(); }
  std::shared_ptr<gw::Attack> attack(double epsilon = kEpsilon) const {
    return gw::make_part<gw::Attack>(name(), quick(name()), {epsilon});
  }
  template <class Kind = gw::ValueError>
  void expect_refused(gw::Victim& victim, const at::Tensor& x, const at::Tensor& y) {
    try {
      attack()->run(victim, x, y, gw::Rng(1));
      FAIL() << name() << " accepted it";
    } catch (const gw::Error& error) {
      EXPECT_NE(dynamic_cast<const Kind*>(&error), nullptr) << "another kind of error: " << error.what();
      EXPECT_NE(std::string(error.what()).find("attacks/"), std::string::npos) << error.what();
    }
  }
  RoutedVictim victim_ = RoutedVictim::random(2, 5, 3);
  at::Tensor x_ = some_images(9, 11), y_ = answers(victim_, x_);
};

TEST_P(AttackConformance, StaysInTheBallAndTheBox) {
  for (const bool channels_last : {false, true}) {
    const at::Tensor x = channels_last ? x_.contiguous(at::MemoryFormat::ChannelsLast) : x_;
    const at::Tensor before = x.clone();
    const auto result = attack()->run(victim_, x, y_, gw::Rng(1));
    EXPECT_TRUE(at::equal(x, before)) << "the input was written to";
    EXPECT_EQ(result.images.sizes(), x.sizes());
    EXPECT_EQ(result.images.strides(), x.strides());
    EXPECT_EQ(result.images.dtype(), x.dtype());
    EXPECT_FALSE(result.images.requires_grad());
    EXPECT_LE((result.images - x).abs().max().item<double>(), kEpsilon + 1e-6);
    EXPECT_GE(result.images.min().item<double>(), 0);
    EXPECT_LE(result.images.max().item<double>(), 1);
    EXPECT_GT((result.images - x).abs().max().item<double>(), 0.5 * kEpsilon) << "did not move";
  }
}

TEST_P(AttackConformance, ReportsWhatReevaluationFinds) {
  int64_t passes = 0;
  HookedVictim counted(victim_, [&](const at::Tensor&, gw::Victim::Response&) { ++passes; });
  y_[0] = (y_[0] + 1).remainder(5);  // one image that the victim gets wrong from the start
  const auto result = attack()->run(counted, x_, y_, gw::Rng(1));
  EXPECT_EQ(result.queries, passes);
  at::NoGradGuard no_graph;
  const auto response = victim_.respond(result.images);
  EXPECT_TRUE(at::equal(result.fooled, response.logits.argmax(1) != y_));
  EXPECT_TRUE(at::equal(result.fooled, result.margin > 0));
  EXPECT_TRUE(at::allclose(result.margin, gw::margin_loss(response.logits, y_)));
  EXPECT_TRUE(at::equal(result.flipped, response.scores.argmax(1) != victim_.respond(x_).scores.argmax(1)));
}

TEST_P(AttackConformance, IsDeterministicAndLeavesNoGradients) {
  const auto first = attack()->run(victim_, x_, y_, gw::Rng(1));
  at::NoGradGuard callers_guard;  // an evaluation loop's guard must not blind the attack
  const auto second = attack()->run(victim_, x_, y_, gw::Rng(1));
  EXPECT_TRUE(at::equal(first.images, second.images));
  for (const auto& parameter : victim_.parameters()) {
    EXPECT_FALSE(parameter.grad().defined());
    EXPECT_TRUE(parameter.requires_grad());
  }
}

TEST_P(AttackConformance, RadiusZeroGivesTheInput) {
  const auto result = attack(0)->run(victim_, x_, y_, gw::Rng(1));
  EXPECT_TRUE(at::equal(result.images, x_));
  EXPECT_FALSE(result.fooled.any().item<bool>());
  EXPECT_FALSE(result.flipped.any().item<bool>());
}

TEST_P(AttackConformance, TakesEmptyAndSingleBatches) {
  const auto none = attack()->run(victim_, x_.narrow(0, 0, 0), y_.narrow(0, 0, 0), gw::Rng(1));
  EXPECT_EQ(none.images.sizes(), x_.narrow(0, 0, 0).sizes());
  EXPECT_EQ(none.fooled.numel(), 0);
  EXPECT_EQ(none.fooled.scalar_type(), at::kBool);
  const auto one = attack()->run(victim_, x_.narrow(0, 0, 1), y_.narrow(0, 0, 1), gw::Rng(1));
  EXPECT_EQ(one.images.size(0), 1);
  EXPECT_EQ(one.fooled.numel(), 1);
}

TEST_P(AttackConformance, DoesNotDependOnTheSplitOfTheBatch) {
  const auto whole = attack()->run(victim_, x_, y_, gw::Rng(1));
  std::vector<at::Tensor> images;
  for (const auto& [first, size] : std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {1, 5}, {6, 3}}) {
    images.push_back(
        attack()->run(victim_, x_.narrow(0, first, size), y_.narrow(0, first, size), gw::Rng(1)).images);
  }
  // The victim's own products may round differently for another batch size: 1e-6, not bits.
  EXPECT_TRUE(at::allclose(at::cat(images), whole.images, 0, 1e-6));
}

TEST_P(AttackConformance, WorksInDoublePrecision) {
  for (auto* tensor : {&victim_.router, &victim_.router_bias, &victim_.weights[0], &victim_.weights[1],
                       &victim_.biases[0], &victim_.biases[1]}) {
    *tensor = tensor->detach().to(at::kDouble).requires_grad_(true);
  }
  const auto result = attack()->run(victim_, x_.to(at::kDouble), y_, gw::Rng(1));
  EXPECT_EQ(result.images.scalar_type(), at::kDouble);
  EXPECT_LE((result.images - x_).abs().max().item<double>(), kEpsilon + 1e-12);
}

TEST_P(AttackConformance, RefusesWhatItCannotUse) {
  expect_refused(victim_, x_ * 1.2, y_);
  expect_refused(victim_, x_ - 0.5, y_);
  expect_refused(victim_, at::full_like(x_, NAN), y_);
  expect_refused(victim_, flat(x_), y_);
  expect_refused(victim_, x_.to(at::kLong), y_);
  expect_refused(victim_, x_, y_ + 5);
  expect_refused(victim_, x_, y_ - 5);
  expect_refused(victim_, x_, y_.narrow(0, 0, 3));
  expect_refused(victim_, x_, y_.to(at::kInt));
  HookedVictim broken(victim_, [](const at::Tensor&, gw::Victim::Response& response) {
    response.logits = response.logits * NAN;
  });
  expect_refused<gw::NumericError>(broken, x_, y_);
  EXPECT_THROW(gw::make_part<gw::Attack>(name(), {{"no_such_option", 1}}, {kEpsilon}), gw::ValueError);
  EXPECT_THROW(attack(-0.1), gw::ValueError);
  EXPECT_THROW(attack(1.5), gw::ValueError);
}

TEST_P(AttackConformance, AttacksDenseVictimsOrSaysWhyNot) {
  MlpVictim dense(16, 5, 7);
  const at::Tensor y = answers(dense, x_);
  if (name() == "router") return expect_refused(dense, x_, y);
  const auto result = attack()->run(dense, x_, y, gw::Rng(1));
  EXPECT_TRUE(at::equal(result.fooled, answers(dense, result.images) != y));
  EXPECT_FALSE(result.flipped.defined());
}

TEST_P(AttackConformance, IsNamedAfterItsFile) {
  const auto& info = gw::Registry::instance().info("attacks", name());
  EXPECT_EQ(info.file, "gatewright/train/robust/attacks/" + name() + ".cpp");
  EXPECT_FALSE(info.summary.empty());
}

std::vector<std::string> all_attacks() {
  std::vector<std::string> names;
  for (const auto& info : gw::Registry::instance().list("attacks")) names.push_back(info.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, AttackConformance, ::testing::ValuesIn(all_attacks()),
                         [](const auto& test) { return test.param; });

TEST(AttackCatalogue, HoldsWhatIsDocumented) {
  const std::vector<std::string> expected = {"apgd_ce",   "apgd_dlr", "ensemble",    "fgsm",
                                             "joint",     "noise",    "per_pathway", "pgd",
                                             "published", "router",   "square",      "steered"};
  const auto names = all_attacks();
  for (const auto& name : expected)
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
}

}  // namespace gw::test::attacks_conformance_cases
