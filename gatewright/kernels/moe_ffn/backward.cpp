#include "gatewright/kernels/moe_ffn/weight_gradients.h"

namespace gw::kernels {
namespace {

// Gradients of this many bytes leave the caches before anybody reads them.
constexpr int64_t kBeyondCaches = 32 << 20;
// Packed columns of a weight gradient that a task keeps in the second-level cache while rows pass by.
constexpr int64_t kColumnBytes = 512 << 10;

template <class T>
class Backward {
 public:
  using Sum = typename SumOf<T>::type;

  Backward(const FfnLevel<T>& level, const FfnProblem<T>& p, SavedActivations<const T> saved, const T* dy,
           const FfnGradients<T>& to, ThreadPool& pool, Arena& arena)
      : gemm_(*level.gemm),
        rows_(*level.rows),
        units_(level.units),
        p_(p),
        saved_(saved),
        dy_(dy),
        to_(to),
        pool_(pool),
        arena_(arena),
        panels_(p.offsets, p.experts, gemm_.rows),
        glu_(p.gate.data != nullptr),
        hidden_panels_(ceil_div(p.hidden, gemm_.cols)) {}

  void run() {
    int64_t most = 0;
    for (int64_t e = 0; e < p_.experts; ++e) most = std::max(most, p_.offsets[e + 1] - p_.offsets[e]);
    deepest_ = ceil_div(most, gemm_.group);
    choose_widths(most);
    const int64_t held = kColumnBytes / (gemm_.cols * gemm_.group * static_cast<int64_t>(sizeof(T)));
    column_units_ = std::max({held, deepest_, inner_wide_ * block_units(gemm_, p_.out),
                              input_wide_ * block_units(gemm_, p_.hidden)});
    scratch_ = take_scratch<T>(
        arena_, pool_.workers(), gemm_, std::min(kRowPanels, ceil_div(most, gemm_.rows)),
        std::max(inner_wide_, input_wide_),
        (column_units_ * gemm_.cols + deepest_ * WeightGradients<T>::rows_at_once(gemm_)) * gemm_.group);
    past_ = p_.experts * p_.hidden * (p_.in + p_.out) * static_cast<int64_t>(sizeof(T)) > kBeyondCaches;
    gather();
    inner();
    if (to_.weight != nullptr) add_dots();
    if (to_.unit != nullptr) add_unit_gradients();
    if (to_.x != nullptr) input_gradient();
    weight_gradients();
    bias_gradients();
  }

 private:
  int64_t rows() const { return p_.offsets[p_.experts]; }

  // Panels of columns that a task takes. Where nearly all experts have few rows, weights are read as they lie
  // and wait in no cache: then their rows should be long. `most`, the rows of the fullest expert, must stay
  // small for that, because a task holds tiles of all its columns for all of an expert's rows.
  void choose_widths(int64_t most) {
    const int64_t in_panels = ceil_div(p_.in, gemm_.cols);
    const auto busy = panels_.busy();
    const auto few = std::count_if(busy.begin(), busy.end(), [&](int64_t e) {
      return p_.offsets[e + 1] - p_.offsets[e] <= gemm_.small_m.rows;
    });
    if (4 * few > 3 * static_cast<int64_t>(busy.size()) && most <= 2 * gemm_.small_m.rows) {
      const int64_t fair = hidden_panels_ * static_cast<int64_t>(busy.size()) / (4 * pool_.workers());
      inner_wide_ = std::clamp<int64_t>(fair, 1, std::min(hidden_panels_, kMostPanels));
      input_wide_ = std::min(ceil_div(in_panels, pool_.workers()), kMostPanels);
    } else {
      inner_wide_ = panels_per_task(gemm_, p_.out, 1, hidden_panels_, p_.experts, pool_.workers());
      input_wide_ = panels_per_task(gemm_, p_.hidden, 1, in_panels, 1, pool_.workers());
    }
  }

  void gather() {
    dy_panels_.stride = ceil_div(p_.out, gemm_.group) * gemm_.rows * gemm_.group;
    dy_panels_.data = take<T>(arena_, panels_.total() * dy_panels_.stride);
    pool_.run(panels_.total(), [&](int64_t i, int) {
      const Columns<T> some{dy_, p_.out, panels_.rows(i), p_.out, true, p_.token + panels_.begin(i), nullptr};
      pack_panel(gemm_, some, 0, gemm_.rows, 0, p_.out, dy_panels_.data + i * dy_panels_.stride);
    });
  }

  void inner() {
    const int64_t all = rows() * p_.hidden,
                  stride = ceil_div(p_.hidden, gemm_.group) * gemm_.rows * gemm_.group;
    weighted_ = take<T>(arena_, all);
    d_up_ = take<T>(arena_, all);
    d_gate_ = glu_ ? take<T>(arena_, all) : nullptr;
    up_panels_ = {take<T>(arena_, panels_.total() * stride), stride};
    if (glu_) gate_panels_ = {take<T>(arena_, panels_.total() * stride), stride};
    dots_ = take<Sum>(arena_, rows() * hidden_panels_);
    if (to_.unit != nullptr) unit_dots_ = take<Sum>(arena_, rows() * hidden_panels_ * p_.unit.count);
    const auto blocks = blocks_of(panels_, p_.experts, hidden_panels_, inner_wide_);
    pool_.run(static_cast<int64_t>(blocks.size()),
              [&](int64_t task, int worker) { inner_block(blocks[static_cast<size_t>(task)], worker); });
  }

  void inner_block(const Block& b, int worker) {
    const auto& s = scratch_[static_cast<size_t>(worker)];
    const Stripe<T> down{expert_columns(p_.down, b.expert, p_.out, p_.hidden, true, 0), b.panel, b.panels};
    const auto unit = p_.unit.of(b.expert, p_.activation, units_);
    for (int64_t done = 0; done < panels_.panels_of(b.expert); done += kRowPanels) {
      const int64_t first = panels_.first_of(b.expert) + done,
                    count = std::min(kRowPanels, panels_.panels_of(b.expert) - done);
      const Tiles<T> tiles{s.tiles, gemm_.cols, true};
      multiply<T>(gemm_,
                  RowBlock{dy_panels_, first, count, [&](int64_t i) { return panels_.rows(first + i); }},
                  {down}, {tiles}, s.columns);
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t p = 0; p < b.panels; ++p)
          tile_back(unit, first + i, b.panel + p, s.tiles + (i * b.panels + p) * gemm_.rows * gemm_.cols);
      }
    }
  }

  void tile_back(const RowUnit<Sum>& unit, int64_t panel, int64_t column_panel, const Sum* tile) {
    const int64_t column = column_panel * gemm_.cols, n = std::min(gemm_.cols, p_.hidden - column),
                  count = panels_.rows(panel);
    const T *ups[64], *gates[64];
    for (int64_t r = 0; r < count; ++r) {
      const int64_t row = panels_.begin(panel) + r, at = row * p_.hidden + column;
      const int64_t part = row * hidden_panels_ + column_panel;
      dots_[part] = rows_.activate_backward(unit, p_.bounds, glu_ ? saved_.gate + at : nullptr,
                                            saved_.up + at, tile + r * gemm_.cols, p_.weight[row], n,
                                            weighted_ + at, glu_ ? d_gate_ + at : nullptr, d_up_ + at,
                                            to_.unit == nullptr ? nullptr : unit_dots_ + part * unit.count);
      ups[r] = d_up_ + at;
      if (glu_) gates[r] = d_gate_ + at;
    }
    gemm_.pack_k(ups, count, gemm_.rows, n,
                 up_panels_.data + panel * up_panels_.stride + column * gemm_.rows);
    if (glu_)
      gemm_.pack_k(gates, count, gemm_.rows, n,
                   gate_panels_.data + panel * gate_panels_.stride + column * gemm_.rows);
  }

  // As add_dots, over an expert's rows.
  void add_unit_gradients() {
    const int64_t count = p_.unit.count;
    for (int64_t e = 0; e < p_.experts; ++e) {
      Sum* sums = to_.unit + e * count;
      std::fill_n(sums, count, Sum(0));
      for (int64_t i = p_.offsets[e] * hidden_panels_; i < p_.offsets[e + 1] * hidden_panels_; ++i) {
        for (int64_t j = 0; j < count; ++j) sums[j] += unit_dots_[i * count + j];
      }
    }
  }

  // Summed panel by panel in order: the same bits however the panels were spread over tasks. d(h·downᵀ +
  // b)/dw also has dy·b.
  void add_dots() {
    pool_.run(p_.experts, [&](int64_t e, int) {
      for (int64_t r = p_.offsets[e]; r < p_.offsets[e + 1]; ++r) {
        Sum sum = 0;
        for (int64_t p = 0; p < hidden_panels_; ++p) sum += dots_[r * hidden_panels_ + p];
        if (p_.down.bias != nullptr)
          sum += rows_.dot(dy_ + p_.token[r] * p_.out, p_.down.bias + e * p_.out, p_.out);
        to_.weight[r] = sum;
      }
    });
  }

  void input_gradient() {
    const int64_t in_panels = ceil_div(p_.in, gemm_.cols), wide = input_wide_;
    pool_.run(ceil_div(in_panels, wide), [&](int64_t task, int worker) {
      const int64_t panel = task * wide, panels = std::min(wide, in_panels - panel);
      const int64_t column = panel * gemm_.cols, columns = std::min(panels * gemm_.cols, p_.in - column);
      for (int64_t t = 0; t < p_.tokens; ++t) std::fill_n(to_.x + t * p_.in + column, columns, Sum(0));
      for (int64_t e = 0; e < p_.experts; ++e) input_block({e, panel, panels}, worker);
    });
  }

  void input_block(const Block& b, int worker) {
    const auto& s = scratch_[static_cast<size_t>(worker)];
    const auto stripe = [&](const FfnWeight<T>& w, int64_t expert) {
      return Stripe<T>{expert_columns(w, expert, p_.hidden, p_.in, true, 0), b.panel, b.panels};
    };
    const auto up = stripe(p_.up, b.expert), gate = stripe(p_.gate, b.expert),
               next = stripe(p_.up, std::min(b.expert + 1, p_.experts - 1));
    for (int64_t done = 0; done < panels_.panels_of(b.expert); done += kRowPanels) {
      const int64_t first = panels_.first_of(b.expert) + done,
                    count = std::min(kRowPanels, panels_.panels_of(b.expert) - done);
      const auto real = [&](int64_t i) { return panels_.rows(first + i); };
      const Tiles<T> fresh{s.tiles, gemm_.cols, true}, more{s.tiles, gemm_.cols, false};
      multiply<T>(gemm_, RowBlock{up_panels_, first, count, real}, {up}, {fresh}, s.columns,
                  glu_ ? &gate : &next);
      if (glu_)
        multiply<T>(gemm_, RowBlock{gate_panels_, first, count, real}, {gate}, {more}, s.columns, &next);
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t r = 0; r < real(i); ++r) {
          for (int64_t p = 0; p < b.panels; ++p) {
            const int64_t column = (b.panel + p) * gemm_.cols;
            rows_.scatter(s.tiles + (i * b.panels + p) * gemm_.rows * gemm_.cols + r * gemm_.cols, Sum(1),
                          std::min(gemm_.cols, p_.in - column),
                          to_.x + p_.token[panels_.begin(first + i) + r] * p_.in + column);
          }
        }
      }
    }
  }

  void weight_gradients() {
    WeightGradients<T> products(gemm_, rows_, p_, scratch_, column_units_, past_);
    const typename WeightGradients<T>::Factor x{p_.x, p_.in, true};
    products.add({d_up_, p_.hidden, false}, x, to_.up, to_.up_layout);
    if (glu_) products.add({d_gate_, p_.hidden, false}, x, to_.gate, to_.gate_layout);
    products.add({dy_, p_.out, true}, {weighted_, p_.hidden, false}, to_.down, to_.down_layout);
    products.run(pool_);
  }

  void bias_gradients() {
    const auto sum_rows = [&](Sum* to, int64_t width, const T* from, bool of_token) {
      if (to == nullptr) return;
      pool_.run(p_.experts, [&](int64_t e, int) {
        std::fill_n(to + e * width, width, Sum(0));
        for (int64_t r = p_.offsets[e]; r < p_.offsets[e + 1]; ++r) {
          rows_.add(from + (of_token ? p_.token[r] : r) * width, of_token ? p_.weight[r] : Sum(1), width,
                    to + e * width);
        }
      });
    };
    sum_rows(to_.up_bias, p_.hidden, d_up_, false);
    if (glu_) sum_rows(to_.gate_bias, p_.hidden, d_gate_, false);
    sum_rows(to_.down_bias, p_.out, dy_, true);
  }

  const GemmTable<T>& gemm_;
  const FfnRowsTable<T>& rows_;
  const UnitTable<Sum>* units_;
  const FfnProblem<T>& p_;
  SavedActivations<const T> saved_;
  const T* dy_;
  const FfnGradients<T>& to_;
  ThreadPool& pool_;
  Arena& arena_;
  RowPanels panels_;
  bool glu_, past_ = false;
  int64_t hidden_panels_, deepest_ = 0, column_units_ = 0, inner_wide_ = 1, input_wide_ = 1;
  std::vector<Scratch<T>> scratch_;
  Panels<T> dy_panels_, up_panels_, gate_panels_;
  T *weighted_ = nullptr, *d_up_ = nullptr, *d_gate_ = nullptr;
  Sum *dots_ = nullptr, *unit_dots_ = nullptr;
};

}  // namespace

template <class T>
void ffn_backward(const FfnLevel<T>& level, const FfnProblem<T>& p, SavedActivations<const T> saved,
                  const T* dy, const FfnGradients<T>& to, ThreadPool& pool, Arena& arena) {
  Backward<T>(level, p, saved, dy, to, pool, arena).run();
}

template void ffn_backward<double>(const FfnLevel<double>&, const FfnProblem<double>&,
                                   SavedActivations<const double>, const double*, const FfnGradients<double>&,
                                   ThreadPool&, Arena&);
template void ffn_backward<float>(const FfnLevel<float>&, const FfnProblem<float>&,
                                  SavedActivations<const float>, const float*, const FfnGradients<float>&,
                                  ThreadPool&, Arena&);
template void ffn_backward<Bf16>(const FfnLevel<Bf16>&, const FfnProblem<Bf16>&, SavedActivations<const Bf16>,
                                 const Bf16*, const FfnGradients<Bf16>&, ThreadPool&, Arena&);

}  // namespace gw::kernels
