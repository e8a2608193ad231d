#pragma once
#include "gatewright/train/robust/attack_loop.h"

namespace gw::inline train {

/// AutoPGD from one start: sign steps with momentum whose length halves, per sample, when progress stalls.
/// Math:   z = P(x_k + η sign ∇f), x_{k+1} = P(x_k + α (z − x_k) + (1 − α)(x_k − x_{k−1})), α = 0.75 (1 at k
///         = 0), η_0 = 2 ε. At checkpoints w_j = ⌈p_j steps⌉, p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j −
///         p_{j−1} − 0.03, 0.06), η halves and the sample restarts at its best point if f rose in fewer than
///         0.75 (w_j − w_{j−1}) of the steps since w_{j−1}, or if neither η nor the best f has changed since
///         w_{j−1}.
/// Shapes: x, start [B, C, H, W] → the worst candidates seen (goal reached first, then the largest f).
/// Cost:   steps + 1 forward and `steps` backward passes.
/// Source: Croce & Hein 2020, arXiv 2003.01690, algorithm 1 and eq. 3-5 (L∞ only); differs: what is returned
///         prefers a point that reached the goal to one of larger f.
Candidates apgd(const SampleObjective& objective, const at::Tensor& x, const at::Tensor& start,
                double epsilon, int64_t steps);

/// Checkpoints w_1, w_2 … below `steps`, ascending and distinct.
std::vector<int64_t> apgd_checkpoints(int64_t steps);

/// Options of the attacks that run AutoPGD.
struct ApgdOptions : OptionSet {
  int64_t steps = 100;
  int64_t restarts = 1;
  void fields(OptionVisitor& v) override;
};

/// `restarts` AutoPGD runs, each on the samples that have not reached the goal yet; updates `worst`.
/// `objective_of` gives the objective for some rows of the batch ([n] int64). `rank_by_margin`: runs are
/// compared by their margin instead of their loss, as losses towards different targets do not compare.
void apgd_restarted(const ApgdOptions& options,
                    const std::function<SampleObjective(const at::Tensor& rows)>& objective_of,
                    const at::Tensor& x, double epsilon, const Rng& rng, bool rank_by_margin,
                    Candidates& worst);

}  // namespace gw::inline train
