#pragma once
// The frame of every attack of the catalogue: checks, clean and closing passes, counting. A part writes only
// its search.
#include <optional>
#include <string>

#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/attack_loop.h"

namespace gw::inline train {

/// An attack's access to its victim: counts forward passes and refuses answers that no attack can use.
class Probe {
 public:
  Probe(std::string part, Victim& victim, at::Tensor images)
      : part_(std::move(part)), victim_(victim), images_(std::move(images)) {}
  /// Errors: ValueError naming the attack for logits or scores of a wrong shape or that are not finite.
  /// `through_choice`: with the gradient of Victim::respond_through_choice.
  Victim::Response respond(const at::Tensor& images, bool through_choice = false);
  /// The scores alone, and the logits of one expert's pathway; checked and counted alike.
  at::Tensor route(const at::Tensor& images);
  at::Tensor respond_forced(const at::Tensor& images, int64_t expert);
  /// The answer to the clean images, without a graph; computed at the first call.
  const Victim::Response& clean();
  /// Objective: `loss` of the logits; reached where the victim errs. `labels` belong to the rows of its
  /// images.
  SampleObjective objective(SampleLoss loss, const at::Tensor& labels);
  /// Clean images with their loss and margin.
  Candidates clean_candidates(SampleLoss loss, const at::Tensor& labels);

  const std::string& part() const { return part_; }
  Victim& victim() { return victim_; }
  int64_t queries() const { return queries_; }
  /// For passes made by a nested attack.
  void add_queries(int64_t count) { queries_ += count; }

 private:
  std::string part_;
  Victim& victim_;
  at::Tensor images_;
  std::optional<Victim::Response> clean_;
  int64_t queries_ = 0;
};

/// Attack whose `run` does what all have in common.
/// Errors: ValueError for images that are not [B, C, H, W] floats in [0, 1], labels that are not [B] int64 in
///         [0, classes), a victim that answers NaN, or an epsilon outside [0, 1].
class AttackBase : public Attack {
 public:
  AttackBase(std::string part, const Context& context);
  AttackResult run(Victim& victim, const at::Tensor& images, const at::Tensor& labels, const Rng& rng) final;

 protected:
  /// Returns the images found; B ≥ 1; gradients are off outside `image_gradient`. `run` projects the answer
  /// once more, so ε = 0 gives the input whatever the search does. `result` is for fields of the part's own.
  virtual at::Tensor search(Probe& probe, const at::Tensor& x, const at::Tensor& labels, const Rng& rng,
                            AttackResult& result) = 0;
  double epsilon() const { return epsilon_; }
  const std::string& part() const { return part_; }

 private:
  void check_inputs(const Victim& victim, const at::Tensor& images, const at::Tensor& labels) const;
  std::string part_;
  double epsilon_;
};

}  // namespace gw::inline train
