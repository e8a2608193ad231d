#pragma once
// Products of rows in fixed point with panels of codes: what the drivers of quantised weights share. Portable
// code.
#include "gatewright/kernels/moe_ffn/quantised_rows.h"

namespace gw::kernels {

/// The rows of a problem and the scratch of its workers.
template <class T>
class QuantisedProduct {
 public:
  /// `bits`: of all its weights. Memory: a megabyte a worker.
  QuantisedProduct(const QgemmTable& table, const FfnLevel<T>& level, const int64_t* offsets, int64_t experts,
                   int64_t bits, ThreadPool& pool, Arena& arena)
      : table_(table),
        rows_(*level.rows),
        pool_(pool),
        arena_(arena),
        panel_rows_(kPanelBytes / (bits == 4 ? kBytesForBits4 : kBytesForBits8)),
        panels_(offsets, experts, panel_rows_) {
    for (int w = 0; w < pool_.workers(); ++w) {
      sums_.push_back(take<float>(arena_, 2 * kRowChunk * kMostWide * kQgemmLanes));
      expanded_.push_back(bits == 4 ? take<uint8_t>(arena_, kChunk * kQgemmStepBytes) : nullptr);
    }
  }

  template <class Body>
  void each_row(const Body& body) {
    pool_.run(ceil_div(panels_.total(), kPanelsPerTask), [&](int64_t task, int) {
      for (int64_t panel = task * kPanelsPerTask;
           panel < std::min((task + 1) * kPanelsPerTask, panels_.total()); ++panel) {
        for (int64_t r = 0; r < panels_.rows(panel); ++r) body(panel, r, panels_.begin(panel) + r);
      }
    });
  }

  /// At most what a worker's sums hold, and leaving four tasks per worker.
  int64_t wide(int64_t panels, int64_t experts) const {
    return std::clamp<int64_t>(panels * experts / (4 * pool_.workers()), 1, kMostWide);
  }

  /// Codes of a panel of an expert.
  static const uint8_t* codes_at(const QuantisedWeight& w, int64_t lanes, int64_t k, int64_t expert,
                                 int64_t panel) {
    return w.codes + (expert * ceil_div(lanes, kQgemmLanes) + panel) * ceil_div(k, kQgemmStep) *
                         kQgemmStepBytes * w.bits / 8;
  }

  /// sums[i][p] (i < count panels of rows from `first`, p < b.panels) = bias + rows · codes. `next`: the
  /// codes that are read afterwards.
  void multiply(const FixedRows& rows, const QuantisedWeight& w, const Block& b, int64_t lanes, int64_t k,
                int64_t first, int64_t count, float* sums, int worker, const uint8_t* next) {
    const int64_t steps = ceil_div(k, kQgemmStep), groups = ceil_div(k, w.group),
                  stride = b.panels * sums_of_panel_;
    for (int64_t p = 0; p < b.panels; ++p, sums += sums_of_panel_) {
      const int64_t at = b.expert * ceil_div(lanes, kQgemmLanes) + b.panel + p;
      for (int64_t i = 0; i < count; ++i)
        start(w, b.expert, (b.panel + p) * kQgemmLanes, lanes, panels_.rows(first + i), sums + i * stride);
      const QuantisedPanel panel{codes_at(w, lanes, k, b.expert, b.panel + p),
                                 w.scales + at * groups * kQgemmLanes,
                                 w.bits,
                                 steps,
                                 block_of(w, k),
                                 ceil_div(w.group, kQgemmStep),
                                 true,
                                 p + 1 < b.panels ? codes_at(w, lanes, k, b.expert, b.panel + p + 1) : next,
                                 nullptr,
                                 0};
      if (count == 1) {
        table_.tile(rows.of(first, 0), panel, panels_.rows(first), sums);
      } else {
        const int64_t each = chunk_of(panel);
        for (int64_t step = 0; step < steps; step += each)
          chunk(rows, panel, step, each, first, count, sums, stride, worker);
      }
    }
  }

  /// bias in every row, or zero.
  void start(const QuantisedWeight& w, int64_t expert, int64_t lane0, int64_t lanes, int64_t rows,
             float* sums) const {
    std::fill_n(sums, rows * kQgemmLanes, 0.0f);
    for (int64_t r = 0; w.bias != nullptr && r < rows; ++r)
      std::copy_n(w.bias + expert * lanes + lane0, std::min(kQgemmLanes, lanes - lane0),
                  sums + r * kQgemmLanes);
  }

  /// `each` steps for all of several panels of rows, while the codes of the next chunk are asked for: then
  /// reading costs nothing beside multiplying.
  void chunk(const FixedRows& rows, const QuantisedPanel& all, int64_t step, int64_t each, int64_t first,
             int64_t count, float* sums, int64_t stride, int worker) {
    QuantisedPanel part = all;
    const int64_t bytes = kQgemmStepBytes * all.bits / 8;
    part.codes += step * bytes, part.scales += step / all.group * kQgemmLanes;
    part.steps = std::min(each, all.steps - step);
    part.from_memory = false;
    part.prefetch_bytes = ceil_div(ceil_div(bytes, count), kPrefetchBytes) * kPrefetchBytes;
    const uint8_t* then = step + part.steps < all.steps ? part.codes + part.steps * bytes : all.next;
    if (all.bits == 4) {
      uint8_t* expanded = expanded_[static_cast<size_t>(worker)];
      table_.expand(part.codes, part.steps, expanded);
      part.codes = expanded, part.bits = 8;
    }
    for (int64_t i = 0; i < count; ++i) {
      part.prefetch = then + i * part.prefetch_bytes * part.steps;
      table_.tile(rows.of(first + i, step), part, panels_.rows(first + i), sums + i * stride);
    }
  }

  /// body(first, count) over the expert's panels of rows, kRowChunk at a time.
  template <class Body>
  void chunks(int64_t expert, const Body& body) const {
    for (int64_t done = 0; done < panels_.panels_of(expert); done += chunk_panels_) {
      body(panels_.first_of(expert) + done, std::min(chunk_panels_, panels_.panels_of(expert) - done));
    }
  }

  /// body(row, column, width, sums) for every row and panel of codes of a chunk.
  template <class Body>
  void stretches(const Block& b, int64_t lanes, int64_t first, int64_t count, const Body& body) const {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t r = 0; r < panels_.rows(first + i); ++r) {
        for (int64_t p = 0; p < b.panels; ++p) {
          const int64_t column = (b.panel + p) * kQgemmLanes;
          body(panels_.begin(first + i) + r, column, std::min(kQgemmLanes, lanes - column),
               (i * b.panels + p) * sums_of_panel_ + r * kQgemmLanes);
        }
      }
    }
  }

  const QgemmTable& table_;
  const FfnRowsTable<T>& rows_;
  ThreadPool& pool_;
  Arena& arena_;
  int64_t panel_rows_, chunk_panels_ = kRowChunk / panel_rows_, sums_of_panel_ = panel_rows_ * kQgemmLanes;
  RowPanels panels_;
  std::vector<float*> sums_;
  std::vector<uint8_t*> expanded_;
};

}  // namespace gw::kernels
