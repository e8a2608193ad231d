#include "gatewright/kernels/moe_ffn/quantised_product.h"

namespace gw::kernels {
namespace {

template <class T>
class QuantisedForward : QuantisedProduct<T> {
  using Product = QuantisedProduct<T>;
  using Product::arena_, Product::chunks, Product::codes_at, Product::each_row, Product::multiply,
      Product::panel_rows_, Product::panels_, Product::pool_, Product::rows_, Product::stretches,
      Product::sums_, Product::sums_of_panel_, Product::table_, Product::wide;

 public:
  QuantisedForward(const QgemmTable& table, const FfnLevel<T>& level, const QuantisedProblem<T>& p,
                   ThreadPool& pool, Arena& arena)
      : Product(table, level, p.offsets, p.experts, p.up.bits, pool, arena), units_(level.units), p_(p) {}

  void run(float* y) {
    take_rows();
    h_ = take<T>(arena_, p_.offsets[p_.experts] * p_.hidden);
    inner();
    fixed_h_.take(arena_, panels_.total(), p_.hidden, p_.down);
    each_row([&](int64_t panel, int64_t r, int64_t row) {
      fixed_h_.fill(table_, rows_, panel, r, h_ + row * p_.hidden);
    });
    down(y);
  }

 private:
  /// x in fixed point. Where a token has many rows, once per token: making fixed point costs four times
  /// copying it.
  void take_rows() {
    x_.take(arena_, panels_.total(), p_.in, p_.up);
    if (p_.offsets[p_.experts] < std::max(kManyRows, 2 * p_.tokens)) {
      return each_row([&](int64_t panel, int64_t r, int64_t row) {
        x_.fill(table_, rows_, panel, r, p_.x + p_.token[row] * p_.in);
      });
    }
    FixedRows tokens;
    tokens.take(arena_, ceil_div(p_.tokens, panel_rows_), p_.in, p_.up);
    pool_.run(ceil_div(p_.tokens, panel_rows_), [&](int64_t panel, int) {
      for (int64_t t = panel * panel_rows_; t < std::min(p_.tokens, (panel + 1) * panel_rows_); ++t) {
        tokens.fill(table_, rows_, panel, t % panel_rows_, p_.x + t * p_.in);
      }
    });
    each_row([&](int64_t panel, int64_t r, int64_t row) {
      x_.copy(panel, r, tokens, p_.token[row] / panel_rows_, p_.token[row] % panel_rows_);
    });
  }

  void inner() {
    const int64_t panels = ceil_div(p_.hidden, kQgemmLanes);
    const auto blocks = blocks_of(panels_, p_.experts, panels, wide(panels, p_.experts));
    pool_.run(static_cast<int64_t>(blocks.size()), [&](int64_t task, int worker) {
      const auto& b = blocks[static_cast<size_t>(task)];
      const auto& later = likely_next(blocks, task, pool_);
      const auto* next = codes_at(p_.up, p_.hidden, p_.in, later.expert, later.panel);
      const auto* after_up = p_.gate.given() ? codes_at(p_.gate, p_.hidden, p_.in, b.expert, b.panel) : next;
      const auto unit = p_.unit.of(b.expert, p_.activation, units_);
      float *up = sums_[static_cast<size_t>(worker)], *gate = up + kRowChunk * kMostWide * kQgemmLanes;
      chunks(b.expert, [&](int64_t first, int64_t count) {
        multiply(x_, p_.up, b, p_.hidden, p_.in, first, count, up, worker, after_up);
        if (p_.gate.given()) multiply(x_, p_.gate, b, p_.hidden, p_.in, first, count, gate, worker, next);
        stretches(b, p_.hidden, first, count, [&](int64_t row, int64_t column, int64_t n, int64_t at) {
          rows_.activate(unit, p_.bounds, p_.gate.given() ? gate + at : nullptr, up + at, n,
                         h_ + row * p_.hidden + column, nullptr, nullptr);
        });
      });
      if (table_.release_tiles != nullptr) table_.release_tiles();
    });
  }

  void down(float* y) {
    const int64_t panels = ceil_div(p_.out, kQgemmLanes), each = wide(panels, 1);
    pool_.run(ceil_div(panels, each), [&](int64_t task, int worker) {
      const int64_t panel = task * each, count = std::min(each, panels - panel), column = panel * kQgemmLanes;
      for (int64_t t = 0; t < p_.tokens; ++t)
        std::fill_n(y + t * p_.out + column, std::min(count * kQgemmLanes, p_.out - column), 0.0f);
      each_expert(panels_, panels, each, task, pool_, [&](const Block& b, const Block& later) {
        down_block(b, y, worker, codes_at(p_.down, p_.out, p_.hidden, later.expert, later.panel));
      });
      if (table_.release_tiles != nullptr) table_.release_tiles();
    });
  }

  void down_block(const Block& b, float* y, int worker, const uint8_t* next) {
    float* sums = sums_[static_cast<size_t>(worker)];
    chunks(b.expert, [&](int64_t first, int64_t count) {
      multiply(fixed_h_, p_.down, b, p_.out, p_.hidden, first, count, sums, worker, next);
      stretches(b, p_.out, first, count, [&](int64_t row, int64_t column, int64_t n, int64_t at) {
        rows_.scatter(sums + at, p_.weight[row], n, y + p_.token[row] * p_.out + column);
      });
    });
  }

  const UnitTable<float>* units_;
  const QuantisedProblem<T>& p_;
  FixedRows x_, fixed_h_;
  T* h_ = nullptr;
};

}  // namespace

template <class T>
void quantised_forward(const QgemmTable& table, const FfnLevel<T>& level, const QuantisedProblem<T>& p,
                       float* y, ThreadPool& pool, Arena& arena) {
  QuantisedForward<T>(table, level, p, pool, arena).run(y);
}

template void quantised_forward<float>(const QgemmTable&, const FfnLevel<float>&,
                                       const QuantisedProblem<float>&, float*, ThreadPool&, Arena&);
template void quantised_forward<Bf16>(const QgemmTable&, const FfnLevel<Bf16>&, const QuantisedProblem<Bf16>&,
                                      float*, ThreadPool&, Arena&);

}  // namespace gw::kernels
