// One reading of the data: what an iteration sums over its rows. Nothing here asks for memory twice.
#include <algorithm>

#include "gatewright/likelihood/em.h"

namespace gw::likelihood {

/// Columns of one block. Every thread keeps its own from pass to pass: 70 KB each time would take as long as
/// 100 rows.
struct EmProblem::Workspace {
  Block block;
  AlignedVector storage;
  double *score = nullptr, *joint = nullptr, *scratch = nullptr, *gate_scratch = nullptr;

  static Workspace& of_thread(int64_t experts, int64_t columns, int64_t gate_columns) {
    thread_local Workspace w;
    const auto size = static_cast<size_t>((2 * experts + columns + gate_columns) * Block::kStride);
    if (w.storage.size() < size)
      w.storage = AlignedVector(size);  // not cleared: every column is written before it is read
    w.score = w.storage.data(), w.joint = w.score + experts * Block::kStride;
    w.scratch = w.joint + experts * Block::kStride, w.gate_scratch = w.scratch + columns * Block::kStride;
    return w;
  }
};

namespace {

const double* ones() {
  static const AlignedVector values(Block::kStride, 1.0);
  return values.data();
}

}  // namespace

void EmProblem::fill_block(int64_t begin, int64_t end, Workspace& w) const {
  auto& block = w.block;
  block.design = &design_, block.begin = begin, block.rows = end - begin;
  const auto fill = [&](std::vector<const double*>& to, const std::vector<const double*>& columns) {
    to.assign(1, ones());
    for (const double* column : columns) to.push_back(column + begin);
  };
  fill(block.gate, design_.gate_input);
  fill(block.input, design_.input);
  block.input.push_back(design_.y + begin);
}

void EmProblem::pass_block(const MixtureParameters& p, Workspace& w, double* sums) const {
  const auto& block = w.block;
  gate_->scores(block, p, w.score);
  expert_->densities(block, p, w.joint, w.scratch);
  sums[0] += ops::em_posterior(w.score, w.joint, Block::kStride, spec_.experts, block.weight(), block.rows);
  gate_->accumulate(block, p, w.score, w.joint, w.gate_scratch, sums + gate_at_);
  expert_->accumulate(block, p, w.joint, w.scratch, sums + expert_at_);
  if (expert_->mass_at(0) >= 0)
    return;  // among the moments: to sum it here would take another 2 % of an iteration
  const double* one = ones();
  for (int64_t k = 0; k < spec_.experts; ++k)
    ops::em_sums(w.joint + k * Block::kStride, {&one, 1, block.rows}, sums + 1 + k);
}

// Each block stays in the nearest caches from its scores to its last moment.
void EmProblem::pass(const MixtureParameters& p, Sums& total) const {
  const Chunks chunks(design_.padded);
  const size_t apart = (sums_ + 7) / 8 * 8;
  thread_local std::vector<double> parts;
  parts.assign(apart * static_cast<size_t>(chunks.count()), 0.0);
  double* first = parts.data();  // the other threads' own `parts` are not meant
  parallel_for(chunks.count(), [&](int64_t c) {
    auto& workspace = Workspace::of_thread(spec_.experts, expert_->scratch(), gate_->scratch());
    for (int64_t begin = chunks.begin(c); begin < chunks.end(c); begin += Block::kStride) {
      fill_block(begin, std::min(begin + Block::kStride, chunks.end(c)), workspace);
      pass_block(p, workspace, first + apart * static_cast<size_t>(c));
    }
  });
  total.assign(first, first + sums_);
  for (const double* part = first + apart; part != first + parts.size(); part += apart) {
    for (size_t i = 0; i < sums_; ++i) total[i] += part[i];
  }
  for (int64_t k = 0; k < spec_.experts && expert_->mass_at(k) >= 0; ++k) {
    total[static_cast<size_t>(1 + k)] = total[expert_at_ + static_cast<size_t>(expert_->mass_at(k))];
  }
}

std::vector<double> EmProblem::label_sums(const ExpertStep& step, const MixtureParameters& p,
                                          const std::vector<int32_t>& label) const {
  constexpr double kOwn = 0.9;
  const double other = spec_.experts > 1 ? (1 - kOwn) / static_cast<double>(spec_.experts - 1) : 0;
  const Chunks chunks(design_.padded);
  std::vector<std::vector<double>> parts(static_cast<size_t>(chunks.count()),
                                         std::vector<double>(static_cast<size_t>(step.sums()), 0.0));
  parallel_for(chunks.count(), [&](int64_t c) {
    auto& w = Workspace::of_thread(spec_.experts, step.scratch(), 0);
    for (int64_t begin = chunks.begin(c); begin < chunks.end(c); begin += Block::kStride) {
      fill_block(begin, std::min(begin + Block::kStride, chunks.end(c)), w);
      step.densities(w.block, p, w.joint, w.scratch);
      for (int64_t r = 0; r < w.block.rows; ++r) {
        const int64_t own = begin + r < design_.rows ? label[static_cast<size_t>(begin + r)] : 0;
        for (int64_t k = 0; k < spec_.experts; ++k) {
          w.joint[k * Block::kStride + r] =
              w.block.weight()[r] * (k == own || spec_.experts == 1 ? kOwn : other);
        }
      }
      step.accumulate(w.block, p, w.joint, w.scratch, parts[static_cast<size_t>(c)].data());
    }
  });
  for (size_t c = 1; c < parts.size(); ++c) {
    for (size_t i = 0; i < parts[c].size(); ++i) parts.front()[i] += parts[c][i];
  }
  return parts.front();
}

}  // namespace gw::likelihood
