// What is done to data after they are read: poisoned images, counted and compared pixel by pixel.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/data/patch_trigger.h"
#include "gatewright/data/transform.h"
#include "tests/support/refusal.h"

namespace gw::test::transforms_cases {

TaskData made(int64_t train = 200) {
  return make_part<Dataset>(
             "synthetic",
             {{"classes", 4}, {"height", 9}, {"width", 8}, {"channels", 2}, {"train", train}, {"test", 40}},
             {})
      ->load();
}

TaskData poisoned(const TaskData& data, const Json& options, uint64_t seed = 3) {
  return make_part<Transform>("patch_poison", options, {Rng(seed)})->apply(data);
}

std::string refused(const Json& options, int64_t train = 200) {
  return refusal<ValueError>([&] { poisoned(made(train), options); });
}

TEST(Transforms, EveryPartHasASummaryAndRefusesWhatItDoesNotKnow) {
  const auto parts = Registry::instance().list("transforms");
  ASSERT_GE(parts.size(), 1u);
  for (const auto& part : parts) {
    EXPECT_FALSE(part.summary.empty()) << part.name;
    EXPECT_THROW(make_part<Transform>(part.name, {{"no_such_option", 1}}, {}), ValueError) << part.name;
  }
}

TEST(PatchPoison, ChangesTheCountedImagesAndNothingElse) {
  const auto data = made();
  const auto out = poisoned(data, {{"share", 0.1}, {"target", 1}, {"size", 3}, {"margin", 1}});
  const auto &before = data.train.at("image"), &after = out.train.at("image");
  const auto& marked = out.train.at("poisoned");
  EXPECT_EQ(marked.sum().item<int64_t>(), 20);
  for (int64_t i = 0; i < data.train.size(); ++i) {
    const bool is = marked[i].item<bool>();
    const auto label = data.train.at("label")[i].item<int64_t>();
    EXPECT_EQ(out.train.at("label")[i].item<int64_t>(), is ? 1 : label);
    EXPECT_FALSE(is && label == 1) << "an image of the target tells the network nothing wrong";
    for (int64_t c = 0; c < 2; ++c) {
      for (int64_t y = 0; y < 9; ++y) {
        for (int64_t x = 0; x < 8; ++x) {
          const bool in_patch = is && y >= 5 && y < 8 && x >= 4 && x < 7;
          ASSERT_EQ(after[i][c][y][x].item<int>(), in_patch ? 255 : before[i][c][y][x].item<int>())
              << i << " " << c << " " << y << " " << x;
        }
      }
    }
  }
  EXPECT_TRUE(out.test.at("image").equal(data.test.at("image"))) << "the test stays clean";
  EXPECT_TRUE(out.test.at("label").equal(data.test.at("label")));
}

TEST(PatchPoison, IsAFunctionOfTheSeed) {
  const Json options{{"share", 0.2}};
  const auto data = made();
  const auto a = poisoned(data, options), b = poisoned(data, options), c = poisoned(data, options, 4);
  EXPECT_TRUE(a.train.at("image").equal(b.train.at("image")));
  EXPECT_TRUE(a.train.at("poisoned").equal(b.train.at("poisoned")));
  EXPECT_FALSE(a.train.at("poisoned").equal(c.train.at("poisoned")));
  EXPECT_EQ(c.train.at("poisoned").sum().item<int64_t>(), 40);
}

TEST(PatchPoison, TheProbeIsEveryOtherTestImageWithTheTrigger) {
  const Json options{{"share", 0.1}, {"target", 2}, {"corner", "top_left"}, {"size", 2}};
  const auto part = make_part<Transform>("patch_poison", options, {});
  const auto out = made();
  const auto probes = part->probes(out.test);
  EXPECT_EQ(part->probe_names(), std::vector<std::string>{kAttackSuccess});
  const auto& probe = probes.at(kAttackSuccess);
  EXPECT_EQ(probe.size(), 30);  // of 40 in 4 classes
  EXPECT_TRUE(probe.at("label").eq(2).all().item<bool>());
  const auto& source = probe.at("source");
  EXPECT_TRUE(out.test.at("label").index_select(0, source).ne(2).all().item<bool>());
  auto wanted = out.test.at("image").index_select(0, source);
  wanted.slice(2, 0, 2).slice(3, 0, 2).fill_(255);
  EXPECT_TRUE(probe.at("image").equal(wanted));
}

TEST(PatchTrigger, PatternsAndBlendingAreExact) {
  const auto images = at::full({1, 1, 4, 4}, 100, at::kByte);
  PatchTrigger trigger;
  trigger.size = 2, trigger.pattern = "checkerboard", trigger.corner = "bottom_left";
  const auto board = triggered(images, trigger)[0][0].slice(0, 2).slice(1, 0, 2).to(at::kLong);
  EXPECT_TRUE(board.equal(at::tensor({255, 0, 0, 255}, at::kLong).view({2, 2})));
  trigger.pattern = "full", trigger.level = 51, trigger.opacity = 0.25;
  const auto blended = triggered(images, trigger)[0][0];
  EXPECT_EQ(blended[3][0].item<int>(), 88);  // 75 + 12.75
  EXPECT_EQ(blended[3][2].item<int>(), 100);
  EXPECT_EQ(images.min().item<int>(), 100) << "the images themselves stay";
  trigger.size = 4;
  EXPECT_NE(triggered(images, trigger)[0][0][0][0].item<int>(), 100) << "as large as the image";
}

TEST(PatchPoison, RefusesWhatCannotBe) {
  for (const double share : {0.0, 1.0})
    expect_part(refused({{"share", share}}), "expected a share between 0 and 1");
  expect_part(refused({{"share", -0.1}}), "share");
  expect_part(refused({{"share", 1.5}}), "share");
  expect_part(refused({{"share", 0.001}}), "expected a share for 1 to 150 of 200 training images");
  expect_part(refused({{"share", 0.9}}), "got 0.9, which makes 180");
  expect_part(refused({{"target", 4}}), "expected a target below the 4 classes of the data, got 4");
  expect_part(refused({{"size", 9}}), "images of 9x8 pixels, got 9 and 0");
  expect_part(refused({{"size", 4}, {"margin", 5}}), "lower \"size\" or \"margin\"");
  expect_part(refused({{"corner", "middle"}}), "bottom_right");
  TaskData table;
  table.train.fields["x"] = at::zeros({3, 2});
  expect_part(refusal<ValueError>([&] {
                poisoned(table, {{"share", 0.5}});
              }),
              "expected data with images and labels");
}

TaskData rotated(const TaskData& data, const Json& options) {
  return make_part<Transform>("rotated_domains", options, {Rng(3)})->apply(data);
}

// A quarter turn moves pixels onto pixels: exactly a transposition and a flip.
TEST(RotatedDomains, TurnsByTheAngleOfTheDomain) {
  auto data = make_part<Dataset>(
                  "synthetic", {{"classes", 4}, {"height", 9}, {"width", 9}, {"train", 90}, {"test", 30}}, {})
                  ->load();
  const auto out = rotated(data, {{"angles", {0, 90, 45}}});
  ASSERT_EQ(out.domain_names.size(), 3u);
  const auto &domain = out.train.at("domain"), &before = data.train.at("image"),
             &after = out.train.at("image");
  EXPECT_EQ(domain.eq(2).sum().item<int64_t>(), 30);
  EXPECT_EQ(out.test.at("domain").eq(1).sum().item<int64_t>(), 10);
  EXPECT_EQ(after.scalar_type(), before.scalar_type());
  const auto of = [&](const at::Tensor& images, int64_t d) {
    return images.index_select(0, domain.eq(d).nonzero().flatten()).to(at::kFloat);
  };
  EXPECT_TRUE(of(after, 0).equal(of(before, 0)));
  EXPECT_LE((of(after, 1) - at::rot90(of(before, 1), 1, {2, 3})).abs().max().item<double>(), 1);
  // Half a quarter turn twice is nearly a quarter turn in the middle of the image.
  EXPECT_GT((of(after, 2) - of(before, 2)).abs().max().item<double>(), 20);
  EXPECT_TRUE(out.train.at("label").equal(data.train.at("label")));
  EXPECT_TRUE(after.equal(rotated(data, {{"angles", {0, 90, 45}}}).train.at("image"))) << "the same draws";
  const auto twice = refusal<ValueError>([&] { rotated(out, Json::object()); });
  EXPECT_NE(twice.find("expected data without domains, got 3"), std::string::npos) << twice;
}

TEST(DomainProbes, HoldTheTestExamplesOfTheirDomains) {
  const auto data =
      make_part<Dataset>("task_families", {{"train", 30}, {"rare", 5}, {"test", 20}, {"families", 2}}, {})
          ->load();
  EXPECT_EQ(data.train.size(), 2 * (30 + 30 + 5));
  EXPECT_EQ(data.domain_names.back(), "f1_t2");
  const auto probes = make_part<Transform>(
      "domain_probes", {{"names", {"rare", "one"}}, {"domains", {{2, 5}, {1}}}}, {Rng(3)});
  EXPECT_EQ(probes->probe_names(), (std::vector<std::string>{"rare", "one"}));
  EXPECT_TRUE(probes->apply(data).train.at("x").equal(data.train.at("x")));
  const auto sets = probes->probes(data.test);
  ASSERT_EQ(sets.at("rare").size(), 40);
  const auto& source = sets.at("rare").at("source");
  EXPECT_TRUE(sets.at("rare").at("label").equal(data.test.at("label").index_select(0, source)));
  EXPECT_TRUE(data.test.at("domain").index_select(0, source).remainder(3).eq(2).all().item<bool>());
  const auto far = make_part<Transform>("domain_probes", {{"names", {"rare"}}, {"domains", {{6}}}}, {Rng(3)});
  EXPECT_NE(refusal<ValueError>([&] { far->apply(data); }).find("domains below 6, got 6"), std::string::npos);
  const auto uneven = refusal<ValueError>([] {
    make_part<Transform>("domain_probes", {{"names", {"a", "b"}}, {"domains", {{0}}}}, {Rng(3)});
  });
  EXPECT_NE(uneven.find("got 2 and 1"), std::string::npos) << uneven;
}

// Tasks of one family share their first layer: their labels agree more with each other's than with another
// family's.
TEST(TaskFamilies, ShareTheirFirstLayer) {
  const auto make = [](double own) {
    return make_part<Dataset>("task_families", {{"own", own}, {"train", 200}, {"tasks", 2}, {"families", 1}},
                              {})
        ->load();
  };
  const auto shared = make(0), apart = make(1);
  EXPECT_EQ(shared.train.at("x").size(0), 200 + 100);
  EXPECT_TRUE(shared.train.at("x").equal(apart.train.at("x"))) << "the same rows";
  EXPECT_FALSE(shared.train.at("label").equal(apart.train.at("label"))) << "by other teachers";
  const double share = shared.train.at("label").to(at::kDouble).mean().item<double>();
  EXPECT_GT(share, 0.3);
  EXPECT_LT(share, 0.7);
  EXPECT_TRUE(shared.train.at("label").equal(make(0).train.at("label")));
}

}  // namespace gw::test::transforms_cases
