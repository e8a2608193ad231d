// When a training ends because its validation gets no better.
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "tests/train/small_run.h"

namespace gw::test::patience_cases {

TrainConfig frozen(int64_t patience) {
  TrainConfig config;
  config.name = "patience", config.arm = "frozen";
  config.task = "classification", config.objective = "natural", config.optimizer = "sgd";
  config.data = Json{{"part", "mixed_table"}, {"path", "iris.csv"}, {"response", "species"}};
  config.network = Json{{"part", "gg_moe"}, {"experts", 1}, {"width", 8}};
  config.schedule = Json{{"lr", 0.0}}, config.epochs = 9, config.batch = 32;
  config.patience = patience;
  return config;
}

int64_t validations(const Recording& recording) {
  int64_t count = 0;
  for (const auto& record : recording.records) count += record.at("kind") == Json("validation") ? 1 : 0;
  return count;
}

// Weights that stand still are best in the first epoch. Fails if the count begins elsewhere or never ends.
TEST(Patience, EndsAfterSoManyEpochsThatAreNoBetter) {
  for (const auto& [patience, epochs] : {std::pair{0, 9}, {3, 4}, {1, 2}}) {
    const Scratch scratch;
    Recording recording;
    Trainer trainer(frozen(patience));
    trainer.run({scratch.path()}, recording);
    EXPECT_EQ(validations(recording), epochs) << patience;
  }
}

// Fails if a checkpoint forgets how many epochs were no better.
TEST(Patience, AResumedRunEndsWhereTheWholeOneDoes) {
  const Scratch scratch;
  Recording recording;
  recording.stop_after = 10;  // in the third epoch of four steps
  {
    Trainer trainer(frozen(3));
    EXPECT_THROW(trainer.run({scratch.path(), false, &recording.stop}, recording), Interrupted);
  }
  Trainer trainer(frozen(3));
  trainer.run({scratch.path(), true}, recording);
  EXPECT_EQ(validations(recording), 4);
}

}  // namespace gw::test::patience_cases
