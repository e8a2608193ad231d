#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "apps/cli/command.h"
#include "gatewright/base/child_process.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/client_worker.h"

namespace gw {
namespace {

constexpr size_t kLongestError = 1000;

/// A host of clients of a federated training.
class ClientCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Host clients of a federated training: started by `train` and `check`, which it speaks with.";

  const char* example() const override { return "gatewright client clients.setup"; }

  void declare(CLI::App& app) override {
    app.add_option("setup", setup_, "what the run that starts it has written")->required();
  }

  int run() override {
    ParentLine line;
    ClientWorker worker(parse_client_setup(read_json(setup_), shown(setup_)));
    while (true) {
      std::string job;
      try {
        job = line.receive();
      } catch (const IoError&) {  // nobody is there any more: the run has ended
        return 0;
      }
      line.send(dump_json(answer(worker, job)));
    }
  }

 private:
  static Json answer(ClientWorker& worker, const std::string& job) {
    try {
      const auto said = worker.answer(parse_json(job, "a job"));
      if (said.contains("spoil")) return misbehave(said.at("spoil").text());
      return said;
    } catch (const Error& error) {
      return {{"error", shown(error.what(), kLongestError)}};
    }
  }

  /// What trials ask for, to see that a run goes on.
  static Json misbehave(const std::string& how) {
    if (how == "die") ::_exit(9);
    while (how == "hang") ::pause();
    return "no answer of any use";
  }

  std::string setup_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, ClientCommand);
