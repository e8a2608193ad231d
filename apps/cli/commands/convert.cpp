#include "gatewright/train/convert.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "apps/cli/command.h"
#include "apps/cli/convert_model.h"
#include "apps/cli/signals.h"
#include "apps/cli/table.h"
#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/run_directory.h"

namespace gw {
namespace {

/// Rounds the experts of a trained run and says what it costs on the test examples; writes a language model
/// in another type or from another format.
class ConvertCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Hold a trained run's experts in bf16, 8 or 4 bits, and measure what that loses; or write a language "
      "model for transformers or llama.cpp.";

  const char* example() const override {
    return "gatewright train bytes --size tiny --arm top_2 --out runs/bytes && "
           "gatewright convert runs/bytes --weights int8";
  }

  void declare(CLI::App& app) override {
    app.add_option("run", run_, "run directory, or a language model: folder, GGUF file or name")
        ->required()
        ->check(not_empty);
    app.add_option("to", to_, "new .gguf file, for a language model: model.gguf")->check(not_empty);
    app.add_option("--dtype", dtype_, "of a GGUF file's matrices: f16, bf16, q8_0 or f32; --dtype q8_0")
        ->capture_default_str();
    weights_flag_ = app.add_option("--weights", options_.weights,
                                   "bf16, int8 or int4; of a language model file, f32 or bf16; of a trained "
                                   "one f32, if not given, or bf16")
                        ->capture_default_str();
    app.add_option("--group", options_.group,
                   "inputs that share a scale, a multiple of 64; 0: a whole row (int8), 128 (int4)")
        ->check(at_least_zero);
    app.add_option("--out", out_, "new directory for the converted run; default: only measure")
        ->check(not_empty);
    app.add_option("--checkpoint", checkpoint_, "file in the run directory")->capture_default_str();
    app.add_flag("--json", json_, "print JSON");
  }

  int run() override {
    catch_signals();
    if (!is_run(run_) && is_language_model(run_)) {
      GW_CHECK(to_.empty() || (out_.empty() && wants_gguf(to_)),
               "convert: expected a .gguf file after the model, or a folder after --out, got {}", shown(to_));
      const auto out = to_.empty() ? out_ : to_;
      convert_model(run_, out, wants_gguf(out) ? dtype_ : options_.weights, json_);
      return 0;
    }
    GW_CHECK(to_.empty(), "convert: expected a language model for a GGUF file, got the run {}", shown(run_));
    const auto config = read_config("run " + shown(run_), read_json(run_ + "/" + kRecipeFile));
    const auto network = config.network.json().value("part", "");
    if (network == "language_model" || network == "encoder_decoder") {
      const std::string weights = weights_flag_->count() > 0 ? options_.weights : "f32";
      convert_trained(run_, checkpoint_, out_, wants_gguf(out_) ? dtype_ : weights, json_);
      return 0;
    }
    const auto target = converted_config(config, options_);
    check_config(target);
    check_out();
    const auto data = load_data(config);
    const auto task = make_task(config);
    const auto trained = make_model(config, data, *task);
    const auto path = run_ + "/" + checkpoint_;
    load_model(*trained, load_checkpoint(path), path);
    const auto model = converted(*trained, target, data, *task);
    const auto before = measured(*trained, data, *task, config),
               after = measured(*model, data, *task, config);
    if (!out_.empty()) write(*model, target);
    print(before, after, bytes_of(*trained), bytes_of(*model), *task);
    return 0;
  }

 private:
  void check_out() const {
    std::error_code error;
    const bool taken =
        !out_.empty() && std::filesystem::exists(out_, error) && !std::filesystem::is_empty(out_, error);
    GW_CHECK(!taken, "convert: expected a new or empty directory, got {}; choose another", shown(out_));
  }

  static std::map<std::string, double> measured(Model& model, const TaskData& data, const Task& task,
                                                const TrainConfig& config) {
    const auto tick = [](int64_t, int64_t) {
      if (stop_requested().load()) throw Interrupted("interrupted; nothing was written");
    };
    const Rng rng = Rng(static_cast<uint64_t>(config.seed)).fork("test");
    return task.test({model, data.test, rng, {}, tick}).metrics;
  }

  void write(const Model& model, TrainConfig config) const {
    std::error_code error;
    std::filesystem::create_directories(out_, error);
    if (error)
      throw IoError(fmt::format("convert: expected to create {}, got \"{}\"", shown(out_), error.message()));
    save_converted(out_ + "/" + kBestCheckpoint, model, config);
    write_atomic(out_ + "/" + kRecipeFile, dump_json(write_options(config), 2) + "\n");
  }

  void print(const std::map<std::string, double>& before, const std::map<std::string, double>& after,
             int64_t bytes_before, int64_t bytes_after, const Task& task) const {
    if (json_) {
      fmt::print("{}\n", dump_json(Json{{"weights", options_.weights},
                                        {"before", before},
                                        {"after", after},
                                        {"bytes_before", bytes_before},
                                        {"bytes_after", bytes_after}}));
      return;
    }
    std::vector<std::vector<std::string>> rows{{"test examples", ">f32", ">" + options_.weights, ">change"}};
    for (const auto& [name, value] : before) {
      const double now = after.at(name);
      rows.push_back({words(name), fmt::format("{:.4f}", value), fmt::format("{:.4f}", now),
                      fmt::format("{:+.4f}", now - value)});
    }
    rows.push_back(
        {"bytes of the model", fmt::format("{}", bytes_before), fmt::format("{}", bytes_after),
         fmt::format("x {:.2f}", static_cast<double>(bytes_after) / static_cast<double>(bytes_before))});
    fmt::print("{}", format_table(rows));
    const double loss =
        (after.at(task.best_by()) - before.at(task.best_by())) * (task.more_is_better() ? -1 : 1);
    fmt::print("{} is {:.4f} {}\n", words(task.best_by()), std::abs(loss),
               loss > 0 ? "worse" : "better or equal");
    if (bytes_after >= bytes_before)
      fmt::print(
          "nothing is saved: codes lie in panels of 64 inputs by 32 outputs, and these experts are "
          "narrower\n");
    if (!out_.empty()) fmt::print("wrote {}\n", shown(out_));
  }

  std::string run_, to_, out_, dtype_ = "f16", checkpoint_ = kBestCheckpoint;
  CLI::Option* weights_flag_ = nullptr;
  ConvertOptions options_;
  bool json_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::ConvertCommand);
