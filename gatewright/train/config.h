#pragma once
#include "gatewright/base/options.h"
#include "gatewright/data/loader.h"
#include "gatewright/routing/recording.h"
#include "gatewright/train/budget.h"
#include "gatewright/train/clip.h"
#include "gatewright/train/schedule.h"

namespace gw::inline train {

/// Another run's weights.
struct StartOptions : OptionSet {
  std::string checkpoint;  ///< a file; "": none
  std::string crc32c;      ///< of its content: what tells one start from another, wherever the file lies
  bool copies = false;     ///< of one pathway into every expert; the router stays as drawn
  bool slices = false;     ///< of one perceptron, an equal part of its hidden units for every expert
  void fields(OptionVisitor& v) override;
};

/// A trained network whose answers are learned beside the labels.
struct TeacherOptions : OptionSet {
  std::string checkpoint, crc32c;  ///< as StartOptions
  std::string arm;                 ///< in a recipe: the arm of `from` whose best checkpoint teaches
  double weight = 1;               ///< of its answers; the rest is the labels'
  double temperature = 1;
  void fields(OptionVisitor& v) override;
};

/// Variations of the training images that stand in their place; held-out ones stay as they are.
struct VariationOptions : OptionSet {
  std::string file, crc32c;  ///< of train/variations.h; the checksum as StartOptions
  std::string arm;           ///< in a recipe: the arm of `from` that made them
  void fields(OptionVisitor& v) override;
};

/// What is measured of a trained network on the test images.
struct EvaluationConfig : OptionSet {
  std::vector<std::string> attacks = {"joint"};  ///< parts of the attacks catalogue
  std::vector<std::string> beside;               ///< others, measured alike; not in the worst case
  OptionTable attack_options;                    ///< per attack: {joint = {steps = 10}}
  int64_t batch = 250;
  int64_t images = 0;    ///< the first so many test images; 0: all
  bool certify = false;  ///< also the share of routes that provably stand; wants a router with bounds
  void fields(OptionVisitor& v) override;
};

/// What a run does with its routes: the table `routes` of a recipe.
struct RouteOptions : RecordingOptions {
  bool record = false;
  std::string replay, replay_weights = "fresh";
  void fields(OptionVisitor& v) override;
};

/// Everything that one training run is made of, resolved: one arm of a recipe at one size with one seed.
struct TrainConfig : OptionSet {
  std::string name = "run", arm = "default";
  int64_t seed = 0;
  PartChoice data = "fashion_mnist";
  std::vector<PartChoice> transforms;               ///< of the data, one after the other
  int64_t train_per_class = 0, test_per_class = 0;  ///< 0: all
  double validation = 0.1;                          ///< share of the training images that is held out
  PartChoice task = "image_classification";
  OptionTable network;  ///< of networks/image, or of the network that it names under `part`
  PartChoice objective = "trades", optimizer = "sgd";
  PartChoice order;  ///< part of the orders catalogue; none: every example once an epoch, drawn anew
  Nested<Schedule> schedule;
  Nested<AugmentOptions> augment;
  double average =
      0;  ///< decay of the weights' average that is evaluated and saved; 0: the weights themselves
  Nested<ClipOptions> clip;  ///< limits of the gradients' norms
  int64_t epochs = 10, batch = 128;
  int64_t patience = 0;          ///< epochs without a better validation that end the run; 0: none do
  int64_t checkpoint_steps = 0;  ///< also between epochs, every so many steps; 0: after each epoch only
  Nested<EvaluationConfig> evaluation;
  Nested<RouteOptions> routes;          ///< recording and replay of decisions
  Nested<BudgetOptions> budget;         ///< how long, in place of epochs
  Nested<StartOptions> start;           ///< the weights to start from; {}: drawn from the seed
  Nested<TeacherOptions> teacher;       ///< a trained network to learn from; {}: none
  Nested<VariationOptions> variations;  ///< in place of the training images; {}: none
  void fields(OptionVisitor& v) override;
  /// All values, as a run directory keeps them; options that came later are left out at their defaults, so
  /// that older runs are still the runs of their recipes.
  Json document() const;
};

/// As for other options, and an option of a task that stands beside the task's table is answered by the line
/// to write in its place. Errors: ValueError.
void parse_options(const std::string& part, const Json& values, TrainConfig& config);

/// The document of a run that an earlier version wrote, as this one would write it: options that have moved
/// into the task's table are put there, and those of other tasks, which never counted, are left out. Anything
/// else is returned as it is.
Json current_document(Json document);
/// What a run directory or a checkpoint keeps. Errors: ValueError naming `where`.
TrainConfig read_config(const std::string& where, const Json& document);

}  // namespace gw::inline train
