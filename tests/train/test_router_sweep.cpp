// Every gate and every policy of the catalogue trains by name, through a TrainConfig as recipes give it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "tests/train/small_run.h"

namespace gw::test::router_sweep_cases {

using gw::Json;

std::vector<std::string> names(const char* kind) {
  std::vector<std::string> out;
  for (const auto& part : gw::Registry::instance().list(kind)) out.push_back(part.name);
  return out;
}

bool has_trait(const char* kind, const std::string& name, const std::string& word) {
  const auto& traits = gw::Registry::instance().info(kind, name).traits;
  return std::find(traits.begin(), traits.end(), word) != traits.end();
}

/// Two files of letters with different habits, so that there is something to learn and two domains.
struct Texts {
  Scratch scratch;
  std::vector<std::string> files;
  Texts() {
    for (const char* text :
         {"the cat sat on the mat and the dog on the log; ", "10 + 11 = 21, 12 + 13 = 25, 31 + 4 = 35; "}) {
      files.push_back(scratch.path() + "/" + std::to_string(files.size()) + ".txt");
      std::ofstream out(files.back());
      for (int i = 0; i < 12; ++i) out << text;
    }
  }
};

/// 58 windows of 16 bytes, 40 to train on: 5 steps. `mixture`: options of every block's mixture.
gw::TrainConfig token_config(const Texts& texts, const Json& mixture,
                             const std::string& task = "classification") {
  gw::TrainConfig config;
  config.name = "sweep", config.arm = "token";
  config.task = Json{{"part", task}};
  config.data = Json{{"part", "bytes"}, {"files", texts.files}, {"context", 16}};
  config.network = Json{{"part", "token_mixer"}, {"width", 12}, {"depth", 2}, {"mixture", mixture}};
  config.objective = "natural", config.optimizer = "adam";
  config.schedule = Json{{"lr", 0.01}};
  config.epochs = 1, config.batch = 8, config.validation = 0.2;
  return config;
}

Json mixture_of(const Json& gate, const Json& policy, int64_t experts) {
  return {
      {"experts", experts}, {"gate", gate}, {"policy", policy}, {"bank", {{"part", "mlp"}, {"hidden", 8}}}};
}

/// Trains; some weight must have moved, and every loss is finite. Errors pass through.
void train_moves_weights(const gw::TrainConfig& config) {
  const Scratch scratch;
  gw::check_config(config);
  gw::Trainer trainer(config);
  std::map<std::string, at::Tensor> before;
  for (const auto& item : trainer.model().named_parameters())
    before[item.key()] = item.value().detach().clone();
  Recording recording;
  trainer.run({scratch.path()}, recording);
  int64_t moved = 0;
  for (const auto& item : trainer.model().named_parameters())
    moved += at::equal(item.value(), before.at(item.key())) ? 0 : 1;
  EXPECT_GT(moved, 0);
  for (const auto& record : recording.records) {
    if (record.at("kind") != "train") continue;
    EXPECT_TRUE(std::isfinite(record.at("loss").get<double>())) << record.dump();
  }
}

class PolicySweep : public ::testing::TestWithParam<std::string> {};

TEST_P(PolicySweep, TrainsOnTokensByName) {
  const Texts texts;
  const auto name = GetParam();
  const int64_t experts = 4;
  train_moves_weights(token_config(texts, mixture_of("linear", Json{{"part", name}}, experts)));
}
INSTANTIATE_TEST_SUITE_P(Every, PolicySweep, ::testing::ValuesIn(names("policies")),
                         [](const auto& part) { return part.param; });

class GateSweep : public ::testing::TestWithParam<std::string> {};

TEST_P(GateSweep, TrainsOnTokensByNameOrIsRefusedByItsTrait) {
  const Texts texts;
  const auto name = GetParam();
  const int64_t experts = has_trait("gates", name, "2 experts only") ? 2 : 4;
  const auto config = token_config(
      texts, mixture_of(Json{{"part", name}}, Json{{"part", "softmax_top_k"}, {"k", 1}}, experts));
  if (!has_trait("gates", name, "images")) return train_moves_weights(config);
  try {
    gw::check_config(config);
    ADD_FAILURE() << "a gate over images was accepted for tokens";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("trait \"images\""), std::string::npos) << error.what();
  }
}
INSTANTIATE_TEST_SUITE_P(Every, GateSweep, ::testing::ValuesIn(names("gates")),
                         [](const auto& part) { return part.param; });

class BalancerSweep : public ::testing::TestWithParam<std::string> {};

TEST_P(BalancerSweep, TrainsOnTokensByName) {
  const Texts texts;
  const auto name = GetParam();
  Json policy = {{"part", "softmax_top_k"}, {"k", 2}};
  if (name == "bias_update") policy = {{"part", "deepseek_v3"}, {"groups", 1}, {"kept_groups", 1}, {"k", 2}};
  auto mixture = mixture_of("linear", policy, 4);
  mixture["balancers"] = Json::array({name});
  train_moves_weights(token_config(texts, mixture));
}
INSTANTIATE_TEST_SUITE_P(Every, BalancerSweep, ::testing::ValuesIn(names("balancers")),
                         [](const auto& part) { return part.param; });

/// One step of gratings through an image network with these routers.
gw::TrainConfig image_config(const std::string& routing, const Json& gate, const Json& policy) {
  auto config = small_config(small_objective("natural"));
  auto network = config.network.json();
  network["routing"] = routing, network["gate"] = gate, network["policy"] = policy;
  config.network = network;
  config.epochs = 1, config.task = attacked_images({{"validation_steps", 0}});
  return config;
}

/// Trains, or is refused before anything runs with a message that names what would do.
bool trains_or_is_refused(const gw::TrainConfig& config, const std::string& remedy) {
  try {
    gw::check_config(config);
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find(remedy), std::string::npos) << error.what();
    return false;
  }
  train_moves_weights(config);
  return true;
}

TEST(ImageSweep, EveryGateTrainsALayerOrAWholeImageOrIsRefused) {
  std::set<std::string> by_image, by_layer;
  for (const auto& name : names("gates")) {
    Json gate{{"part", name}};
    if (name == "cnn") gate["arch"] = "small", gate["width"] = 2;
    if (trains_or_is_refused(image_config("image", gate, "top1_straight_through"), "expected"))
      by_image.insert(name);
    if (trains_or_is_refused(image_config("layer", gate, "top1_straight_through"), "expected"))
      by_layer.insert(name);
  }
  // "lying_gate" is this program's own (tests/train/lying_gate.cpp).
  EXPECT_EQ(by_image, (std::set<std::string>{"certified", "cnn", "lying_gate", "pooled_linear"}));
  EXPECT_GE(by_layer.size(), 8u);
  EXPECT_EQ(by_layer.count("linear") + by_layer.count("cosine") + by_layer.count("dense_to_sparse"), 3u);
}

TEST(ImageSweep, EveryPolicyTrainsOrIsRefused) {
  const Json gate{{"part", "cnn"}, {"arch", "small"}, {"width", 2}};
  std::set<std::string> accepted;
  for (const auto& name : names("policies")) {
    if (trains_or_is_refused(image_config("image", gate, Json{{"part", name}}), "expected"))
      accepted.insert(name);
  }
  EXPECT_EQ(accepted.count("top1_straight_through"), 1u);
  EXPECT_EQ(accepted.count("softmax_top_k") + accepted.count("soft_moe"), 0u)
      << "pathways are not multiplied by weights, nor mixed";
}

TEST(ImageSweep, EveryBalancerWatchesTheRoutersOfANetwork) {
  for (const auto& name : names("balancers")) {
    SCOPED_TRACE(name);
    if (name == "bias_update") continue;  // adjusts a policy whose weights are not one
    auto config = image_config("layer", "pooled_linear", "top1_straight_through");
    auto network = config.network.json();
    network["balancers"] = Json::array({name});
    config.network = network;
    trains_or_is_refused(config, "expected");
  }
}

TEST(ImageSweep, BalanceLossesOfLayersReachTheStep) {
  auto config = image_config("layer", "pooled_linear", "top1_straight_through");
  auto network = config.network.json();
  network["balancers"] = Json::array({Json{{"part", "switch_loss"}, {"coefficient", 0.5}}});
  config.network = network;
  const Scratch scratch;
  gw::Trainer trainer(config);
  Recording recording;
  trainer.run({scratch.path()}, recording);
  EXPECT_GT(recording.records.front().at("balance_loss").get<double>(), 1.4);  // three layers, each >= 0.5
}

TEST(ImageSweep, AlternatingStepsRefuseBalancersThatTheyWouldNotSee) {
  auto config =
      image_config("image", Json{{"part", "cnn"}, {"arch", "small"}, {"width", 2}}, "top1_straight_through");
  auto network = config.network.json();
  network["balancers"] = {"switch_loss"};
  config.network = network, config.objective = small_objective("adv_moe");
  const Scratch scratch;
  gw::Trainer trainer(config);
  Recording recording;
  EXPECT_THROW(trainer.run({scratch.path()}, recording), gw::ValueError);
}

TEST(Tasks, APartThatNeedsWhatTheModelHasNotIsRefusedByName) {
  auto config = gw::TrainConfig();
  config.task = "classification", config.data = "table", config.objective = "natural";
  config.network = Json{{"part", "tabular"}, {"mixture", mixture_of("linear", "hash", 4)}};
  try {
    gw::check_config(config);
    ADD_FAILURE() << "accepted";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("needs token_id"), std::string::npos) << error.what();
  }
}

TEST(Tasks, DataWithoutTheFieldOfTheTaskAreRefusedByName) {
  const Texts texts;
  auto config = token_config(texts, mixture_of("linear", "softmax_top_k", 4), "regression");
  try {
    gw::Trainer trainer(config);
    ADD_FAILURE() << "accepted";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("expected the field \"y\", got domain, label, target, token"),
              std::string::npos)
        << error.what();
  }
}

TEST(Tasks, AnAdversarialObjectiveAsksForATaskUnderAttackAndAnImageNetwork) {
  const Texts texts;
  auto config = token_config(texts, mixture_of("linear", "softmax_top_k", 4));
  config.objective = "trades";
  try {
    gw::check_config(config);
    ADD_FAILURE() << "accepted";
  } catch (const gw::ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("or take objectives/natural"), std::string::npos)
        << error.what();
  }
  config.objective = "thor";
  const Scratch scratch;
  Recording recording;
  gw::Trainer trainer(config);
  EXPECT_THROW(trainer.run({scratch.path()}, recording), gw::ValueError);
}

TEST(Tasks, BlocksDrawApartAndEveryStepAnew) {
  const Texts texts;
  const auto config = token_config(texts, mixture_of("linear", Json{{"part", "random"}}, 4));
  const gw::Trainer trainer(config);
  auto model = gw::make_model(config, trainer.data(), trainer.task());
  const auto batch = model->example(4, gw::Rng(1));
  std::set<std::string> loads;
  for (uint64_t pass = 0; pass < 40; ++pass) {
    const auto out = model->answer(batch, gw::ForwardOptions(gw::Rng(pass)));
    loads.insert(Json(out.plans[0].plan.offsets).dump() + Json(out.plans[1].plan.offsets).dump());
  }
  EXPECT_GE(loads.size(), 12u) << "of sixteen pairs of experts; four if the blocks shared their draws";
}

TEST(Tasks, ControllersActAfterEveryStep) {
  const Texts texts;
  auto mixture =
      mixture_of("linear", Json{{"part", "deepseek_v3"}, {"groups", 1}, {"kept_groups", 1}, {"k", 1}}, 4);
  mixture["balancers"] = Json::array({R"({"part":"bias_update","rate":0.01})"});
  const Scratch scratch;
  Recording recording;
  gw::Trainer trainer(token_config(texts, mixture));
  trainer.run({scratch.path()}, recording);
  bool moved = false;
  for (const auto& item : trainer.model().named_buffers()) {
    if (item.key().find("selection_bias") != std::string::npos)
      moved = moved || item.value().abs().max().item<double>() > 0;
  }
  EXPECT_TRUE(moved) << "end_step was not called";
}

/// Next bytes, tables: a run that is stopped and resumed ends in the same bits, with one thread as with two.
TEST(Tasks, AResumedRunOfTokensHasTheSameBits) {
  const Texts texts;
  auto config =
      token_config(texts, mixture_of("linear", Json{{"part", "noisy_top_k"}, {"k", 2}}, 4), "next_token");
  config.epochs = 2, config.routes = Json{{"record", true}};
  const auto run = [&](int64_t stop_after) {
    const Scratch scratch;
    Recording recording;
    recording.stop_after = stop_after;
    if (stop_after > 0) {
      gw::Trainer first(config);
      EXPECT_THROW(first.run({scratch.path(), false, &recording.stop}, recording), gw::Interrupted);
      recording.stop = false, recording.stop_after = -1;
    }
    gw::Trainer trainer(config);
    trainer.run({scratch.path(), stop_after > 0, &recording.stop}, recording);
    const auto tested = trainer.evaluate_on_test(recording);
    std::vector<std::string> files;
    for (const char* file : {gw::kLastCheckpoint, gw::kBestCheckpoint, gw::kRoutesFile}) {
      std::ifstream in(scratch.path() + "/" + file, std::ios::binary);
      files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    return std::make_pair(files, tested.metrics);
  };
  const auto whole = run(-1), cut = run(7);
  EXPECT_EQ(whole.first, cut.first);
  EXPECT_EQ(whole.second, cut.second);
}

TEST(Tasks, ATableOfNumbersIsLearnt) {
  const Scratch scratch;
  const auto path = scratch.path() + "/line.csv";
  {
    std::ofstream out(path);
    out << "y,x,g\n";
    for (int i = 0; i < 120; ++i)
      out << (i % 2 == 0 ? 3 * i + 1 : 400 - i) << ',' << i << ',' << (i % 2 == 0 ? "up" : "down") << '\n';
  }
  gw::TrainConfig config;
  config.name = "table", config.arm = "mixture";
  config.task = "regression", config.objective = "natural", config.optimizer = "adam";
  config.data = Json{{"part", "table"}, {"path", path}, {"response", "y"}, {"classes", false}};
  config.network = Json{{"part", "tabular"},
                        {"width", 16},
                        {"mixture", mixture_of("linear", Json{{"part", "softmax_top_k"}, {"k", 2}}, 4)}};
  config.schedule = Json{{"lr", 0.02}}, config.epochs = 30, config.batch = 16;
  gw::Trainer trainer(config);
  Recording recording;
  trainer.run({scratch.path()}, recording);
  EXPECT_LT(trainer.evaluate_on_test(recording).metrics.at("rmse"), 0.2) << "predicting the mean gives 1";
  const auto& first = recording.records.front();
  EXPECT_NEAR(first.at("rmse").get<double>(), std::sqrt(first.at("loss").get<double>()), 1e-12)
      << "a root in the steps' records too";
}

}  // namespace gw::test::router_sweep_cases
