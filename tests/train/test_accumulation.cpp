// Gradients of a batch that is answered in pieces.
#include <gtest/gtest.h>

#include <map>

#include "gatewright/base/error.h"
#include "tests/train/small_run.h"

namespace gw::test::accumulation_cases {

TrainConfig irises(int64_t parts, const Json& mixture) {
  TrainConfig config;
  config.name = "accumulation", config.arm = "irises";
  config.task = "classification", config.optimizer = "sgd";
  config.objective = Json{{"part", "natural"}, {"parts", parts}};
  config.data = Json{{"part", "table"}, {"path", "iris.csv"}, {"response", "species"}};
  config.network = Json{{"part", "tabular"}, {"width", 8}, {"mixture", mixture}};
  config.schedule = Json{{"lr", 0.5}}, config.epochs = 2, config.batch = 25;
  return config;
}

const Json kMixture{{"experts", 3},
                    {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                    {"bank", {{"part", "mlp"}, {"hidden", 8}}}};

std::map<std::string, at::Tensor> trained(int64_t parts, Recording& recording) {
  const Scratch scratch;
  Trainer trainer(irises(parts, kMixture));
  trainer.run({scratch.path()}, recording);
  std::map<std::string, at::Tensor> weights;
  for (const auto& item : trainer.model().named_parameters())
    weights[item.key()] = item.value().detach().clone();
  return weights;
}

// The loss is a mean over rows and no layer looks across them: pieces of 8, 8 and 9 of 25 rows must give the
// whole batch's step. Fails if a piece weighs by anything but its rows, or steps by itself.
TEST(Accumulation, PiecesGiveTheStepOfTheWholeBatch) {
  Recording whole_records, pieces_records;
  const auto whole = trained(1, whole_records), pieces = trained(3, pieces_records);
  for (const auto& [name, value] : whole)
    EXPECT_LT((value - pieces.at(name)).abs().max().item<double>(), 1e-5) << name;
  ASSERT_EQ(whole_records.records.size(), pieces_records.records.size());
  for (size_t i = 0; i < whole_records.records.size(); ++i) {
    const auto& record = whole_records.records[i];
    if (!record.contains("loss")) continue;
    EXPECT_NEAR(record.at("loss").get<double>(), pieces_records.records[i].at("loss").get<double>(), 1e-5);
    EXPECT_NEAR(record.value("accuracy", 0.0), pieces_records.records[i].value("accuracy", 0.0), 1e-9);
  }
}

TEST(Accumulation, MorePiecesThanRowsAreAsManyAsRows) {
  Recording few, many;
  const auto a = trained(25, few), b = trained(1000, many);
  for (const auto& [name, value] : a) EXPECT_TRUE(at::equal(value, b.at(name))) << name;
}

TEST(Accumulation, RefusesToRecordRoutesOfPieces) {
  auto config = irises(2, kMixture);
  config.routes = Json{{"record", true}};
  const Scratch scratch;
  Recording recording;
  try {
    Trainer trainer(config);
    trainer.run({scratch.path()}, recording);
    FAIL() << "expected an error";
  } catch (const ValueError& error) {
    EXPECT_NE(std::string(error.what()).find("expected parts = 1 where routes are recorded"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace gw::test::accumulation_cases
