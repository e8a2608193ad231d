#include "gatewright/kernels/moe_ffn/block_rows.h"

namespace gw::kernels {
namespace {

constexpr int64_t kFillRows = 16;  // rows that a task brings to fixed point
constexpr int64_t kMostPanelsOfTask = 8;

/// Panels of a task: leaving sixteen tasks for each worker. For one token a task of six panels is 14 µs of
/// 60, which the other worker may wait for.
int64_t panels_of_task(int64_t panels, int64_t experts, const ThreadPool& pool) {
  return std::clamp<int64_t>(panels * experts / (16 * pool.workers()), 1, kMostPanelsOfTask);
}

/// Whether both take the same rows.
bool alike(const BlockForm& a, const BlockForm& b) { return a.bits == b.bits && a.group == b.group; }

/// body(row) for all rows.
template <class Body>
void each_of(int64_t rows, ThreadPool& pool, const Body& body) {
  pool.run(ceil_div(rows, kFillRows), [&](int64_t task, int) {
    for (int64_t r = task * kFillRows; r < std::min(rows, (task + 1) * kFillRows); ++r) body(r);
  });
}

template <class T>
class BlockForward {
 public:
  BlockForward(const BlockGemmTable& table, const FfnLevel<T>& level, const BlockProblem<T>& p,
               ThreadPool& pool, Arena& arena)
      : table_(table),
        rows_(*level.rows),
        units_(level.units),
        p_(p),
        pool_(pool),
        arena_(arena),
        panels_(p.offsets, p.experts, kBlockRowChunk) {
    for (int w = 0; w < pool_.workers(); ++w)
      sums_.push_back(take<float>(arena_, 2 * kBlockRowChunk * kBlockLanes));
  }

  void run(float* y) {
    take_tokens(p_.up.form, x_);
    if (p_.gate.given() && !alike(p_.gate.form, p_.up.form)) take_tokens(p_.gate.form, gate_x_);
    const int64_t rows = p_.offsets[p_.experts];
    h_ = take<T>(arena_, rows * p_.hidden);
    inner();
    fixed_h_.take(arena_, rows, p_.hidden, p_.down.form);
    each_of(rows, pool_, [&](int64_t r) { fixed_h_.fill(table_, rows_, r, h_ + r * p_.hidden); });
    down(y);
  }

 private:
  void take_tokens(const BlockForm& form, BlockRows& rows) {
    rows.take(arena_, p_.tokens, p_.in, form);
    each_of(p_.tokens, pool_, [&](int64_t t) { rows.fill(table_, rows_, t, p_.x + t * p_.in); });
  }

  void inner() {
    const int64_t panels = ceil_div(p_.hidden, kBlockLanes);
    const auto blocks = blocks_of(panels_, p_.experts, panels, panels_of_task(panels, p_.experts, pool_));
    pool_.run(static_cast<int64_t>(blocks.size()), [&](int64_t task, int worker) {
      const auto& b = blocks[static_cast<size_t>(task)];
      for (int64_t i = 0; i < panels_.panels_of(b.expert); ++i)
        for (int64_t panel = b.panel; panel < b.panel + b.panels; ++panel)
          inner_panel(b.expert, panel, panels_.first_of(b.expert) + i, worker);
    });
  }

  /// Hidden values of one panel of outputs for a chunk of rows.
  void inner_panel(int64_t expert, int64_t panel, int64_t chunk, int worker) {
    const int64_t begin = panels_.begin(chunk), m = panels_.rows(chunk), column = panel * kBlockLanes;
    BlockRow rows[kBlockRowChunk];
    for (int64_t r = 0; r < m; ++r) rows[r] = x_.of(p_.token[begin + r]);
    float *up = sums_[static_cast<size_t>(worker)], *gate = nullptr;
    multiply_block(table_, p_.up, expert, panel, p_.hidden, p_.in, rows, m, up);
    if (p_.gate.given()) {
      gate = up + kBlockRowChunk * kBlockLanes;
      for (int64_t r = 0; r < m && gate_x_.taken(); ++r) rows[r] = gate_x_.of(p_.token[begin + r]);
      multiply_block(table_, p_.gate, expert, panel, p_.hidden, p_.in, rows, m, gate);
    }
    const auto unit = p_.unit.of(expert, p_.activation, units_);
    for (int64_t r = 0; r < m; ++r)
      rows_.activate(unit, p_.bounds, gate == nullptr ? nullptr : gate + r * kBlockLanes,
                     up + r * kBlockLanes, std::min(kBlockLanes, p_.hidden - column),
                     h_ + (begin + r) * p_.hidden + column, nullptr, nullptr);
  }

  void down(float* y) {
    const int64_t panels = ceil_div(p_.out, kBlockLanes), each = panels_of_task(panels, 1, pool_);
    pool_.run(ceil_div(panels, each), [&](int64_t task, int worker) {
      const int64_t first = task * each, last = std::min(first + each, panels);
      const int64_t column = first * kBlockLanes, width = std::min(last * kBlockLanes, p_.out) - column;
      for (int64_t t = 0; t < p_.tokens; ++t) std::fill_n(y + t * p_.out + column, width, 0.0f);
      for (const int64_t expert : panels_.busy())
        for (int64_t i = 0; i < panels_.panels_of(expert); ++i)
          for (int64_t panel = first; panel < last; ++panel)
            down_panel(expert, panel, panels_.first_of(expert) + i, worker, y);
    });
  }

  void down_panel(int64_t expert, int64_t panel, int64_t chunk, int worker, float* y) {
    const int64_t begin = panels_.begin(chunk), m = panels_.rows(chunk), column = panel * kBlockLanes;
    BlockRow rows[kBlockRowChunk];
    for (int64_t r = 0; r < m; ++r) rows[r] = fixed_h_.of(begin + r);
    float* const sums = sums_[static_cast<size_t>(worker)];
    multiply_block(table_, p_.down, expert, panel, p_.out, p_.hidden, rows, m, sums);
    for (int64_t r = 0; r < m; ++r)
      rows_.scatter(sums + r * kBlockLanes, p_.weight[begin + r], std::min(kBlockLanes, p_.out - column),
                    y + p_.token[begin + r] * p_.out + column);
  }

  const BlockGemmTable& table_;
  const FfnRowsTable<T>& rows_;
  const UnitTable<float>* units_;
  const BlockProblem<T>& p_;
  ThreadPool& pool_;
  Arena& arena_;
  RowPanels panels_;
  BlockRows x_, gate_x_, fixed_h_;  // gate_x_: where gate and up want rows in other forms
  std::vector<float*> sums_;
  T* h_ = nullptr;
};

}  // namespace

template <class T>
void block_forward(const BlockGemmTable& table, const FfnLevel<T>& level, const BlockProblem<T>& p, float* y,
                   ThreadPool& pool, Arena& arena) {
  BlockForward<T>(table, level, p, pool, arena).run(y);
}

template <class T>
void block_linear(const BlockGemmTable& table, const FfnLevel<T>& level, const BlockLinearProblem<T>& p,
                  ThreadPool& pool, Arena& arena) {
  if (p.rows == 0 || p.out == 0) return;
  BlockRows x;
  x.take(arena, p.rows, p.in, p.weight.form);
  each_of(p.rows, pool, [&](int64_t r) { x.fill(table, *level.rows, r, p.x + r * p.in); });
  const int64_t panels = ceil_div(p.out, kBlockLanes), each = panels_of_task(panels, 1, pool);
  pool.run(ceil_div(panels, each), [&](int64_t task, int) {
    float sums[kBlockRowChunk * kBlockLanes];
    BlockRow rows[kBlockRowChunk];
    for (int64_t begin = 0; begin < p.rows; begin += kBlockRowChunk) {
      const int64_t m = std::min(kBlockRowChunk, p.rows - begin);
      for (int64_t r = 0; r < m; ++r) rows[r] = x.of(begin + r);
      for (int64_t panel = task * each; panel < std::min(panels, (task + 1) * each); ++panel) {
        multiply_block(table, p.weight, 0, panel, p.out, p.in, rows, m, sums);
        const int64_t column = panel * kBlockLanes, n = std::min(kBlockLanes, p.out - column);
        for (int64_t r = 0; r < m; ++r)
          level.rows->narrow(sums + r * kBlockLanes, n, p.y + (begin + r) * p.out + column, false);
      }
    }
  });
}

template void block_forward<float>(const BlockGemmTable&, const FfnLevel<float>&, const BlockProblem<float>&,
                                   float*, ThreadPool&, Arena&);
template void block_forward<Bf16>(const BlockGemmTable&, const FfnLevel<Bf16>&, const BlockProblem<Bf16>&,
                                  float*, ThreadPool&, Arena&);
template void block_linear<float>(const BlockGemmTable&, const FfnLevel<float>&,
                                  const BlockLinearProblem<float>&, ThreadPool&, Arena&);
template void block_linear<Bf16>(const BlockGemmTable&, const FfnLevel<Bf16>&,
                                 const BlockLinearProblem<Bf16>&, ThreadPool&, Arena&);

}  // namespace gw::kernels
