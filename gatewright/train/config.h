#pragma once
#include "gatewright/base/options.h"
#include "gatewright/train/schedule.h"

namespace gw::inline train {

/// Everything that one training run is made of, resolved: one arm of a recipe at one size with one seed.
struct TrainConfig : OptionSet {
  std::string name = "run", arm = "default";
  int64_t seed = 0;
  std::string data = R"({"part":"fashion_mnist"})";
  int64_t train_per_class = 0, test_per_class = 0;  ///< 0: all
  double validation = 0.1;                          ///< share of the training images that is held out
  std::string task = R"({"part":"image_classification"})";
  std::string network = "{}", objective = R"({"part":"trades"})", optimizer = R"({"part":"sgd"})",
              schedule = "{}", augment = "{}";
  double average =
      0;  ///< decay of the weights' average that is evaluated and saved; 0: the weights themselves
  std::string clip = "{}";  ///< limits of the gradients' norms (ClipOptions)
  int64_t epochs = 10, batch = 128;
  double epsilon = 8.0 / 255.0;
  int64_t checkpoint_steps = 0;  ///< also between epochs, every so many steps; 0: after each epoch only
  int64_t validation_steps = 5;  ///< PGD steps of the robust accuracy on which the best checkpoint is chosen
  std::string evaluation = "{}";
  std::string routes = "{}";  ///< recording and replay of decisions (RouteOptions)
  std::string budget = "{}";  ///< how long, in place of epochs (BudgetOptions)
  std::string start = "{}";   ///< the weights to start from (StartOptions); {}: drawn from the seed
  void fields(OptionVisitor& v) override;
  /// All values, as a run directory keeps them; options that came later are left out at their defaults, so
  /// that older runs are still the runs of their recipes.
  Json document() const;
};

/// Another run's weights.
struct StartOptions : OptionSet {
  std::string checkpoint;  ///< a file; "": none
  std::string crc32c;      ///< of its content: what tells one start from another, wherever the file lies
  void fields(OptionVisitor& v) override;
};

/// What is measured of a trained network on the test images.
struct EvaluationConfig : OptionSet {
  std::vector<std::string> attacks = {"joint"};  ///< parts of the attacks catalogue
  std::string attack_options = "{}";             ///< per attack: {joint = {steps = 10}}
  int64_t batch = 250;
  int64_t images = 0;  ///< the first so many test images; 0: all
  void fields(OptionVisitor& v) override;
};

}  // namespace gw::inline train
