#include "gatewright/kernels/moe_ffn/tasks.h"

namespace gw::kernels {
namespace {

template <class T>
class Forward {
 public:
  using Sum = typename SumOf<T>::type;

  Forward(const FfnLevel<T>& level, const FfnProblem<T>& p, SavedActivations<T> saved, ThreadPool& pool,
          Arena& arena)
      : gemm_(*level.gemm),
        rows_(*level.rows),
        units_(level.units),
        p_(p),
        saved_(saved),
        pool_(pool),
        arena_(arena),
        panels_(p.offsets, p.experts, gemm_.rows) {
    unit_rows_ = gemm_.rows * gemm_.group;
  }

  /// Gathers the rows into panels, then gate and up products and the activation. want_h: leave h in panels
  /// for down().
  void inner(bool want_h) {
    gather();
    const int64_t hidden_panels = ceil_div(p_.hidden, gemm_.cols);
    const int64_t stripes = !p_.gate.given() ? 1 : 2;
    const int64_t wide = panels_per_task(gemm_, p_.in, stripes, hidden_panels, p_.experts, pool_.workers());
    const auto blocks = blocks_of(panels_, p_.experts, hidden_panels, wide);
    if (want_h) {
      h_.stride = ceil_div(p_.hidden, gemm_.group) * unit_rows_;
      h_.data = take<T>(arena_, panels_.total() * h_.stride);
    }
    const int64_t units =
        std::max(stripes * wide * block_units(gemm_, p_.in), out_wide() * block_units(gemm_, p_.hidden));
    scratch_ = take_scratch<T>(arena_, pool_.workers(), gemm_, row_panels(), std::max(wide, out_wide()),
                               units * gemm_.cols * gemm_.group);
    pool_.run(static_cast<int64_t>(blocks.size()), [&](int64_t task, int worker) {
      inner_block(blocks[static_cast<size_t>(task)], likely_next(blocks, task, pool_), worker);
    });
  }

  void down(Sum* y) {
    const int64_t out_panels = ceil_div(p_.out, gemm_.cols), wide = out_wide();
    pool_.run(ceil_div(out_panels, wide), [&](int64_t task, int worker) {
      const int64_t panel = task * wide, panels = std::min(wide, out_panels - panel);
      const int64_t column = panel * gemm_.cols, columns = std::min(panels * gemm_.cols, p_.out - column);
      for (int64_t t = 0; t < p_.tokens; ++t) std::fill_n(y + t * p_.out + column, columns, Sum(0));
      each_expert(panels_, out_panels, wide, task, pool_,
                  [&](const Block& b, const Block& later) { down_block(b, later, y, worker); });
    });
  }

 private:
  int64_t out_wide() const {
    return panels_per_task(gemm_, p_.hidden, 1, ceil_div(p_.out, gemm_.cols), 1, pool_.workers());
  }

  int64_t row_panels() const {
    int64_t most = 0;
    for (int64_t e = 0; e < p_.experts; ++e) most = std::max(most, panels_.panels_of(e));
    return std::min(kRowPanels, most);
  }

  void gather() {
    x_.stride = ceil_div(p_.in, gemm_.group) * unit_rows_;
    x_.data = take<T>(arena_, panels_.total() * x_.stride);
    constexpr int64_t kPerTask = 4;
    pool_.run(ceil_div(panels_.total(), kPerTask), [&](int64_t task, int) {
      for (int64_t i = task * kPerTask; i < std::min((task + 1) * kPerTask, panels_.total()); ++i) {
        const Columns<T> rows{p_.x,   p_.in, panels_.rows(i), p_.in, true, p_.token + panels_.begin(i),
                              nullptr};
        pack_panel(gemm_, rows, 0, gemm_.rows, 0, p_.in, x_.data + i * x_.stride);
      }
    });
  }

  Columns<T> columns(const FfnWeight<T>& w, int64_t expert, int64_t lanes, int64_t k) const {
    return expert_columns(w, expert, lanes, k, false, packed_size(gemm_, 1, lanes, k));
  }

  void inner_block(const Block& b, const Block& later, int worker) {
    const auto& s = scratch_[static_cast<size_t>(worker)];
    const auto unit = p_.unit.of(b.expert, p_.activation, units_);
    for (int64_t done = 0; done < panels_.panels_of(b.expert); done += kRowPanels) {
      const int64_t first = panels_.first_of(b.expert) + done,
                    count = std::min(kRowPanels, panels_.panels_of(b.expert) - done);
      const RowBlock rows{x_, first, count, [&](int64_t i) { return panels_.rows(first + i); }};
      const auto start = [&](const FfnWeight<T>& w, Sum* tiles) {
        return start_tiles(gemm_, w.bias == nullptr ? nullptr : w.bias + b.expert * p_.hidden, p_.hidden,
                           b.panel, b.panels, count, tiles);
      };
      const auto stripe = [&](const FfnWeight<T>& w) {
        return Stripe<T>{columns(w, b.expert, p_.hidden, p_.in), b.panel, b.panels};
      };
      const Stripe<T> next{columns(p_.up, later.expert, p_.hidden, p_.in), later.panel, later.panels};
      if (p_.gate.given()) {
        multiply<T>(gemm_, rows, {stripe(p_.up), stripe(p_.gate)},
                    {start(p_.up, s.tiles), start(p_.gate, s.more_tiles)}, s.columns, &next);
      } else {
        multiply<T>(gemm_, rows, {stripe(p_.up)}, {start(p_.up, s.tiles)}, s.columns, &next);
      }
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t p = 0; p < b.panels; ++p)
          activate_tile(unit, first + i, b.panel + p, (i * b.panels + p) * gemm_.rows * gemm_.cols, s);
      }
    }
  }

  void activate_tile(const RowUnit<Sum>& unit, int64_t panel, int64_t column_panel, int64_t tile,
                     const Scratch<T>& s) {
    const int64_t column = column_panel * gemm_.cols, n = std::min(gemm_.cols, p_.hidden - column),
                  rows = panels_.rows(panel);
    const T* lanes[64];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = tile + r * gemm_.cols, keep = (panels_.begin(panel) + r) * p_.hidden + column;
      T* h = s.row + r * gemm_.cols;
      rows_.activate(unit, p_.bounds, !p_.gate.given() ? nullptr : s.more_tiles + at, s.tiles + at, n, h,
                     saved_.gate == nullptr ? nullptr : saved_.gate + keep,
                     saved_.up == nullptr ? nullptr : saved_.up + keep);
      lanes[r] = h;
    }
    if (h_.data != nullptr)
      gemm_.pack_k(lanes, rows, gemm_.rows, n, h_.data + panel * h_.stride + column * gemm_.rows);
  }

  void down_block(const Block& b, const Block& later, Sum* y, int worker) {
    const auto& s = scratch_[static_cast<size_t>(worker)];
    const Sum* bias = p_.down.bias == nullptr ? nullptr : p_.down.bias + b.expert * p_.out;
    const Stripe<T> weights{columns(p_.down, b.expert, p_.out, p_.hidden), b.panel, b.panels};
    const Stripe<T> next{columns(p_.down, later.expert, p_.out, p_.hidden), later.panel, later.panels};
    for (int64_t done = 0; done < panels_.panels_of(b.expert); done += kRowPanels) {
      const int64_t first = panels_.first_of(b.expert) + done,
                    count = std::min(kRowPanels, panels_.panels_of(b.expert) - done);
      const auto tiles = start_tiles(gemm_, bias, p_.out, b.panel, b.panels, count, s.tiles);
      multiply<T>(gemm_, RowBlock{h_, first, count, [&](int64_t i) { return panels_.rows(first + i); }},
                  {weights}, {tiles}, s.columns, &next);
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t r = 0; r < panels_.rows(first + i); ++r) {
          const int64_t row = panels_.begin(first + i) + r;
          for (int64_t p = 0; p < b.panels; ++p) {
            const int64_t column = (b.panel + p) * gemm_.cols;
            rows_.scatter(s.tiles + (i * b.panels + p) * gemm_.rows * gemm_.cols + r * gemm_.cols,
                          p_.weight[row], std::min(gemm_.cols, p_.out - column),
                          y + p_.token[row] * p_.out + column);
          }
        }
      }
    }
  }

  const GemmTable<T>& gemm_;
  const FfnRowsTable<T>& rows_;
  const UnitTable<Sum>* units_;
  const FfnProblem<T>& p_;
  SavedActivations<T> saved_;
  ThreadPool& pool_;
  Arena& arena_;
  RowPanels panels_;
  int64_t unit_rows_ = 0;
  Panels<T> x_, h_;
  std::vector<Scratch<T>> scratch_;
};

}  // namespace

template <class T>
void ffn_forward(const FfnLevel<T>& level, const FfnProblem<T>& p, typename SumOf<T>::type* y,
                 SavedActivations<T> saved, ThreadPool& pool, Arena& arena) {
  Forward<T> forward(level, p, saved, pool, arena);
  forward.inner(true);
  forward.down(y);
}

template <class T>
void ffn_recompute(const FfnLevel<T>& level, const FfnProblem<T>& p, SavedActivations<T> saved,
                   ThreadPool& pool, Arena& arena) {
  Forward<T>(level, p, saved, pool, arena).inner(false);
}

template <class T>
int64_t packed_size(const GemmTable<T>& gemm, int64_t experts, int64_t lanes, int64_t k) {
  return experts * ceil_div(lanes, gemm.cols) * gemm.cols * ceil_div(k, gemm.group) * gemm.group;
}

template <class T>
void pack_weights(const GemmTable<T>& gemm, const T* data, int64_t experts, int64_t lanes, int64_t k,
                  T* packed, ThreadPool& pool) {
  const int64_t panels = ceil_div(lanes, gemm.cols), stride = packed_size(gemm, 1, gemm.cols, k);
  pool.run(experts * panels, [&](int64_t task, int) {
    const Columns<T> columns{data + task / panels * lanes * k, k, lanes, k, true, nullptr, nullptr};
    pack_panel(gemm, columns, task % panels * gemm.cols, gemm.cols, 0, k, packed + task * stride);
  });
}

#define GW_INSTANTIATE(T)                                                                                    \
  template void ffn_forward<T>(const FfnLevel<T>&, const FfnProblem<T>&, SumOf<T>::type*,                    \
                               SavedActivations<T>, ThreadPool&, Arena&);                                    \
  template void ffn_recompute<T>(const FfnLevel<T>&, const FfnProblem<T>&, SavedActivations<T>, ThreadPool&, \
                                 Arena&);                                                                    \
  template int64_t packed_size<T>(const GemmTable<T>&, int64_t, int64_t, int64_t);                           \
  template void pack_weights<T>(const GemmTable<T>&, const T*, int64_t, int64_t, int64_t, T*, ThreadPool&);
GW_INSTANTIATE(double)
GW_INSTANTIATE(float)
GW_INSTANTIATE(Bf16)
#undef GW_INSTANTIATE

}  // namespace gw::kernels
