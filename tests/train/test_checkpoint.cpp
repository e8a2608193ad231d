// Checkpoints: what they refuse, and that a refusal changes nothing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::checkpoint_cases {

using gw::Json;

std::shared_ptr<gw::Network> network_of(int64_t experts, int64_t width = 4, int64_t classes = 3,
                                        int64_t seed = 0) {
  gw::NetworkOptions options;
  options.experts = experts, options.ratio = 0.5, options.seed = seed;
  options.backbone_options = Json{{"width", width}};
  options.gate = Json{{"part", "cnn"}, {"arch", "small"}, {"width", 2}};
  return std::make_shared<gw::Network>(options, 1, 8, 8, classes);
}

std::vector<at::Tensor> tensors_of(const gw::Network& network) {
  std::vector<at::Tensor> out;
  for (const auto& t : network.parameters()) out.push_back(t.detach().clone());
  for (const auto& t : network.buffers()) out.push_back(t.detach().clone());
  return out;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](const auto& x, const auto& y) { return at::equal(x, y); });
}

gw::SafetensorsFile packed(const gw::Network& network) {
  return gw::pack_checkpoint(network, nullptr, nullptr, {1, 2, 3, 0.5}, {{"epochs", 4}});
}

TEST(Checkpoint, HoldsWeightsPositionAndConfig) {
  const auto a = network_of(2, 4, 3, 1), b = network_of(2, 4, 3, 2);
  EXPECT_FALSE(same(tensors_of(*a), tensors_of(*b)));
  const Scratch scratch;
  gw::save_safetensors(scratch / "c", packed(*a));
  const auto file = gw::load_safetensors(scratch / "c");
  const auto at = gw::unpack_checkpoint(*b, nullptr, nullptr, file, "c");
  EXPECT_TRUE(same(tensors_of(*a), tensors_of(*b)));
  EXPECT_EQ(at.epoch, 1);
  EXPECT_EQ(at.batch, 2);
  EXPECT_EQ(at.step, 3);
  EXPECT_EQ(at.best, 0.5);
  EXPECT_EQ(gw::checkpoint_config(file, "c"), (Json{{"epochs", 4}}));
}

TEST(Checkpoint, AnotherArchitectureListsTheTensorsAndChangesNothing) {
  const auto network = network_of(2);
  const auto before = tensors_of(*network);
  const auto load = [&](const gw::SafetensorsFile& file) {
    return refusal<gw::ValueError>([&] { gw::load_model(*network, file, "old.safetensors"); });
  };

  const auto dense = load(packed(*network_of(1)));
  expect_part(dense,
              "checkpoint old.safetensors: expected the tensors of this network, got another architecture; "
              "missing: model/router.");
  expect_part(dense, "of another shape or type: model/backbone.");
  const auto wide = load(packed(*network_of(2, 8)));
  expect_part(wide, "of another shape or type");
  expect_part(wide, " and ");
  expect_part(wide, " more");
  EXPECT_LT(wide.size(), 2000u) << "at most ten of each";
  const auto classes = load(packed(*network_of(2, 4, 5)));
  expect_part(classes, "expected [3");
  expect_part(classes, "got [5");

  auto file = packed(*network);
  file.tensors["model/backbone.extra"] = at::zeros({1});
  gw::seal_checkpoint(file);
  expect_part(load(file), "unexpected: model/backbone.extra");
  file = packed(*network);
  auto& head = file.tensors.rbegin()->second;
  head = head.to(at::kDouble);
  gw::seal_checkpoint(file);
  expect_part(load(file), "of Float, got");
  expect_part(load(file), "of Double");
  EXPECT_TRUE(same(tensors_of(*network), before));
}

TEST(Checkpoint, OneFlippedBitIsRefusedAndChangesNothing) {
  const auto network = network_of(2), other = network_of(2, 4, 3, 7);
  const auto before = tensors_of(*network);
  const auto bytes = gw::write_safetensors(packed(*other));
  uint64_t header = 0;
  for (size_t i = 0; i < 8; ++i) header |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  const size_t content = 8 + header;
  for (const size_t at : {content, content + (bytes.size() - content) / 2, bytes.size() - 1}) {
    auto damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    expect_part(
        refusal<gw::ValueError>([&] { gw::load_model(*network, gw::parse_safetensors(damaged, "f"), "f"); }),
        "the file is damaged: restore it");
  }
  auto file = packed(*other);
  file.metadata["progress"] = R"({"epoch":1,"batch":2,"step":4,"best":0.5})";
  expect_part(refusal<gw::ValueError>([&] { gw::unpack_checkpoint(*network, nullptr, nullptr, file, "f"); }),
              "the file is damaged: restore it");
  EXPECT_TRUE(same(tensors_of(*network), before));
  gw::seal_checkpoint(file);
  EXPECT_EQ(gw::unpack_checkpoint(*network, nullptr, nullptr, file, "f").step, 4) << "changed on purpose";
}

// Without its checksum a file could pass for one of a time that had none; with names changed, for one of
// another network.
TEST(Checkpoint, FilesThatCannotShowTheyAreIntactAreRefusedFirst) {
  const auto network = network_of(2);
  const auto before = tensors_of(*network);
  const auto load = [&](const gw::SafetensorsFile& file) {
    return refusal<gw::ValueError>([&] { gw::load_model(*network, file, "f"); });
  };
  auto file = packed(*network_of(2, 4, 3, 7));
  auto bare = file;
  bare.metadata.erase("crc32c");
  expect_part(load(bare), "expected the field \"crc32c\" in the header, got none");
  auto old = bare;
  old.metadata["format"] = "gatewright-checkpoint-1";
  old.metadata["config"] = R"({"name": "advmoe", "arm": "adv_moe"})";
  expect_part(load(old), "which an earlier version wrote");
  expect_part(load(old), "train arm \"adv_moe\" of recipe \"advmoe\" again");
  expect_part(refusal<gw::ValueError>([&] { gw::checkpoint_config(old, "f"); }),
              "which an earlier version wrote");
  auto renamed = file;
  auto node = renamed.tensors.extract(renamed.tensors.begin());
  node.key() += "x";
  renamed.tensors.insert(std::move(node));
  expect_part(load(renamed), "the file is damaged: restore it");
  auto config = file;
  config.metadata["config"] = R"({"epochs": 5})";
  expect_part(refusal<gw::ValueError>([&] { gw::checkpoint_config(config, "f"); }),
              "the file is damaged: restore it");
  EXPECT_TRUE(same(tensors_of(*network), before));
}

TEST(Checkpoint, EmptyCutAndForeignFilesNameTheRemedy) {
  const Scratch scratch;
  const auto bytes = gw::write_safetensors(packed(*network_of(2)));
  for (const auto& content : {std::string(), bytes.substr(0, 4), bytes.substr(0, bytes.size() / 2),
                              std::string("not a checkpoint at all")}) {
    gw::write_atomic(scratch / "c", content);
    const auto text = refusal<gw::ValueError>([&] { gw::load_checkpoint(scratch / "c"); });
    expect_part(text, scratch / "c");
    expect_part(text, "restore it from a copy, or train again into another directory");
  }
}

TEST(Checkpoint, AMomentThatIsNotFiniteIsNoticedOnLoading) {
  const auto network = network_of(2);
  const auto before = tensors_of(*network);
  for (const double value : {std::nan(""), static_cast<double>(INFINITY)}) {
    auto file = packed(*network_of(2, 4, 3, 7));
    file.tensors["experts/head.weight/momentum"] = at::full({3}, value);
    gw::seal_checkpoint(file);
    expect_part(
        refusal<gw::ValueError>([&] { gw::unpack_checkpoint(*network, nullptr, nullptr, file, "f"); }),
        "expected finite numbers in \"experts/head.weight/momentum\"");
  }
  EXPECT_TRUE(same(tensors_of(*network), before));
}

TEST(Checkpoint, ADamagedHeaderIsNamed) {
  const auto network = network_of(2);
  const auto before = tensors_of(*network);
  const auto unpack = [&](const std::string& key, const std::string& value) {
    auto file = packed(*network_of(2, 4, 3, 7));
    if (value.empty()) file.metadata.erase(key);
    if (!value.empty()) file.metadata[key] = value;
    gw::seal_checkpoint(file);
    return refusal<gw::ValueError>([&] { gw::unpack_checkpoint(*network, nullptr, nullptr, file, "f"); });
  };
  expect_part(unpack("format", ""), "expected the field \"format\" in the header, got none");
  expect_part(unpack("format", "pt"), "expected the format gatewright-checkpoint-2, got \"pt\"");
  for (const char* damaged : {"{", "[]", "{}", "null", R"({"epoch":1,"batch":2,"step":3})",
                              R"({"epoch":"1","batch":2,"step":3,"best":0})"}) {
    expect_part(unpack("progress", damaged), "the file is damaged");
  }
  expect_part(unpack("progress", R"({"epoch":-1,"batch":2,"step":3,"best":0})"),
              "expected positions of at least 0, got epoch -1");
  EXPECT_TRUE(same(tensors_of(*network), before));
  auto file = packed(*network);
  file.metadata["config"] = "[1]";
  gw::seal_checkpoint(file);
  expect_part(refusal<gw::ValueError>([&] { gw::checkpoint_config(file, "f"); }),
              "expected a JSON object in \"config\"");
}

}  // namespace gw::test::checkpoint_cases
