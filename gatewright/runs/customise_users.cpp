#include "gatewright/runs/customise_users.h"

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>
#include <iterator>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/runs/progress.h"
#include "gatewright/train/answers.h"

namespace gw::inline runs {
namespace {

constexpr const char* kColumns[] = {"user_global",    "user_accuracy",    "user_gain",    "user_oracle",
                                    "generic_global", "generic_accuracy", "generic_drop", "handed_user",
                                    "handed_generic", "parameters_ratio", "macs_ratio"};

double share_said(const at::Tensor& said, const at::Tensor& label) {
  return said.eq(label).to(at::kDouble).mean().item<double>();
}
double share_of(const at::Tensor& flags) { return flags.to(at::kDouble).mean().item<double>(); }

class UserTrials {
 public:
  UserTrials(const CustomisationOptions& options, const std::string& arm, int64_t seed)
      : o_(options),
        arm_(arm),
        seed_(seed),
        rng_(Rng(static_cast<uint64_t>(seed)).fork("arms/customisation")) {}

  Customisations measure(const Artefact& source, const ArmRun& run) const {
    Customisations result;
    auto s = setting(source, run.stop);
    ValueTable table{"user", {}, {}, {}};
    for (const char* name : kColumns) table.columns.emplace_back(name);
    table.columns.insert(table.columns.end(), {"rotation", "shear", "thinned"});
    std::optional<Progress> progress;
    for (int64_t u = 0; u < o_.users->users; ++u) {
      if (run.stop.requested()) throw Interrupted("interrupted between users; nothing is kept of this arm");
      const auto user = make_user(s.pool, s.trained->data().classes, *o_.users, rng_, u);
      auto row = measured(s, user, u, run);
      std::vector<double> values;
      for (const char* name : kColumns) {
        values.push_back(row.count(name) > 0 ? row[name] : std::nan(""));
        if (row.count(name) > 0) result.metrics[name] += row[name] / static_cast<double>(o_.users->users);
      }
      values.insert(values.end(), {user.rotation, user.shear, user.thin ? 1.0 : 0.0});
      result.metrics["parameters"] = row["parameters_ratio"] * s.parameters;
      table.names.push_back(std::to_string(u)), table.values.push_back(std::move(values));
      if (run.progress == nullptr) continue;
      if (!progress) {
        auto how = progress_for(run.progress, run.now_s);
        how.label = arm_, how.unit = "users";
        progress.emplace(o_.users->users, how, 0);
      }
      progress->update(u + 1);
    }
    result.users = std::move(table);
    return result;
  }

 private:
  using Row = std::map<std::string, double>;

  /// The network and what of its data belongs to whom.
  struct Setting {
    std::unique_ptr<Trainer> trained;
    std::string checkpoint;
    TensorSet pool, everybody, gate, threshold;
    Features generic, of_gate, of_threshold;
    double macs = 0, parameters = 0;
  };

  Setting setting(const Artefact& source, const Stop& stop) const {
    Setting s;
    s.trained = open_trained(source);
    s.checkpoint = source.directory + "/" + kBestCheckpoint;
    const auto& test = s.trained->data().test;
    const auto& held = s.trained->validation();
    GW_CHECK(
        test.has("image") && test.has("label"),
        "arms/customisation: expected a training over images with classes for arm \"{}\", got other data",
        arm_);
    GW_CHECK(
        test.size() > o_.everybody && held.size() >= o_.replay,
        "arms/customisation: expected more than {} test images and at least {} validation images, got {} "
        "and {}; lower everybody or replay",
        o_.everybody, o_.replay, test.size(), held.size());
    const auto order = at::tensor(rng_.fork("everybody").permutation(test.size()), at::kLong);
    const int64_t pool = test.size() - o_.everybody;
    s.pool = test.rows(order.narrow(0, 0, pool));
    s.everybody = test.rows(order.narrow(0, pool, o_.everybody));
    const auto stored = at::tensor(rng_.fork("replay").permutation(held.size()), at::kLong);
    s.gate = held.rows(stored.narrow(0, 0, o_.replay / 2));
    s.threshold = held.rows(stored.narrow(0, o_.replay / 2, o_.replay - o_.replay / 2));
    const auto asked = [&stop] { return stop.requested(); };
    s.generic = features_of(s.trained->model(), s.everybody, asked);
    s.of_gate = features_of(s.trained->model(), s.gate, asked);
    s.of_threshold = features_of(s.trained->model(), s.threshold, asked);
    s.macs = static_cast<double>(count_macs(s.trained->model()));
    s.parameters = static_cast<double>(s.trained->model().parameter_count());
    return s;
  }

  Row measured(Setting& s, const User& user, int64_t number, const ArmRun& run) const {
    const auto asked = [&run] { return run.stop.requested(); };
    auto& model = s.trained->model();
    const auto test = features_of(model, user.test, asked);
    Row row;
    if (o_.method == "fine_tune") {
      row = fine_tuned(s, user, number, run);
    } else if (o_.method == "prior") {
      row = shifted(s, user, test);
    } else {
      row = gated(s, features_of(model, user.train, asked), test, number);
    }
    row["user_global"] = share_right(test.logits, test.label);
    row["generic_global"] = share_right(s.generic.logits, s.generic.label);
    row["user_gain"] = row["user_accuracy"] - row["user_global"];
    row["generic_drop"] = row["generic_global"] - row["generic_accuracy"];
    return row;
  }

  Row gated(const Setting& s, const Features& own, const Features& test, int64_t number) const {
    const Customised made(own, s.of_gate, s.of_threshold, *o_.fit,
                          rng_.fork("fit", static_cast<uint64_t>(number)));
    const bool gate = o_.method == "gate";
    const auto answered = [&](const Features& f) { return gate ? made.answers(f) : made.local(f); };
    const auto either = test.logits.argmax(1).eq(test.label).logical_or(made.local(test).eq(test.label));
    const double handed = gate ? share_of(made.handed(test)) : 1;
    const double own_macs =
        handed * static_cast<double>(made.local_macs()) + (gate ? static_cast<double>(made.gate_macs()) : 0);
    return {{"user_accuracy", share_said(answered(test), test.label)},
            {"user_oracle", share_of(either)},
            {"generic_accuracy", share_said(answered(s.generic), s.generic.label)},
            {"handed_user", handed},
            {"handed_generic", gate ? share_of(made.handed(s.generic)) : 1},
            {"parameters_ratio",
             static_cast<double>(gate ? made.parameters() : made.local_parameters()) / s.parameters},
            {"macs_ratio", 1 + own_macs / s.macs}};
  }

  /// p(class | image) as it is where classes are as frequent as among the user's training images.
  Row shifted(const Setting& s, const User& user, const Features& test) const {
    const int64_t classes = test.logits.size(1);
    const auto count = at::bincount(user.train.at("label"), {}, classes).to(at::kFloat) + 1;
    const auto shift = (count / count.mean()).log();
    const auto said = [&](const Features& f) { return (f.logits + shift).argmax(1); };
    return {{"user_accuracy", share_said(said(test), test.label)},
            {"generic_accuracy", share_said(said(s.generic), s.generic.label)},
            {"parameters_ratio", static_cast<double>(classes) / s.parameters},
            {"macs_ratio", 1}};
  }

  Row fine_tuned(Setting& s, const User& user, int64_t number, const ArmRun& run) const {
    auto config = s.trained->config();
    config.start = Json{{"checkpoint", s.checkpoint}};
    config.optimizer = "adam";
    config.schedule = Json{{"shape", "constant"}, {"lr", o_.lr}};
    config.budget = Json::object(), config.routes = Json::object(), config.teacher = Json::object();
    config.epochs = o_.epochs, config.batch = 32, config.patience = 0, config.validation = o_.held_out;
    config.train_per_class = config.test_per_class = 0;
    config.seed = seed_ + 1000 * (number + 1);
    auto data = s.trained->data();
    data.train = user.train, data.test = user.test;
    const auto folder = run.directory + "/fine_tuned";
    std::filesystem::create_directory(folder);
    Trainer trainer(config, std::move(data));
    TrainObserver nobody;
    trainer.run({folder, false, run.stop, run.now_s}, nobody);
    std::filesystem::remove_all(folder);
    const auto test = features_of(trainer.model(), user.test),
               all = features_of(trainer.model(), s.everybody);
    return {{"user_accuracy", share_right(test.logits, test.label)},
            {"generic_accuracy", share_right(all.logits, all.label)},
            {"parameters_ratio", 1},
            {"macs_ratio", 1}};
  }

  CustomisationOptions o_;
  std::string arm_;
  int64_t seed_;
  Rng rng_;
};

}  // namespace

void CustomisationOptions::fields(OptionVisitor& v) {
  v.text("method", method, "what makes the network a user's own", {"gate", "local", "fine_tune", "prior"});
  v.integer("everybody", everybody, "test images that stand for everybody", 1, 1000000);
  v.integer("replay", replay, "stored images of everybody; half teach the gate, half set its threshold", 2,
            1000000);
  v.integer("epochs", epochs, "of fine_tune, of which the best on held-out images counts", 1, 100000);
  v.real("lr", lr, "learning rate of fine_tune, with Adam", 1e-8, 10);
  v.real("held_out", held_out, "share of a user's images that fine_tune holds out", 0, 0.9);
  v.table("users", users, "how many, how many images, and how they differ");
  v.table("fit", fit, "of the local expert and the gate");
}

std::vector<std::string> customisation_metrics() { return {std::begin(kColumns), std::end(kColumns)}; }

Customisations customise_users(const CustomisationOptions& options, const std::string& arm, int64_t seed,
                               const Artefact& source, const ArmRun& run) {
  return UserTrials(options, arm, seed).measure(source, run);
}

}  // namespace gw::inline runs
