#include "gatewright/language/upcycle.h"

#include <fmt/format.h>

#include "apps/cli/command.h"
#include "apps/cli/generation_flags.h"
#include "gatewright/language/save_language_model.h"

namespace gw {
namespace {

/// Makes a dense language model a mixture that answers alike.
class UpcycleCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Make a dense language model a mixture of copies of its perceptrons, which answers alike.";

  const char* example() const override { return "gatewright upcycle smollm2 smollm2-4x --experts 4 --k 2"; }

  void declare(CLI::App& app) override {
    app.add_option("model", model_.model, "dense model: folder, GGUF file or name")->required();
    app.add_option("out", out_, "new folder for the mixture: models/smollm2-4x")
        ->required()
        ->check(not_empty);
    app.add_option("--experts", options_.experts, "copies of each perceptron; --experts 8")
        ->check(above_zero);
    app.add_option("--k", options_.k, "experts that a token takes; --k 1")->check(above_zero);
    app.add_option("--seed", options_.seed, "of the routers' weights; --seed 1")->check(at_least_zero);
    app.add_option("--type", save_.type, "of the tensors: file, f32 or bf16; --type bf16")
        ->check(CLI::IsMember({"file", "f32", "bf16"}));
  }

  int run() override {
    const auto path = find_model(model_.model);
    const auto sparse = upcycled(load_language_model(path), options_);
    save_language_model(sparse, out_, save_);
    fmt::print("wrote {}: {:.1f} million parameters, {} experts a layer, {} of them for a token\n", out_,
               static_cast<double>(sparse.report.parameters) / 1e6, options_.experts, options_.k);
    return 0;
  }

 private:
  ModelFlags model_;
  std::string out_;
  UpcycleOptions options_;
  SaveOptions save_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::UpcycleCommand);
