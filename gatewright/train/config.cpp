#include "gatewright/train/config.h"

#include <nlohmann/json.hpp>

namespace gw::inline train {

void TrainConfig::fields(OptionVisitor& v) {
  v.text("name", name, "of the recipe");
  v.text("arm", arm, "of the recipe's arms");
  v.integer("seed", seed, "of weights, order, augmentation and attacks", 0, INT64_MAX);
  v.table("data", data, "part of the datasets catalogue");
  v.integer("train_per_class", train_per_class, "training examples of each class; 0: all", 0, INT64_MAX);
  v.integer("test_per_class", test_per_class, "test examples of each class; 0: all", 0, INT64_MAX);
  v.real("validation", validation, "share of the training examples held out to choose the checkpoint", 0,
         0.9);
  v.table("task", task, "part of the tasks catalogue");
  v.table("network", network,
          "part of the networks catalogue, image without \"part\": backbone, experts, ratio, gate …");
  v.table("objective", objective, "part of the objectives catalogue");
  v.table("optimizer", optimizer, "part of the optimizers catalogue");
  v.table("schedule", schedule, "learning rate over the run");
  v.table("clip", clip, "limits of the gradients' norms: {router = 1.0}");
  v.real(
      "average", average,
      "decay of an average of the weights over the steps, which is evaluated and kept as the best; 0: none",
      0, 1);
  v.table("augment", augment, "padding for random crops, flips");
  v.integer("epochs", epochs, "passes over the training examples, where no budget stands in their place", 1,
            1 << 20);
  v.integer("batch", batch, "examples per step", 1, 1 << 20);
  v.real("epsilon", epsilon, "radius of the L-infinity ball, pixels in [0, 1]", 0, 1);
  v.integer("checkpoint_steps", checkpoint_steps, "checkpoint every so many steps; 0: after each epoch", 0,
            INT64_MAX);
  v.integer("validation_steps", validation_steps,
            "PGD steps of the validation's robust accuracy; 0: clean accuracy only", 0, 1000);
  v.table("evaluation", evaluation, "what is measured on the test images");
  v.table("routes", routes, "recording and replay of decisions: {record = true}");
  v.table("budget", budget, "how long, in place of epochs: {examples = 100000}, {macs = 1e12} …");
  v.table("start", start, "weights to start from, a checkpoint's: {checkpoint = \"best.safetensors\"}");
}

Json TrainConfig::document() const {
  auto copy = *this;
  Json json = write_options(copy);
  for (const char* later : {"budget", "start"}) {
    if (json.at(later).empty()) json.erase(later);
  }
  if (average == 0) json.erase("average");
  return json;
}

void StartOptions::fields(OptionVisitor& v) {
  v.text("checkpoint", checkpoint, "file of a checkpoint; empty: none");
  v.text("crc32c", crc32c, "checksum that the checkpoint must have; empty: any, the run notes it");
}

void EvaluationConfig::fields(OptionVisitor& v) {
  v.texts("attacks", attacks, "parts of the attacks catalogue, run one by one");
  v.table("attack_options", attack_options, "options by attack");
  v.integer("batch", batch, "images per pass", 1, 1 << 20);
  v.integer("images", images, "the first so many test images; 0: all", 0, INT64_MAX);
}

}  // namespace gw::inline train
