// A language model trained on from its weights, and written as a model again.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "gatewright/models/safetensors.h"
#include "tests/cli/train_runs.h"
#include "tests/language/tiny_model.h"

namespace gw::test::language_training_cases {

constexpr const char* kRecipe = R"(
name = "mine"
title = "A mixture trained on"
[defaults]
task = { part = "next_token" }
data = { part = "texts", context = 32, most_tokens = 1500 }
network = { part = "language_model", balancers = ["switch_loss"], recompute = true }
objective = { part = "natural", parts = 2 }
optimizer = { part = "adamw" }
schedule = { shape = "constant", lr = 3e-3 }
batch = 8
epochs = 3
validation = 0.1
[sizes.tiny]
seeds = [0]
[arms.mixture]
)";

TEST(LanguageTraining, FromAFolderToABetterFolder) {
  const Scratch scratch;
  write_tiny_model(scratch / "model");
  write_file(scratch / "mine.toml", kRecipe);
  const std::string there = "cd " + scratch.path() + " && " GW_CLI " ";
  const std::string train =
      "--threads 1 train mine.toml --size tiny --arm mixture --quiet --set data.model=model --set "
      "network.model=model --out run ";
  expect(shell(there + train), 0, "report: ");
  expect(shell(there + "convert run --out better"), 0, "wrote better: mixtral");
  // What is asked for is written, or refused with what to do instead.
  for (const char* weights : {"int8", "int4"}) {
    expect(shell(there + "convert run --out coded --weights " + weights), 2,
           std::string("made when it is loaded (gatewright run --weights ") + weights);
    EXPECT_FALSE(std::filesystem::exists(scratch / "coded")) << weights;
  }
  expect(shell(there + "convert run --out half --weights bf16"), 0, "wrote half: mixtral");
  const auto type_of = [&](const char* folder) {
    return load_safetensors(scratch / folder + "/model.safetensors")
        .tensors.at("lm_head.weight")
        .scalar_type();
  };
  EXPECT_EQ(type_of("half"), at::kBFloat16);
  EXPECT_EQ(type_of("better"), at::kFloat);
  expect(shell(there + "convert run --out small.gguf --dtype q8_0"), 0, "wrote small.gguf: mixtral");
  expect(shell(there + "convert run --out plain.gguf --dtype f32"), 0, "wrote plain.gguf: mixtral");
  EXPECT_LT(std::filesystem::file_size(scratch / "small.gguf"),
            std::filesystem::file_size(scratch / "plain.gguf"));
  const auto trained = load_safetensors(scratch / "run/best.safetensors").tensors;
  const auto written = load_safetensors(scratch / "better/model.safetensors").tensors;
  const auto& head = written.at("lm_head.weight");
  EXPECT_FALSE(
      at::equal(head, load_safetensors(scratch / "model/model.safetensors").tensors.at("lm_head.weight")));
  bool found = false;
  for (const auto& [name, tensor] : trained)
    found = found || (tensor.sizes() == head.sizes() && at::equal(tensor, head));
  EXPECT_TRUE(found) << "the head that was written is not the one that was trained";
  write_file(scratch / "text.txt",
             read_file(std::string(GW_SOURCE_ROOT) + "examples/data/declaration.txt").substr(0, 2000));
  const auto perplexity = [&](const std::string& model) {
    const auto answer = shell(there + "perplexity " + model + " text.txt --json 2>/dev/null");
    EXPECT_EQ(answer.code, 0) << answer.text;
    return Json::parse(answer.text).at("perplexity").get<double>();
  };
  EXPECT_LT(perplexity("better"), 0.8 * perplexity("model"));
}

TEST(LanguageTraining, AnEncoderAndADecoderBecomeAPublishedFolder) {
  const Scratch scratch;
  const std::string there = "cd " + scratch.path() + " && " GW_CLI " ";
  expect(shell(there + "--threads 1 train nllb_moe --size tiny --arm mixture --quiet --out run"), 0,
         "report: ");
  expect(shell(there + "convert run --out translator"), 0, "wrote translator: nllb_moe");
  const auto trained = load_safetensors(scratch / "run/best.safetensors").tensors;
  const auto written = load_safetensors(scratch / "translator/model.safetensors").tensors;
  EXPECT_TRUE(at::equal(trained.at("model/pair.decoder.embedding"), written.at("model.shared.weight")));
  EXPECT_TRUE(at::equal(trained.at("model/pair.encoder.layer1.mixture.bank.w1")[3],
                        written.at("model.encoder.layers.1.ffn.experts.expert_3.fc1.weight")));
  expect(shell(there + "inspect translator"), 0, "nllb_moe, 2 layers that read and 2 that write");
  expect(shell(there + "convert run --out translator"), 2, "new or empty folder");
  expect(shell(there + "convert run"), 2, "expected where to write the model to");
}

TEST(LanguageTraining, RefusesWhatDoesNotFit) {
  const Scratch scratch;
  write_tiny_model(scratch / "model");
  write_file(scratch / "mine.toml", kRecipe);
  const std::string there =
      "cd " + scratch.path() + " && " GW_CLI " train mine.toml --size tiny --arm mixture --quiet --out run ";
  expect(shell(there + "--set data.model=model"), 2,
         "networks/language_model: expected a model to start from");
  expect(shell(there + "--set network.model=model"), 2,
         "datasets/texts: expected a model whose tokenizer to take");
  expect(shell(there + "--set network.model=model --set 'data={part=\"bytes\"}'"), 2,
         "expected data with the 512 tokens");
  expect(shell(there + "--set network.model=modle --set data.model=model"), 2, "modle");
}

}  // namespace gw::test::language_training_cases
