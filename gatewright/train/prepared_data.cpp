#include "gatewright/train/prepared_data.h"

#include <algorithm>

#include "gatewright/base/registry.h"
#include "gatewright/train/trainer.h"

namespace gw::inline train {

std::vector<std::shared_ptr<Transform>> make_transforms(const TrainConfig& config) {
  const Rng rng(static_cast<uint64_t>(config.seed));
  std::vector<std::shared_ptr<Transform>> all;
  for (const auto& choice : config.transforms)
    all.push_back(make_chosen<Transform>(choice, {rng.fork("transform", all.size())}));
  return all;
}

namespace {

/// Probes ask for the label of an example; a task that answers something else has none.
bool answers_labels(const TrainConfig& config) {
  const auto fields = make_task(config)->fields();
  return std::find(fields.begin(), fields.end(), "label") != fields.end();
}

}  // namespace

Probes probes_of(const TrainConfig& config, const TensorSet& test) {
  Probes all;
  if (!answers_labels(config)) return all;
  for (const auto& transform : make_transforms(config)) all.merge(transform->probes(test));
  return all;
}

std::vector<std::string> probe_names(const TrainConfig& config) {
  std::vector<std::string> names;
  const bool measured = answers_labels(config);
  for (const auto& transform : make_transforms(config)) {
    for (const auto& name : transform->probe_names())
      if (measured) names.push_back(name);
  }
  return names;
}

TaskData load_data(const TrainConfig& config) {
  auto data = make_chosen<Dataset>(config.data, {})->load();
  data.train = take_per_class(data.train, data.classes, config.train_per_class);
  data.test = take_per_class(data.test, data.classes, config.test_per_class);
  for (const auto& transform : make_transforms(config)) data = transform->apply(std::move(data));
  return data;
}

}  // namespace gw::inline train
