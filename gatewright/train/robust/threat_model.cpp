#include "gatewright/train/robust/threat_model.h"

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"

namespace gw::inline train {

void ThreatModel::fields(OptionVisitor& v) {
  v.real("epsilon", epsilon, "radius of the L-infinity ball, pixels in [0, 1]", 0, 1);
  v.integer("validation_steps", validation_steps,
            "PGD steps of the validation's robust accuracy; 0: clean accuracy only", 0, 1000);
}

const ThreatModel& threat_of(const Task& task, const std::string& part) {
  const auto* attacked = dynamic_cast<const AttackedTask*>(&task);
  GW_CHECK(attacked != nullptr,
           "{}: expected a task that says how far an attack may move an image, got one without attacks; set "
           "task = {{ part = \"image_classification\", epsilon = 0.1 }}, or take objectives/natural",
           part);
  return attacked->threat();
}

std::optional<double> recorded_radius(const Json& recipe) {
  if (!recipe.is_object()) return std::nullopt;
  try {
    TrainConfig config;
    config.task = part_choice("task", current_document(recipe).value("task", config.task.json()));
    const auto task = make_chosen<Task>(config.task, {config});
    const auto* attacked = dynamic_cast<const AttackedTask*>(task.get());
    return attacked != nullptr ? std::optional(attacked->threat().epsilon) : std::nullopt;
  } catch (const ValueError&) {  // a foreign document, or parts that this program does not have
    return std::nullopt;
  }
}

}  // namespace gw::inline train
