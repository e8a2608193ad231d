#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/device.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/check.h"
#include "gatewright/base/fraction.h"
#include "gatewright/base/shown.h"
#include "gatewright/report/html.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/run_directory.h"
#include "gatewright/train/recipe.h"
#include "gatewright/train/robust/evaluate.h"
#include "gatewright/train/robust/threat_model.h"
#include "gatewright/train/trainer.h"

namespace gw {
namespace {

double radius_of(const std::string& text) {
  double value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = error == std::errc() && end == text.data() + text.size();
  return number || parse_fraction(text, value) ? value : -1;
}

std::string is_radius(const std::string& text) {
  const double value = radius_of(text);
  return value >= 0 && value <= 1 ? ""
                                  : "expected a number from 0 to 1 or a fraction like 8/255, got " + text;
}

/// Attacks a trained network on the test images of its run.
class AttackCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Attack a trained network: accuracy under each attack, and the worst case over all.";

  const char* example() const override {
    return "gatewright attack runs/first --with ensemble --with per_pathway --images 200";
  }

  void declare(CLI::App& app) override {
    app.add_option("run", run_, "run directory")->required();
    app.add_option("--with", attacks_, "parts of the attacks catalogue; default: those of the run's recipe");
    app.add_option("--beside", beside_,
                   "further ones, not part of the worst case; default: the recipe's, none with --with");
    app.add_option(
        "--set", overrides_,
        "override a value of the run's table evaluation: attack_options.joint.steps=50; epsilon=8/255 is "
        "short for --epsilon 8/255");
    app.add_option("--epsilon", radius_, "radius of the ball, 0.03 or 8/255; default: the run's")
        ->type_name("NUMBER")
        ->check(is_radius);
    app.add_option("--images", images_,
                   "the first so many test images; 0: all; default: as the run's recipe says")
        ->check(at_least_zero);
    app.add_option("--checkpoint", checkpoint_, "file in the run directory")->capture_default_str();
    app.add_flag("--json", json_, "print JSON");
    declare_device(app);
  }

  int run() override {
    catch_signals();
    const auto config = read_config("run " + run_, read_json(run_ + "/" + kRecipeFile));
    take_radius();
    const auto evaluation = evaluation_config(config);
    const auto data = load_data(config);
    const auto network = make_network(config, data);
    const auto path = run_ + "/" + checkpoint_;
    load_model(*network, load_checkpoint(path), path);
    const double epsilon = epsilon_of(config);
    std::optional<Progress> progress;
    const auto tick = [&](int64_t done, int64_t total) {
      if (stop_requested().load()) throw Interrupted("interrupted; nothing was written");
      if (!progress) {
        auto options = progress_for(stderr, steady_now_s);
        options.label = "attack", options.unit = "images";
        progress.emplace(total, options);
      }
      progress->update(done);
    };
    const auto result = evaluate(*network, data.test, evaluation, epsilon,
                                 Rng(static_cast<uint64_t>(config.seed)).fork("test"), tick);
    progress.reset();
    print(result, evaluation.beside, epsilon);
    return 0;
  }

 private:
  /// "--set epsilon=8/255" is "--epsilon 8/255".
  void take_radius() {
    constexpr std::string_view kKey = "epsilon=";
    std::vector<std::string> rest;
    for (const auto& item : overrides_) {
      if (item.rfind(kKey, 0) != 0) {
        rest.push_back(item);
        continue;
      }
      radius_ = item.substr(kKey.size());
      const auto wrong = is_radius(radius_);
      GW_CHECK(wrong.empty(), "attack: epsilon: {}", wrong);
    }
    overrides_ = std::move(rest);
  }

  double epsilon_of(const TrainConfig& config) const {
    if (!radius_.empty()) return radius_of(radius_);
    const auto task = make_task(config);
    const auto* attacked = dynamic_cast<const AttackedTask*>(task.get());
    GW_CHECK(attacked != nullptr,
             "attack: expected a radius, which the run's task does not say, got none; give --epsilon 8/255");
    return attacked->threat().epsilon;
  }

  EvaluationConfig evaluation_config(const TrainConfig& config) const {
    auto json = config.evaluation.json();
    if (!attacks_.empty()) json["attacks"] = attacks_, json["beside"] = beside_;
    if (!beside_.empty()) json["beside"] = beside_;
    if (images_ >= 0) json["images"] = images_;
    for (const auto& text : overrides_) merge_override(json, text);
    EvaluationConfig evaluation;
    parse_options("evaluation", json, evaluation);
    return evaluation;
  }

  void print(const NetworkEvaluation& result, const std::vector<std::string>& beside, double epsilon) const {
    if (json_) {
      fmt::print("{}\n", dump_json(evaluation_json(result)));
      return;
    }
    std::vector<std::vector<std::string>> rows{{"images", ">accuracy %"}};
    const auto add = [&](const std::string& name, double share) {
      rows.push_back({name, fmt::format("{:.2f}", 100 * share)});
    };
    add("clean", result.clean_accuracy);
    for (const auto& [name, share] : result.robust_accuracy) {
      const bool counts = std::find(beside.begin(), beside.end(), name) == beside.end();
      add(words(name) + (counts ? "" : ", beside the worst case"), share);
    }
    for (size_t e = 0; e < result.forced_accuracy.size(); ++e)
      add(fmt::format("forced through expert {}, clean", e), result.forced_accuracy[e]);
    for (size_t e = 0; e < result.forced_robust.size(); ++e)
      add(fmt::format("forced through expert {}, attacked", e), result.forced_robust[e]);
    fmt::print("{} test images, epsilon {:g}\n{}", result.images, epsilon, format_table(rows));
    if (!result.forced_accuracy.empty()) {
      fmt::print("routes changed by the first attack: {:.1f} %\nimages lost by changed routes: {:.1f} %\n",
                 100 * result.flip_rate, 100 * result.route_loss_rate);
    }
    for (const auto& [images, mean] : result.pathways)
      fmt::print("pathways of an image, {}: {:.3f}\n", images, mean);
    if (result.certified) {
      fmt::print("routes that no attack within epsilon can change: {:.1f} %, median radius {:.4f}\n",
                 100 * result.certified->routes, result.certified->median_radius);
    }
  }

  std::string run_, radius_, checkpoint_ = kBestCheckpoint;
  std::vector<std::string> attacks_, beside_, overrides_;
  int64_t images_ = -1;
  bool json_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::AttackCommand);
