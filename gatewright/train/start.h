#pragma once
// Weights of other runs: what a training starts from, and what it learns from.
#include "gatewright/models/model.h"
#include "gatewright/models/safetensors.h"
#include "gatewright/train/config.h"

namespace gw::inline train {

/// Puts weights into a model as `options` say: as they are, with `copies` those of one pathway into every
/// expert, or with `slices` a perceptron's hidden units shared out among the experts (added up with weight 1,
/// as policies/union_top_k does, all of them are that perceptron). With `copies` a tensor whose first
/// dimension is the model's divided by the number of experts is repeated, with `slices` one whose first is 1
/// is cut up (gatewright/models/copies.h); with either, one that the file has under another name
/// (Model::copied_name) is taken from there, and what the file lacks (the router) stays as it was drawn.
/// Errors: as load_model; ValueError for both, and where weights do not fit either.
/// Source: Komatsuzaki et al. 2023, arXiv 2212.05055 (sparse upcycling), here for convolutions, norms and
///         heads too; slices: Yang et al. 2025, arXiv 2503.02495.
void start_from(Model& model, SafetensorsFile file, const std::string& path, const StartOptions& options);

/// A trained network that another one learns from.
/// Math:   (1 − w)·CE(f(x), y) + w·τ²·KL(softmax(T(x)/τ) ‖ softmax(f(x)/τ)), mean over the batch.
/// Source: Hinton et al. 2015, arXiv 1503.02531; from a robust teacher on clean images, Goldblum et al. 2020,
/// arXiv
///         1905.09747; differs: the consistency term of the objective stays between the pupil's own answers.
class Teacher {
 public:
  /// Reads the network of the checkpoint that `options` name; `data` gives the sizes of its input.
  /// Errors: as load_checkpoint; ValueError for another checksum, and for a model that answers other classes.
  Teacher(const TeacherOptions& options, const TaskData& data);
  /// The loss above; `logits` carry the gradient. Cost: one forward pass of the teacher.
  at::Tensor loss(const Batch& batch, const at::Tensor& logits, const at::Tensor& labels) const;

 private:
  TeacherOptions options_;
  std::shared_ptr<Model> model_;
};

}  // namespace gw::inline train
