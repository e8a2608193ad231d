#include "gatewright/kernels/moe_ffn/linear.h"

#include "gatewright/kernels/moe_ffn/quantised_product.h"

namespace gw::kernels {
namespace {

template <class T>
class Linear {
 public:
  using Sum = typename SumOf<T>::type;

  Linear(const FfnLevel<T>& level, const LinearProblem<T>& p, ThreadPool& pool, Arena& arena)
      : gemm_(*level.gemm),
        rows_(*level.rows),
        p_(p),
        pool_(pool),
        arena_(arena),
        offsets_{0, p.rows},
        panels_(offsets_, 1, gemm_.rows) {}

  void run() {
    gather();
    const int64_t columns = ceil_div(p_.out, gemm_.cols);
    const int64_t wide = panels_per_task(gemm_, p_.in, 1, columns, 1, pool_.workers());
    scratch_ = take_scratch<T>(arena_, pool_.workers(), gemm_, std::min(kRowPanels, panels_.total()), wide,
                               wide * block_units(gemm_, p_.in) * gemm_.cols * gemm_.group);
    pool_.run(ceil_div(columns, wide), [&](int64_t task, int worker) {
      each_expert(panels_, columns, wide, task, pool_,
                  [&](const Block& b, const Block& later) { block(b, later, worker); });
    });
  }

 private:
  void gather() {
    x_.stride = ceil_div(p_.in, gemm_.group) * gemm_.rows * gemm_.group;
    x_.data = take<T>(arena_, panels_.total() * x_.stride);
    constexpr int64_t kPerTask = 4;
    pool_.run(ceil_div(panels_.total(), kPerTask), [&](int64_t task, int) {
      for (int64_t i = task * kPerTask; i < std::min((task + 1) * kPerTask, panels_.total()); ++i) {
        const Columns<T> rows{
            p_.x + panels_.begin(i) * p_.in, p_.in, panels_.rows(i), p_.in, true, nullptr, nullptr};
        pack_panel(gemm_, rows, 0, gemm_.rows, 0, p_.in, x_.data + i * x_.stride);
      }
    });
  }

  void block(const Block& b, const Block& later, int worker) {
    const auto& s = scratch_[static_cast<size_t>(worker)];
    const auto columns =
        expert_columns(p_.weight, 0, p_.out, p_.in, false, packed_size(gemm_, 1, p_.out, p_.in));
    const Stripe<T> weights{columns, b.panel, b.panels}, next{columns, later.panel, later.panels};
    for (int64_t first = 0; first < panels_.total(); first += kRowPanels) {
      const int64_t count = std::min(kRowPanels, panels_.total() - first);
      const auto tiles = start_tiles(gemm_, p_.weight.bias, p_.out, b.panel, b.panels, count, s.tiles);
      multiply<T>(gemm_, RowBlock{x_, first, count, [&](int64_t i) { return panels_.rows(first + i); }},
                  {weights}, {tiles}, s.columns, &next);
      for (int64_t i = 0; i < count; ++i)
        for (int64_t r = 0; r < panels_.rows(first + i); ++r)
          for (int64_t p = 0; p < b.panels; ++p) {
            const int64_t column = (b.panel + p) * gemm_.cols;
            rows_.narrow(s.tiles + (i * b.panels + p) * gemm_.rows * gemm_.cols + r * gemm_.cols,
                         std::min(gemm_.cols, p_.out - column),
                         p_.y + (panels_.begin(first + i) + r) * p_.out + column, false);
          }
    }
  }

  const GemmTable<T>& gemm_;
  const FfnRowsTable<T>& rows_;
  const LinearProblem<T>& p_;
  ThreadPool& pool_;
  Arena& arena_;
  int64_t offsets_[2];
  RowPanels panels_;
  Panels<T> x_;
  std::vector<Scratch<T>> scratch_;
};

template <class T>
class QuantisedLinear : QuantisedProduct<T> {
  using Product = QuantisedProduct<T>;
  using Product::arena_, Product::chunks, Product::codes_at, Product::each_row, Product::multiply,
      Product::panels_, Product::pool_, Product::rows_, Product::stretches, Product::sums_, Product::table_,
      Product::wide;

 public:
  QuantisedLinear(const QgemmTable& table, const FfnLevel<T>& level, const QuantisedLinearProblem<T>& p,
                  const int64_t* offsets, ThreadPool& pool, Arena& arena)
      : Product(table, level, offsets, 1, p.weight.bits, pool, arena), p_(p) {}

  void run() {
    x_.take(arena_, panels_.total(), p_.in, p_.weight);
    each_row(
        [&](int64_t panel, int64_t r, int64_t row) { x_.fill(table_, rows_, panel, r, p_.x + row * p_.in); });
    const int64_t panels = ceil_div(p_.out, kQgemmLanes), each = wide(panels, 1);
    pool_.run(ceil_div(panels, each), [&](int64_t task, int worker) {
      each_expert(panels_, panels, each, task, pool_, [&](const Block& b, const Block& later) {
        float* sums = sums_[static_cast<size_t>(worker)];
        const auto* next = codes_at(p_.weight, p_.out, p_.in, 0, later.panel);
        chunks(0, [&](int64_t first, int64_t count) {
          multiply(x_, p_.weight, b, p_.out, p_.in, first, count, sums, worker, next);
          stretches(b, p_.out, first, count, [&](int64_t row, int64_t column, int64_t n, int64_t at) {
            rows_.narrow(sums + at, n, p_.y + row * p_.out + column, false);
          });
        });
      });
      if (table_.release_tiles != nullptr) table_.release_tiles();
    });
  }

 private:
  const QuantisedLinearProblem<T>& p_;
  FixedRows x_;
};

}  // namespace

template <class T>
void linear_forward(const FfnLevel<T>& level, const LinearProblem<T>& p, ThreadPool& pool, Arena& arena) {
  if (p.rows > 0 && p.out > 0) Linear<T>(level, p, pool, arena).run();
}

template <class T>
void quantised_linear(const QgemmTable& table, const FfnLevel<T>& level, const QuantisedLinearProblem<T>& p,
                      ThreadPool& pool, Arena& arena) {
  const int64_t offsets[2] = {0, p.rows};
  if (p.rows > 0 && p.out > 0) QuantisedLinear<T>(table, level, p, offsets, pool, arena).run();
}

template void linear_forward<float>(const FfnLevel<float>&, const LinearProblem<float>&, ThreadPool&, Arena&);
template void linear_forward<Bf16>(const FfnLevel<Bf16>&, const LinearProblem<Bf16>&, ThreadPool&, Arena&);
template void linear_forward<double>(const FfnLevel<double>&, const LinearProblem<double>&, ThreadPool&,
                                     Arena&);
template void quantised_linear<float>(const QgemmTable&, const FfnLevel<float>&,
                                      const QuantisedLinearProblem<float>&, ThreadPool&, Arena&);
template void quantised_linear<Bf16>(const QgemmTable&, const FfnLevel<Bf16>&,
                                     const QuantisedLinearProblem<Bf16>&, ThreadPool&, Arena&);

}  // namespace gw::kernels
