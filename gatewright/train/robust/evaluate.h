#pragma once
#include <functional>
#include <optional>

#include "gatewright/data/dataset.h"
#include "gatewright/models/network.h"
#include "gatewright/train/config.h"
#include "gatewright/train/task.h"

namespace gw::inline train {

/// Name of the accuracy that counts an image only if every attack of the list `attacks` failed on it. Those
/// of `beside` are measured on the same images and never count: an image that the network gets wrong is a
/// witness whoever found it, so that naming an attack in `attacks` can only lower the worst case, and leaving
/// one beside keeps worst cases with and without it comparable.
inline constexpr const char* kWorstCase = "worst_case";
/// The clean images' name among NetworkEvaluation::pathways.
inline constexpr const char* kClean = "clean";

/// What no attack can do to the routes: measured where `EvaluationConfig::certify` asks for it.
struct CertifiedRoutes {
  double routes = 0;         ///< share of images whose route provably stands within epsilon
  double median_radius = 0;  ///< of the radii within which routes stand, epsilon aside
};

/// Answers to one set of images, clean and under attack.
struct NetworkEvaluation {
  double clean_accuracy = 0;
  std::map<std::string, double> robust_accuracy;  ///< by attack
  double flip_rate = 0;  ///< share of images whose strongest expert changes under the first attack
  /// Share of images that err under the first attack and would not with the clean image's routes and weights:
  /// what moving the routes wins.
  double route_loss_rate = 0;
  std::vector<std::vector<int64_t>> affinity_clean, affinity_attacked;  ///< [E][classes] image counts
  std::vector<double>
      forced_accuracy;  ///< clean accuracy of each pathway when every image is forced through it
  std::vector<double>
      forced_robust;  ///< the same under `per_pathway`, each pathway attacked by itself; else empty
  std::optional<CertifiedRoutes> certified;
  /// Pathways that an image meets on average, clean and by attack; empty where it is always one.
  std::map<std::string, double> pathways;
  double load_entropy = 1;  ///< of the clean routes, 1 = even
  int64_t images = 0;
};

/// Refuses unknown attacks, their options, and an attack named twice, before anything is measured. Errors:
/// ValueError with the near miss.
void check_evaluation(const EvaluationConfig& config, double epsilon);

/// The frame of an evaluation on test images, outside of training.
inline RouteFrame test_frame() {
  RouteFrame frame;
  frame.phase = RoutePhase::kTest;
  return frame;
}

/// Clean accuracy, accuracy under every attack of `config`, routes.
/// Errors: as check_evaluation; with `config.certify`, ValueError for a router without bounds, and
///         InternalError where an attack changed a certified route: the certificate would be wrong.
/// Deterministic given (network, images, rng). `frame`: phase, step and epoch under which the tap sees the
/// batches; `tap` null: nobody does.
NetworkEvaluation evaluate(Network& network, const TensorSet& set, const EvaluationConfig& config,
                           double epsilon, const Rng& rng, const Tick& tick = {},
                           RouteFrame frame = test_frame(), RouteTap* tap = nullptr);
double clean_accuracy(Network& network, const TensorSet& set, int64_t batch);
Json evaluation_json(const NetworkEvaluation& evaluation);

/// Lets the policy of the image-level router set its threshold from a held-out set, where it has one
/// (`most` of policies/adaptive). Cost: one pass of the router.
void calibrate_routes(Network& network, const TensorSet& set, int64_t batch = 250);

/// A few images with their routes and answers, for the report.
struct SampleImages {
  at::Tensor clean, attacked;  ///< [n, C, H, W] uint8
  std::vector<int64_t> label, predicted_clean, predicted_attacked, route_clean,
      route_attacked;  ///< routes empty when dense
};
SampleImages sample_images(Network& network, const TensorSet& set, int64_t count, double epsilon,
                           const Rng& rng);
/// The same as samples.json has it, images in base 64.
Json samples_json(const SampleImages& samples);

}  // namespace gw::inline train
