#include "gatewright/train/config.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/json.h"
#include "gatewright/base/registry.h"

namespace gw::inline train {
namespace {

constexpr const char* kTasks = "tasks";

bool lists(const std::vector<OptionInfo>& options, const std::string& name) {
  return std::any_of(options.begin(), options.end(), [&](const auto& option) { return option.name == name; });
}

/// The tasks that have an option of this name.
std::vector<std::string> tasks_with(const std::string& option) {
  std::vector<std::string> names;
  for (const auto& part : Registry::instance().list(kTasks))
    if (lists(part.options, option)) names.push_back(part.name);
  return names;
}

/// The keys of a table that are no options of a run but of a task, and the tasks that have them.
std::vector<std::pair<std::string, std::vector<std::string>>> options_of_tasks(const Json& table) {
  TrainConfig config;
  const auto own = describe_options(config);
  std::vector<std::pair<std::string, std::vector<std::string>>> found;
  for (const auto& item : table.items()) {
    if (lists(own, item.key())) continue;
    if (auto tasks = tasks_with(item.key()); !tasks.empty()) found.emplace_back(item.key(), std::move(tasks));
  }
  return found;
}

/// The task's table, its part by name alone written out; the one of the defaults where there is none.
Json task_table(const Json& table) {
  const auto given = table.value("task", TrainConfig().task.json());
  return given.is_string() ? Json{{"part", given}} : given;
}

std::string task_name(const Json& table) {
  const auto task = task_table(table);
  const auto part = task.is_object() ? task.value("part", Json()) : Json();
  return part.is_string() ? part.get<std::string>() : "";
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

void TrainConfig::fields(OptionVisitor& v) {
  v.text("name", name, "of the recipe");
  v.text("arm", arm, "of the recipe's arms");
  v.integer("seed", seed, "of weights, order, augmentation and attacks", 0, INT64_MAX);
  v.part("data", data, "part of the datasets catalogue");
  v.parts("transforms", transforms, "parts of the transforms catalogue, applied to the data in this order");
  v.integer("train_per_class", train_per_class, "training examples of each class; 0: all", 0, INT64_MAX);
  v.integer("test_per_class", test_per_class, "test examples of each class; 0: all", 0, INT64_MAX);
  v.real("validation", validation, "share of the training examples held out to choose the checkpoint", 0,
         0.9);
  v.part("task", task, "part of the tasks catalogue");
  v.table("network", network,
          "part of the networks catalogue, image without \"part\": backbone, experts, ratio, gate …");
  v.part("objective", objective, "part of the objectives catalogue");
  v.part("optimizer", optimizer, "part of the optimizers catalogue");
  v.part("order", order,
         "part of the orders catalogue: which examples an epoch has; {}: each once, drawn anew");
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
  v.integer("patience", patience, "epochs without a better validation after which the run ends; 0: none", 0,
            1 << 20);
  v.integer("checkpoint_steps", checkpoint_steps, "checkpoint every so many steps; 0: after each epoch", 0,
            INT64_MAX);
  v.table("evaluation", evaluation, "what is measured on the test images");
  v.table("routes", routes, "recording and replay of decisions: {record = true}");
  v.table("budget", budget, "how long, in place of epochs: {examples = 100000}, {macs = 1e12} …");
  v.table("start", start, "weights to start from, a checkpoint's: {checkpoint = \"best.safetensors\"}");
  v.table("teacher", teacher, "a trained network to learn from: {arm = \"dense\"}, or {checkpoint = …}");
  v.table("variations", variations, "what stands in place of the training images: {arm = \"varied\"}");
}

void parse_options(const std::string& part, const Json& values, TrainConfig& config) {
  if (values.is_object()) {
    const auto task = task_name(values);
    for (const auto& [option, tasks] : options_of_tasks(values)) {
      const auto value = dump_json(values[option]).substr(0, 40);
      GW_CHECK(
          !holds(tasks, task),
          "{}: expected \"{}\" among the options of the task, got it beside them; write task = {{ part = "
          "\"{}\", {} = {} }}",
          part, option, task, option, value);
      fail("{}: unknown option \"{}\"; it is one of tasks/{}, and the task here is tasks/{}: leave it out",
           part, option, tasks.front(), task);
    }
  }
  parse_options(part, values, static_cast<OptionSet&>(config));
}

Json current_document(Json document) {
  if (!document.is_object()) return document;
  const auto task = task_name(document);
  auto table = task_table(document);
  for (const auto& [option, tasks] : options_of_tasks(document)) {
    if (holds(tasks, task)) {
      if (!table.contains(option)) table[option] = document[option];
      document["task"] = table;
    }
    document.erase(option);
  }
  return document;
}

TrainConfig read_config(const std::string& where, const Json& document) {
  TrainConfig config;
  parse_options(where, current_document(document), config);
  return config;
}

Json TrainConfig::document() const {
  auto copy = *this;
  Json json = write_options(copy);
  for (const char* later : {"budget", "start", "teacher", "transforms", "variations", "order"}) {
    if (json.at(later).empty()) json.erase(later);
  }
  if (average == 0) json.erase("average");
  if (patience == 0) json.erase("patience");
  return json;
}

void StartOptions::fields(OptionVisitor& v) {
  v.text("checkpoint", checkpoint, "file of a checkpoint; empty: none");
  v.text("crc32c", crc32c, "checksum that the checkpoint must have; empty: any, the run notes it");
  v.flag("copies", copies, "the weights of one pathway go into every expert, and the router is drawn anew");
  v.flag("slices", slices, "a perceptron's hidden units are shared out among the experts, in equal parts");
}

void TeacherOptions::fields(OptionVisitor& v) {
  v.text("checkpoint", checkpoint, "file of a checkpoint; empty: none");
  v.text("crc32c", crc32c, "checksum that the checkpoint must have; empty: any, the run notes it");
  v.text("arm", arm, "in a recipe: the arm of \"from\" that teaches");
  v.real("weight", weight, "of the teacher's answers beside the labels", 0, 1);
  v.real("temperature", temperature, "of both answers", 0.01, 100);
}

void VariationOptions::fields(OptionVisitor& v) {
  v.text("file", file, "of variations; empty: none");
  v.text("crc32c", crc32c, "checksum that the file must have; empty: any, the run notes it");
  v.text("arm", arm, "in a recipe: the arm of \"from\" that makes them");
}

void EvaluationConfig::fields(OptionVisitor& v) {
  v.texts("attacks", attacks, "parts of the attacks catalogue, run one by one");
  v.texts("beside", beside, "further ones, reported beside the worst case and not part of it");
  v.table("attack_options", attack_options, "options by attack");
  v.integer("batch", batch, "images per pass", 1, 1 << 20);
  v.integer("images", images, "the first so many test images; 0: all", 0, INT64_MAX);
  v.flag("certify", certify,
         "also the share of images whose route provably stands within epsilon: wants gate = \"certified\"");
}

}  // namespace gw::inline train
