#pragma once
// Clients of a federated training on this machine: whoever hosts some holds their images, and only weights
// travel, in files.
#include "gatewright/data/users.h"
#include "gatewright/train/config.h"
#include "gatewright/train/federated.h"

namespace gw::inline runs {

/// What hosts must know: written once, read by each.
struct ClientSetup {
  TrainConfig config;  ///< data, network and seed
  FederatedOptions options;
  std::string common;  ///< directory of the training that left the common expert
};
Json to_json(const ClientSetup& setup);
/// Errors: ValueError.
ClientSetup parse_client_setup(const Json& document, const std::string& where);

/// Files of a round. A client may read the gate and the experts that it has chosen, and writes one file.
std::string gate_file(const std::string& folder);
std::string expert_file(const std::string& folder, int64_t expert);
std::string update_file(const std::string& folder, int64_t client);

/// The images of client `number`: drawn from the pool as users are (data/users.h). The first clients, as many
/// as there are experts, have the classes of one expert each, number · C / M up to the next; every other has
/// favourites of its own.
User make_client(const TensorSet& pool, int64_t classes, const FederatedOptions& options, uint64_t seed,
                 int64_t number);
/// The expert that a client is the anchor of; −1: of none.
int64_t anchored_expert(const FederatedOptions& options, int64_t client);

/// Answers jobs {"client", "round", "folder", "spoil"} with {"client", "round", "chosen", "samples"}, the
/// weights in the update's file. `spoil` makes it misbehave, for trials: "nan", "shape", "absurd" and
/// "reversed" weights (of all experts and the gate five times its steps, backwards), "nonsense" for an
/// answer, "die" and "hang" (what the last three do is their host's affair: the answer says them).
class ClientWorker {
 public:
  /// Errors: as load_data and load_checkpoint; ValueError for networks that cannot be federated.
  explicit ClientWorker(const ClientSetup& setup);
  ~ClientWorker();
  ClientWorker(const ClientWorker&) = delete;
  ClientWorker& operator=(const ClientWorker&) = delete;
  Json answer(const Json& job);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gw::inline runs
