// A local expert and a gate beside a trained network: what they learn, what they leave alone, what is
// refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/data/users.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/customise.h"
#include "tests/support/refusal.h"

namespace gw::test::customise_cases {

/// Rows in two dimensions, classes by the sign of the first; the global expert knows that, and says the
/// opposite of what `own` rows, which lie at second coordinate `place`, have for a label.
Features rows(int64_t count, double place, bool own, uint64_t seed) {
  const auto x = ops::normal(Rng(seed), {count, 2}, 0, 1);
  x.select(1, 1).mul_(0.3).add_(place);
  const auto side = x.select(1, 0).gt(0).to(at::kLong);
  const auto logit = at::where(side.eq(1), 2.0, -2.0).to(at::kFloat);
  return {x, at::stack({-logit, logit}, 1), own ? 1 - side : side};
}

double right(const at::Tensor& said, const Features& f) {
  return said.eq(f.label).to(at::kDouble).mean().item<double>();
}

TEST(SmallPerceptron, FitsWhatItIsShown) {
  const auto f = rows(200, 0, false, 1);
  const SmallPerceptron fitted(f.feature, 2, {4, 200, 0.05, 0.0}, Rng(2),
                               [&](const at::Tensor& y) { return at::cross_entropy_loss(y, f.label); });
  EXPECT_GT(right(fitted.forward(f.feature).argmax(1), f), 0.97);
  EXPECT_EQ(fitted.parameters(), 2 * 4 + 4 + 4 * 2 + 2);
  EXPECT_EQ(fitted.macs(), 2 * 4 + 4 * 2);
}

// A user far from everybody whose labels are turned round: the local expert answers for the user, and nobody
// else notices.
TEST(Customised, TheGateKnowsWhoAsks) {
  const auto own = rows(200, 4, true, 1), gate = rows(150, 0, false, 2), threshold = rows(150, 0, false, 3);
  const Customised made(own, gate, threshold, {}, Rng(4));
  const auto test = rows(300, 4, true, 5), everybody = rows(300, 0, false, 6);
  EXPECT_EQ(right(test.logits.argmax(1), test), 0);
  EXPECT_GT(right(made.answers(test), test), 0.95);
  EXPECT_GT(right(made.answers(everybody), everybody), 0.98);
  EXPECT_LT(made.handed(everybody).to(at::kDouble).mean().item<double>(), 0.05);
  EXPECT_EQ(made.parameters(), (2 * 16 + 16 + 16 * 2 + 2) + (4 * 8 + 8 + 8 + 1));
  const Customised again(own, gate, threshold, {}, Rng(4));
  EXPECT_TRUE(again.local(test).equal(made.local(test)) && again.handed(test).equal(made.handed(test)));
}

// A user who is everybody: the global expert is right, there is nothing to learn, and it goes on answering.
TEST(Customised, AUserWithoutErrorsKeepsTheGlobalExpert) {
  const auto own = rows(100, 0, false, 1);
  const Customised made(own, rows(50, 0, false, 2), rows(50, 0, false, 3), {}, Rng(4));
  EXPECT_FALSE(made.handed(own).any().item<bool>());
  EXPECT_TRUE(made.answers(own).equal(own.logits.argmax(1)));
}

// A user who looks like everybody with other labels: nothing tells them apart, and the bound on everybody's
// loss holds all the same.
TEST(Customised, WhoCannotBeToldApartGetsNothingAtOthersCost) {
  CustomiseOptions options;
  options.drop = 0.02;
  const Customised made(rows(200, 0, true, 1), rows(300, 0, false, 2), rows(300, 0, false, 3), options,
                        Rng(4));
  const auto everybody = rows(1000, 0, false, 6);
  EXPECT_GT(right(made.answers(everybody), everybody), 0.95);
}

TEST(Customised, RefusesTooFewImages) {
  const auto few = rows(9, 0, false, 1), some = rows(20, 0, false, 2);
  expect_part(refusal<ValueError>([&] { Customised(few, some, some, {}, Rng(1)); }),
              "at least 10 images of the user and some of everybody, got 9, 20 and 20");
  const Features none{at::zeros({0, 2}), at::zeros({0, 2}), at::zeros({0}, at::kLong)};
  expect_part(refusal<ValueError>([&] { Customised(some, none, some, {}, Rng(1)); }), "got 20, 0 and 20");
}

Json spec_of_images() { return {{"backbone", "small_cnn"}, {"backbone_options", {{"width", 2}}}}; }

TEST(FeaturesOf, AreWhatTheLastLayerReads) {
  DataSpec data;
  data.channels = 1, data.height = data.width = 8, data.classes = 3;
  auto options = spec_of_images();
  const auto model = make_part<Model>("image", options, {data, {3, false}, 1});
  TensorSet set;
  set.fields["image"] = ops::uniform(Rng(2), {300, 1, 8, 8}, 0, 255).to(at::kByte);
  set.fields["label"] = at::arange(300, at::kLong).remainder(3);
  const auto f = features_of(*model, set);
  const auto p = model->named_parameters();
  EXPECT_EQ(f.feature.sizes(), (at::IntArrayRef{300, 8}));
  const auto head = at::linear(f.feature, p["backbone.head.weight"], p["backbone.head.bias"]);
  EXPECT_TRUE(f.logits.allclose(head, 1e-4, 1e-5));
  options["experts"] = 2, options["ratio"] = 0.5, options["gate"] = Json{{"part", "cnn"}, {"arch", "small"}};
  options["private"] = Json::array({"head"});
  const auto routed = make_part<Model>("image", options, {data, {3, false}, 1});
  expect_part(refusal<ValueError>([&] { features_of(*routed, set); }), "expected a dense network");
}

TensorSet pool(int64_t count) {
  TensorSet set;
  set.fields["image"] = ops::uniform(Rng(1), {count, 1, 9, 9}, 0, 255).to(at::kByte);
  set.fields["label"] = at::arange(count, at::kLong).remainder(5);
  return set;
}

TEST(Users, DifferAsAskedAndStayThemselves) {
  UserOptions options;
  options.train = 40, options.test = 60, options.rotation = 20, options.shear = 10, options.thinning = 0.5;
  options.favourites = 2, options.skew = 0.8;
  int64_t thin = 0;
  for (int64_t u = 0; u < 8; ++u) {
    const auto user = make_user(pool(1000), 5, options, Rng(3), u);
    EXPECT_EQ(user.train.size(), 40);
    EXPECT_EQ(user.test.size(), 60);
    EXPECT_GE(std::abs(user.rotation), 10);
    EXPECT_LE(std::abs(user.rotation), 20);
    EXPECT_GE(std::abs(user.shear), 5);
    const auto label = at::cat({user.train.at("label"), user.test.at("label")});
    const auto liked = label.eq(user.favourites[0]).logical_or(label.eq(user.favourites[1]));
    EXPECT_EQ(liked.sum().item<int64_t>(), 80);
    thin += user.thin ? 1 : 0;
    const auto again = make_user(pool(1000), 5, options, Rng(3), u);
    EXPECT_TRUE(again.test.at("image").equal(user.test.at("image")));
  }
  EXPECT_GT(thin, 0);
  EXPECT_LT(thin, 8);
}

TEST(Users, ADistortionIsAFixedMapOfPixels) {
  auto image = at::zeros({1, 1, 9, 9}, at::kByte);
  image[0][0][4][4] = 200, image[0][0][4][7] = 100;
  EXPECT_TRUE(distorted(image, 0, 0).equal(image));
  const auto turned = distorted(image, 90, 0);
  EXPECT_EQ(turned[0][0][4][4].item<int64_t>(), 200);
  EXPECT_EQ(turned[0][0][4][7].item<int64_t>(), 0);
  EXPECT_EQ(turned[0][0][7][4].item<int64_t>() + turned[0][0][1][4].item<int64_t>(), 100);
}

TEST(Users, RefuseWhatCannotBeDrawn) {
  UserOptions options;
  options.train = 40, options.test = 60;
  expect_part(refusal<ValueError>([&] { make_user(pool(99), 5, options, Rng(1), 0); }),
              "expected at least 100 images to draw a user's from, got 99");
  options.favourites = 6;
  expect_part(refusal<ValueError>([&] { make_user(pool(200), 5, options, Rng(1), 0); }),
              "at most 5 favourites");
  expect_part(refusal<ValueError>([&] { make_user(TensorSet{}, 5, options, Rng(1), 0); }),
              "a pool of images");
}

}  // namespace gw::test::customise_cases
