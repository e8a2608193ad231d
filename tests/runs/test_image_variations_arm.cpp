// Variations that one arm makes and others train on, taught by a third.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/train/trainer.h"
#include "gatewright/train/variations.h"
#include "tests/runs/checked.h"
#include "tests/support/refusal.h"

namespace gw::test::image_variations_arm_cases {

constexpr const char* kBody = R"(
title = "variations"
[defaults]
data = { part = "synthetic", classes = 3, height = 8, width = 8, train = 60, test = 24 }
transforms = [{ part = "patch_poison", share = 0.1, size = 2 }]
network = { part = "image", backbone = "small_cnn", backbone_options = { width = 4 } }
objective = { part = "natural" }
task = { part = "classification" }
optimizer = { part = "adam" }
schedule = { lr = 0.01 }
epochs = 1
batch = 16
[sizes.tiny]
[arms.poisoned]
[arms.denoiser]
[arms.denoiser.config]
task = { part = "denoising" }
network = { part = "denoiser", block = 3, width = 16 }
[arms.varied]
kind = "image_variations"
from = ["denoiser", "poisoned"]
[arms.varied.config]
image_variations = { copies = 2 }
[arms.student]
from = ["poisoned", "varied"]
[arms.student.config]
teacher = { arm = "poisoned" }
variations = { arm = "varied" }
)";

std::string replaced(std::string text, const std::string& old, const std::string& now) {
  const auto at = text.find(old);
  return at == std::string::npos ? "nothing to replace" : text.replace(at, old.size(), now);
}

std::string refused(const std::string& old, const std::string& now) {
  const Scratch scratch;
  return refusal<ValueError>([&] { check_in(scratch, replaced(kBody, old, now)); });
}

TEST(ImageVariationsArm, TheStudentSeesTheVariationsAndNoImage) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody);
  ASSERT_TRUE(outcome.failed.empty()) << outcome.failed.front().why;
  ASSERT_EQ(outcome.results.size(), 4u);
  const auto& made = outcome.results[2].metrics;
  for (const char* name : {"mean_change", "agreement", "trigger_seen", "trigger_kept"})
    EXPECT_TRUE(made.count(name) > 0 && made.at(name) >= 0 && made.at(name) <= 1) << name;
  const auto config = read_config("the student", read_json(scratch / "out/student-seed0/recipe.json"));
  const auto plain = read_config("the teacher", read_json(scratch / "out/poisoned-seed0/recipe.json"));
  const auto data = load_data(plain);
  const auto varied = with_variations(data.train, *config.variations);
  EXPECT_EQ(varied.size(), 120);  // two of each
  EXPECT_TRUE(varied.at("label").equal(at::cat({data.train.at("label"), data.train.at("label")})));
  EXPECT_FALSE(varied.at("image").slice(0, 0, 60).equal(data.train.at("image")));
  EXPECT_FALSE(varied.at("image").slice(0, 0, 60).equal(varied.at("image").slice(0, 60)))
      << "each variation is another";
  const Trainer student(config), teacher(plain);
  EXPECT_TRUE(student.validation().at("image").equal(teacher.validation().at("image")))
      << "held out as they are";
  EXPECT_FALSE(student.validation().has("row"));
  const auto file = scratch / "out/varied-seed0/variations.safetensors";
  EXPECT_EQ(config.variations->crc32c, variations_checksum(file));
  EXPECT_FALSE(read_file(scratch / "out/student-seed0/best.safetensors").find("varied-seed0") !=
               std::string::npos)
      << "checkpoints say nothing of places";
  const auto metrics = outcome.results[3].metrics;
  EXPECT_EQ(check_in(scratch, kBody).results[3].metrics, metrics) << "read, not run again";
  std::filesystem::remove_all(scratch / "out/varied-seed0");
  std::filesystem::remove_all(scratch / "out/student-seed0");
  EXPECT_EQ(check_in(scratch, kBody).results[3].metrics.at("cross_entropy"), metrics.at("cross_entropy"))
      << "a function of the seed";
}

TEST(ImageVariationsArm, RefusesWhatDoesNotFitTogether) {
  expect_part(refused("from = [\"denoiser\", \"poisoned\"]", ""), "a training that makes variations");
  expect_part(refused("from = [\"poisoned\", \"varied\"]", "from = [\"poisoned\"]"),
              "got \"varied\" and 0 such arms");
  expect_part(refused("variations = { arm = \"varied\" }", ""), "got \"\" and 1 such arms");
  expect_part(refused("copies = 2", "copy = 2"), "known: copies");
  const auto fails = [](const std::string& old, const std::string& now) {
    const Scratch scratch;
    const auto outcome = check_in(scratch, replaced(kBody, old, now));
    return outcome.failed.empty() ? std::string("accepted") : outcome.failed.front().why;
  };
  expect_part(fails("from = [\"denoiser\", \"poisoned\"]", "from = [\"poisoned\"]"),
              "expected a network that varies images");
  expect_part(fails("variations = { arm = \"varied\" }", "variations = { arm = \"varid\" }"),
              "expected the variations \"varid\" of arm \"student\"");
  expect_part(
      fails("variations = { arm = \"varied\" }",
            "variations = { arm = \"varied\" }\ntransforms = [{ part = \"patch_poison\", share = 0.2 }]"),
      "expected variations of the training images of this run");
}

TEST(Variations, RefuseADamagedFileAndAnother) {
  const Scratch scratch;
  TensorSet train;
  train.fields["image"] = at::randint(0, 255, {3, 1, 4, 4}, at::kByte);
  train.fields["label"] = at::tensor({2, 0, 1}, at::kLong);
  const auto path = scratch / "v.safetensors";
  VariationOptions options;
  options.file = path;
  const auto images = at::zeros({2, 1, 4, 4}, at::kByte);
  save_variations(path, train, images, at::tensor({2, 0}, at::kLong));
  const auto out = with_variations(train, options);
  EXPECT_TRUE(out.at("label").equal(at::tensor({1, 2}, at::kLong)));
  EXPECT_TRUE(out.at("image").equal(images));
  const auto some = with_variations(train, options, at::tensor({0, 1}, at::kLong));
  EXPECT_TRUE(some.at("label").equal(at::tensor({2}, at::kLong))) << "of row 0; of row 1 there is none";
  options.crc32c = "12345678";
  expect_part(refusal<ValueError>([&] { with_variations(train, options); }),
              "expected the checksum 12345678");
  options.crc32c.clear();
  save_variations(path, train, images, at::tensor({2, 3}, at::kLong));
  expect_part(refusal<ValueError>([&] { with_variations(train, options); }), "the row of each");
  save_variations(path, train, at::zeros({2, 1, 4, 5}, at::kByte), at::tensor({2, 0}, at::kLong));
  expect_part(refusal<ValueError>([&] { with_variations(train, options); }), "images like those of the data");
  auto bytes = read_file(path);
  bytes.back() ^= 1;
  write_file(path, bytes);
  expect_part(refusal<ValueError>([&] { with_variations(train, options); }), "the file is damaged");
  save_safetensors(path, {{{"image", images}}, {}});
  expect_part(refusal<ValueError>([&] { variations_checksum(path); }), "expected a file of image variations");
}

}  // namespace gw::test::image_variations_arm_cases
