#pragma once
// The gradients of stacked weights: sums over an expert's rows of outer products. Portable code.
#include <type_traits>

#include "gatewright/kernels/moe_ffn/tasks.h"

namespace gw::kernels {

// Up to so many rows, a gradient is a sum of outer products written once (none: zeros): tiles cost more.
constexpr int64_t kFewRows = 12;

template <class T>
class WeightGradients {
 public:
  using Sum = typename SumOf<T>::type;

  /// Rows of one factor of a weight gradient: row r is data[token[r]·width] or data[r·width].
  struct Factor {
    const T* data = nullptr;
    int64_t width = 0;
    bool by_token = false;
  };
  /// Element (e, i, j) of a gradient is at data[e·expert + i·stride + j·step].
  struct Output {
    T* data = nullptr;
    int64_t expert = 0, stride = 0, step = 1;
  };
  /// to[e] [m, n] = Σ_rows left[row][m]·right[row][n] for one or two lefts of one width over the same right.
  struct Product {
    Factor left[2];
    Output to[2];
    Factor right;
    int64_t m() const { return left[0].width; }
    int64_t n() const { return right.width; }
  };

  /// `past`: write past the caches. `scratch` of each worker: `column_units` units of columns, then
  /// rows_at_once() rows.
  WeightGradients(const GemmTable<T>& gemm, const FfnRowsTable<T>& rows, const FfnProblem<T>& p,
                  const std::vector<Scratch<T>>& scratch, int64_t column_units, bool past)
      : gemm_(gemm), rows_(rows), p_(p), scratch_(scratch), column_units_(column_units), past_(past) {}

  /// Where lanes lie together the gradient is computed transposed: the factors change places.
  void add(const Factor& lanes, const Factor& k, T* to, const FfnLayout& layout) {
    if (to == nullptr) return;
    const auto at = layout.of(lanes.width, k.width);
    const Factor left = at.k_contiguous ? lanes : k, right = at.k_contiguous ? k : lanes;
    const Output output{to, at.expert, at.stride, at.step};
    if (!products_.empty() && products_.back().right.data == right.data)
      products_.back().left[1] = left, products_.back().to[1] = output;
    else
      products_.push_back({{left, {}}, {output, {}}, right});
  }

  void run(ThreadPool& pool) {
    struct Part {
      const Product* product;
      Block block;
    };
    std::vector<Part> parts;
    for (int64_t e = 0; e < p_.experts; ++e) {
      for (const auto& product : products_) {
        const int64_t panels = ceil_div(product.n(), gemm_.cols), wide = gradient_panels(e, panels);
        for (int64_t p = 0; p < panels; p += wide)
          parts.push_back({&product, {e, p, std::min(wide, panels - p)}});
      }
    }
    pool.run(static_cast<int64_t>(parts.size()), [&](int64_t task, int worker) {
      const auto& part = parts[static_cast<size_t>(task)];
      weight_block(*part.product, part.block, scratch_[static_cast<size_t>(worker)]);
    });
  }

  // Rows that are computed together: those of a pair of panels where sums are narrowed anyway.
  static int64_t rows_at_once(const GemmTable<T>& gemm) {
    return std::is_same_v<T, Sum> || gemm.pair == nullptr ? gemm.rows : 2 * gemm.rows;
  }

 private:
  // All rows of an expert at once, so that sums never leave the registers, and as many columns as then fit
  // the scratch.
  int64_t gradient_panels(int64_t expert, int64_t panels) const {
    const int64_t k = p_.offsets[expert + 1] - p_.offsets[expert];
    if (k <= kFewRows) return ceil_div(panels, 2);
    return std::clamp<int64_t>(column_units_ / ceil_div(k, gemm_.group), 1, std::min(panels, kMostPanels));
  }

  void weight_block(const Product& product, const Block& b, const Scratch<T>& s) {
    const int64_t begin = p_.offsets[b.expert], k = p_.offsets[b.expert + 1] - begin,
                  column = b.panel * gemm_.cols;
    const int64_t columns = std::min(b.panels * gemm_.cols, product.n() - column);
    for (int side = 0; side < 2; ++side) {
      const auto& to = product.to[side];
      if (to.data != nullptr && k <= kFewRows)
        outer_block(product, side, begin, k, column, columns,
                    to.data + b.expert * to.expert + column * to.step);
    }
    if (k > kFewRows) tile_block(product, b, begin, k, s);
    if (past_) rows_.store_fence();
  }

  const T* row_of(const Factor& f, int64_t row) const {
    return f.data + (f.by_token ? p_.token[row] : row) * f.width;
  }

  void outer_block(const Product& q, int side, int64_t begin, int64_t k, int64_t column, int64_t columns,
                   T* to) {
    const T* right[kFewRows];
    for (int64_t j = 0; j < k; ++j) right[j] = row_of(q.right, begin + j) + column;
    constexpr int64_t kAtOnce = 4;
    const auto& at = q.to[side];
    for (int64_t i = 0; i < q.m(); i += kAtOnce) {
      const int64_t count = std::min(kAtOnce, q.m() - i);
      T factors[kAtOnce * kFewRows];
      for (int64_t j = 0; j < k; ++j) {
        for (int64_t c = 0; c < count; ++c) factors[c * k + j] = row_of(q.left[side], begin + j)[i + c];
      }
      if (at.step == 1)
        rows_.combine(factors, count, right, k, columns, to + i * at.stride, at.stride, past_);
      else
        combine_apart(factors, count, right, k, columns, to + i * at.stride, at);
    }
  }

  void combine_apart(const T* factors, int64_t count, const T* const* right, int64_t k, int64_t columns,
                     T* to, const Output& at) {
    constexpr int64_t kWidth = 64;
    T values[4 * kWidth];
    for (int64_t first = 0; first < columns; first += kWidth) {
      const int64_t n = std::min(kWidth, columns - first);
      const T* from[kFewRows];
      for (int64_t j = 0; j < k; ++j) from[j] = right[j] + first;
      rows_.combine(factors, count, from, k, n, values, kWidth, false);
      for (int64_t r = 0; r < count; ++r)
        spread(values + r * kWidth, n, to + r * at.stride + first * at.step, at.step);
    }
  }

  static void spread(const T* values, int64_t n, T* to, int64_t step) {
    for (int64_t i = 0; i < n; ++i) to[i * step] = values[i];
  }

  void tile_block(const Product& q, const Block& b, int64_t begin, int64_t k, const Scratch<T>& s) {
    const int64_t units = ceil_div(k, gemm_.group), step = units * gemm_.cols * gemm_.group;
    T* const row_panels = s.columns + column_units_ * gemm_.cols * gemm_.group;
    const auto lanes = [&](const Factor& f) {
      return Columns<T>{f.data + (f.by_token ? 0 : begin * f.width), f.width, f.width, k, false,
                        f.by_token ? p_.token + begin : nullptr,     nullptr};
    };
    const auto right = lanes(q.right);
    for (int64_t p = 0; p < b.panels; ++p)
      pack_panel(gemm_, right, (b.panel + p) * gemm_.cols, gemm_.cols, 0, k, s.columns + p * step);
    for (int side = 0; side < 2; ++side) {
      if (q.to[side].data == nullptr) continue;
      const auto left = lanes(q.left[side]);
      for (int64_t i = 0; i < q.m(); i += rows_at_once(gemm_)) {
        for (int64_t j = i; j < std::min(i + rows_at_once(gemm_), q.m()); j += gemm_.rows) {
          pack_panel(gemm_, left, j, gemm_.rows, 0, k, row_panels + (j - i) * units * gemm_.group);
        }
        for (int64_t p = 0; p < b.panels; ++p)
          product_tile(q, side, b.expert, i, b.panel + p, row_panels, s.columns + p * step, units, s);
      }
    }
  }

  void product_tile(const Product& q, int side, int64_t expert, int64_t i, int64_t panel, const T* left,
                    const T* right, int64_t units, const Scratch<T>& s) {
    const auto& at = q.to[side];
    const int64_t count = std::min(rows_at_once(gemm_), q.m() - i), column = panel * gemm_.cols,
                  n = std::min(gemm_.cols, q.n() - column);
    T* to = at.data + expert * at.expert + i * at.stride + column * at.step;
    if constexpr (std::is_same_v<T, Sum>) {
      const bool aligned =
          reinterpret_cast<uintptr_t>(to) % 64 == 0 && at.stride * static_cast<int64_t>(sizeof(T)) % 64 == 0;
      if (n == gemm_.cols && at.step == 1)
        return gemm_.tile(left, right, units, count, {to, at.stride, true, past_ && aligned}, {});
    }
    const int64_t above = std::min(count, gemm_.rows);
    const Tiles<T> sums{s.tiles, gemm_.cols, true}, under{s.tiles + above * gemm_.cols, gemm_.cols, true};
    if (count == above)
      gemm_.tile(left, right, units, count, sums, {});
    else
      gemm_.pair(left, left + units * above * gemm_.group, right, units, count - above, sums, under, {});
    for (int64_t r = 0; r < count; ++r) {
      rows_.narrow(s.tiles + r * gemm_.cols, n, at.step == 1 ? to + r * at.stride : s.row,
                   past_ && at.step == 1);
      if (at.step != 1) spread(s.row, n, to + r * at.stride, at.step);
    }
  }

  const GemmTable<T>& gemm_;
  const FfnRowsTable<T>& rows_;
  const FfnProblem<T>& p_;
  const std::vector<Scratch<T>>& scratch_;
  int64_t column_units_;
  bool past_;
  std::vector<Product> products_;
};

}  // namespace gw::kernels
