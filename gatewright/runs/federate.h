#pragma once
// Rounds of a federated training, and what it is worth to clients that nobody has seen.
#include "gatewright/runs/arm.h"
#include "gatewright/runs/client_pool.h"

namespace gw::inline runs {

/// The table `federated` of an arm.
struct FederatedTrialOptions : FederatedOptions {
  std::string run_as = "auto";
  int64_t hosts = 2, unseen = 20, unseen_images = 200, measure_every = 5;
  double timeout = 120;
  int64_t liars = 0;
  std::string lie = "reversed";
  std::vector<std::vector<int64_t>> spoils;
  std::vector<std::string> spoiled;
  void fields(OptionVisitor& v) override;
};

/// Trains over clients that draw their images from the training images of the arm's data, hosted by processes
/// (`auto`: where this program is `gatewright`) or threads, which give the same bits. A client that dies,
/// hangs, answers nonsense or sends weights that cannot be used is left out of its round and named.
/// Metrics, over unseen clients, which draw from the test images, and as means over them:
///   unseen.accuracy          the client's own k experts, chosen by its images without labels, mixed by the
///                            gate
///   unseen.best              of each image the expert of largest gate probability among all
///   unseen.perfect           the best expert for each client, with hindsight
///   common.accuracy          the common expert; gain: unseen.accuracy − that
///   everybody.accuracy       all test images, as in unseen.best
///   bytes_down, bytes_up     of a round on average, of weights alone
///   bytes_share              weights of experts sent down over those of all experts to as many clients: k /
///   M bytes_beyond             bytes down and up of all rounds that are more or less than k / M of all
///   experts
///                            and the gate for each client that answered
///   refused, lost            updates that could not be used; clients that gave none
///   idle_experts             experts that no client has trained
/// Curve "accuracy" (unseen.accuracy over the rounds); tables "experts" (clients and examples that trained
/// each, mean gate probability by class), "left_out" (round and client, the reason in the row's name).
/// Errors: ValueError for data without images and options that do not fit; IoError where no process can be
///         started; Interrupted.
void federate(const TrainConfig& config, const FederatedTrialOptions& options, const Artefact& common,
              const ArmRun& run, ArmResult& result);
LeftNames federated_names();

}  // namespace gw::inline runs
