#pragma once
// What gradient attacks and adversarial training share: projection, gradients with respect to images, losses,
// bookkeeping.
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "gatewright/base/options.h"
#include "gatewright/base/rng.h"

namespace gw::inline train {

/// Nearest image inside the L∞ ball around x, then inside [0, 1] (in this order: the result is in both, as x
/// is in [0, 1]).
/// Shapes: images, x [B, C, H, W] → [B, C, H, W]; |result − x| ≤ epsilon up to one rounding of x ± epsilon.
at::Tensor project(const at::Tensor& images, const at::Tensor& x, double epsilon);

/// Images → scalar to maximise.
using ImageObjective = std::function<at::Tensor(const at::Tensor& images)>;

/// d objective / d images, and the objective's value. Works under a no-gradient guard as well; no parameter's
/// `.grad` changes.
/// Errors: ValueError if the objective does not depend on the images through autograd, or the gradient has a
///         NaN.
/// Cost:   one forward and one backward pass.
struct ImageGradient {
  at::Tensor value, gradient;
};
ImageGradient image_gradient(const at::Tensor& images, const ImageObjective& objective);

/// Projected gradient ascent by signs: x' ← project(x' + step_size · sign(∇ objective(x'))), `steps` times;
/// the last iterate.
/// The networks behind `objective` should be in evaluation mode: batch statistics would couple the images.
/// Source: Madry et al. 2018, arXiv 1706.06083, eq. of section 2.1; the objective is free (cross-entropy, KL
///         of TRADES …).
at::Tensor perturb(const at::Tensor& x_start, const at::Tensor& x, int64_t steps, double step_size,
                   double epsilon, const ImageObjective& objective);

/// x + uniform noise of the ball, projected. An image's noise is a pure function of (rng, the image's
/// values): neither the split of the batch nor the order of its rows changes it; equal images get equal
/// noise.
at::Tensor random_start(const Rng& rng, const at::Tensor& x, double epsilon);
/// One stream per image, with the same property.
std::vector<Rng> image_streams(const Rng& rng, const at::Tensor& x);

/// Losses per sample, to be maximised. Shapes: logits [B, classes], labels [B] int64 → [B].
using SampleLoss = at::Tensor (*)(const at::Tensor& logits, const at::Tensor& labels);
/// −log softmax(z)_y.
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels);
/// max_{j≠y} z_j − z_y; positive exactly where the answer is wrong. Errors: ValueError below 2 classes.
at::Tensor margin_loss(const at::Tensor& logits, const at::Tensor& labels);
/// −(z_y − max_{j≠y} z_j) / (z_(1) − z_(3)), invariant to shift and scale of the logits. Errors: ValueError
/// below 3 classes.
/// Source: Croce & Hein 2020, arXiv 2003.01690, eq. 6.
at::Tensor dlr_loss(const at::Tensor& logits, const at::Tensor& labels);
/// −(z_y − z_t) / (z_(1) − (z_(3) + z_(4)) / 2). Errors: ValueError below 4 classes. Source: the same, eq. 7.
at::Tensor targeted_dlr_loss(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& targets);
/// KL(softmax(reference) ‖ softmax(logits)), summed over classes. Shapes: [B, K], [B, K] → [B].
at::Tensor kl_divergence(const at::Tensor& reference, const at::Tensor& logits);
/// "ce", "dlr" or "margin".
SampleLoss sample_loss(const std::string& name);
std::vector<std::string> sample_loss_names();

/// What is known of a batch of candidate images: the loss that the search maximises, and a margin that is
/// positive where the search has reached its goal.
struct Candidates {
  at::Tensor images;        ///< [B, C, H, W]
  at::Tensor loss, margin;  ///< [B]
};
/// Replaces the rows of `worst` that `other` beats: goal reached beats not reached, then the larger loss;
/// ties keep the old.
void keep_worst(Candidates& worst, const Candidates& other);
/// The same for some rows: other's row i competes with worst's row rows[i].
void keep_worst_rows(Candidates& worst, const at::Tensor& rows, const Candidates& other);
/// Rows whose margin is not positive. Shapes: → [n] int64, ascending.
at::Tensor unreached_rows(const at::Tensor& margin);
/// index_select along the batch that keeps the memory format.
at::Tensor take_rows(const at::Tensor& images, const at::Tensor& rows);

/// Images → loss and margin per sample (`images` of the answer are left undefined); the loss carries the
/// graph.
using SampleObjective = std::function<Candidates(const at::Tensor& images)>;

/// Options of every attack made of sign steps.
struct SignSteps : OptionSet {
  int64_t steps = 10;
  double step_size = 0;
  int64_t restarts = 1;
  bool random_start = true;
  void fields(OptionVisitor& v) override;
};

/// `restarts` runs of `perturb`; per sample the worst of their last iterates.
/// Errors: ValueError for several restarts without a random start (they would be equal).
at::Tensor perturb_restarted(const SignSteps& options, const at::Tensor& x, double epsilon, const Rng& rng,
                             const SampleObjective& objective);

}  // namespace gw::inline train
