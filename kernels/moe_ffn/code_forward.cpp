#include "kernels/moe_ffn/code_ffn.h"
#include "kernels/moe_ffn/tasks.h"

namespace gw::kernels {
namespace {

constexpr int64_t kRowChunk = 8;    // panels of rows whose sums are kept: a panel of codes is read once for 128 rows
constexpr int64_t kMostWide = 8;    // panels of codes a task takes
constexpr int64_t kSums = kCodeRows * kCodeLanes;

/// Steps per block of k: as many as divide the group; where one scale spans all, the most.
int64_t block_of(const CodeWeight& w, int64_t k) {
  int64_t steps = kMostBlock;
  while (w.group < k && w.group % (steps * kCodeStep) != 0) steps /= 2;
  return steps;
}

/// Rows in fixed point: a panel's data, scales and totals for all k.
class FixedRows {
 public:
  void take(Memory& memory, int64_t panels, int64_t k, const CodeWeight& w) {
    k_ = k, block_ = block_of(w, k), offset_ = 1 << (w.bits - 1), steps_ = ceil_div(k, kCodeStep), blocks_ = ceil_div(steps_, block_);
    data_ = static_cast<uint8_t*>(memory.take(panels * steps_ * kCodeRows * kRowBytes));
    scales_ = gw::kernels::take<float>(memory, panels * blocks_ * kCodeRows);
    totals_ = gw::kernels::take<int32_t>(memory, panels * blocks_ * kCodeRows);
  }
  CodeRows of(int64_t panel) const {
    const int64_t at = panel * blocks_ * kCodeRows;
    return {data_ + panel * steps_ * kCodeRows * kRowBytes, scales_ + at, totals_ + at};
  }

  template <class T>
  void fill(const CodeTable& table, const FfnRowsTable<T>& rows, int64_t panel, int64_t row, const T* x) const {
    const int64_t wide = block_ * kCodeStep;
    uint8_t* data = data_ + panel * steps_ * kCodeRows * kRowBytes;
    for (int64_t b = 0; b < blocks_; ++b) {
      int16_t q[kMostBlock * kCodeStep] = {};
      const int64_t first = b * wide, steps = std::min(block_, steps_ - b * block_);
      const int64_t at = (panel * blocks_ + b) * kCodeRows + row;
      int32_t total = 0;
      scales_[at] = rows.fix(x + first, std::min(wide, k_ - first), q, total);
      totals_[at] = offset_ * total;
      for (int64_t s = 0; s < steps; ++s) table.lay(q + s * kCodeStep, data + ((b * block_ + s) * kCodeRows + row) * kRowBytes);
    }
  }

 private:
  int64_t k_ = 0, block_ = 0, steps_ = 0, blocks_ = 0;
  int32_t offset_ = 0;
  uint8_t* data_ = nullptr;
  float* scales_ = nullptr;
  int32_t* totals_ = nullptr;
};

template <class T>
class CodeForward {
 public:
  CodeForward(const CodeTable& table, const FfnRowsTable<T>& rows, const CodeProblem<T>& p, Team& team, Memory& memory)
      : table_(table), rows_(rows), p_(p), team_(team), memory_(memory), panels_(p.offsets, p.experts, kCodeRows) {}

  void run(float* y) {
    const int64_t most = std::max(ceil_div(p_.in, kCodeStep), ceil_div(p_.hidden, kCodeStep)) * kCodeBytes;
    for (int w = 0; w < team_.workers(); ++w) {
      sums_.push_back(take<float>(memory_, 2 * kRowChunk * kMostWide * kSums));
      expanded_.push_back(p_.up.bits == 4 ? take<uint8_t>(memory_, most) : nullptr);
    }
    x_.take(memory_, panels_.total(), p_.in, p_.up);
    each_row([&](int64_t panel, int64_t r, int64_t row) { x_.fill(table_, rows_, panel, r, p_.x + p_.token[row] * p_.in); });
    h_ = take<T>(memory_, p_.offsets[p_.experts] * p_.hidden);
    inner();
    fixed_h_.take(memory_, panels_.total(), p_.hidden, p_.down);
    each_row([&](int64_t panel, int64_t r, int64_t row) { fixed_h_.fill(table_, rows_, panel, r, h_ + row * p_.hidden); });
    down(y);
  }

 private:
  template <class Body>
  void each_row(const Body& body) {
    team_.run(panels_.total(), [&](int64_t panel, int) {
      for (int64_t r = 0; r < panels_.rows(panel); ++r) body(panel, r, panels_.begin(panel) + r);
    });
  }

  /// At most what a worker's sums hold, and leaving four tasks per worker.
  int64_t wide(int64_t panels, int64_t experts) const { return std::clamp<int64_t>(panels * experts / (4 * team_.workers()), 1, kMostWide); }

  /// Codes of a panel of an expert.
  static const uint8_t* codes_at(const CodeWeight& w, int64_t lanes, int64_t k, int64_t expert, int64_t panel) {
    return w.codes + (expert * ceil_div(lanes, kCodeLanes) + panel) * ceil_div(k, kCodeStep) * kCodeBytes * w.bits / 8;
  }

  /// sums[i][p] (i < count panels of rows from `first`, p < b.panels) = bias + rows · codes. `next`: the codes that are read afterwards.
  void multiply(const FixedRows& rows, const CodeWeight& w, const Block& b, int64_t lanes, int64_t k, int64_t first, int64_t count, float* sums, int worker,
                const uint8_t* next) {
    const int64_t steps = ceil_div(k, kCodeStep), groups = ceil_div(k, w.group);
    for (int64_t p = 0; p < b.panels; ++p) {
      const int64_t at = b.expert * ceil_div(lanes, kCodeLanes) + b.panel + p, lane0 = (b.panel + p) * kCodeLanes;
      CodePanel panel{codes_at(w, lanes, k, b.expert, b.panel + p), w.scales + at * groups * kCodeLanes, w.bits, steps, block_of(w, k),
                      ceil_div(w.group, kCodeStep), true, p + 1 < b.panels ? codes_at(w, lanes, k, b.expert, b.panel + p + 1) : next};
      if (w.bits == 4 && count > 1) {
        uint8_t* expanded = expanded_[static_cast<size_t>(worker)];
        table_.expand(panel.codes, steps, expanded);
        panel.codes = expanded, panel.bits = 8, panel.from_memory = false;
      }
      for (int64_t i = 0; i < count; ++i) {
        float* to = sums + (i * b.panels + p) * kSums;
        std::fill_n(to, kSums, 0.0f);
        for (int64_t r = 0; w.bias != nullptr && r < panels_.rows(first + i); ++r) {
          std::copy_n(w.bias + b.expert * lanes + lane0, std::min(kCodeLanes, lanes - lane0), to + r * kCodeLanes);
        }
        table_.tile(rows.of(first + i), panel, panels_.rows(first + i), to);
        panel.from_memory = false;  // later rows find the codes in the cache
      }
    }
  }

  /// body(first, count) over the expert's panels of rows, kRowChunk at a time.
  template <class Body>
  void chunks(int64_t expert, const Body& body) const {
    for (int64_t done = 0; done < panels_.panels_of(expert); done += kRowChunk) {
      body(panels_.first_of(expert) + done, std::min(kRowChunk, panels_.panels_of(expert) - done));
    }
  }

  /// body(row, column, width, sums) for every row and panel of codes of a chunk.
  template <class Body>
  void stretches(const Block& b, int64_t lanes, int64_t first, int64_t count, const Body& body) const {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t r = 0; r < panels_.rows(first + i); ++r) {
        for (int64_t p = 0; p < b.panels; ++p) {
          const int64_t column = (b.panel + p) * kCodeLanes;
          body(panels_.begin(first + i) + r, column, std::min(kCodeLanes, lanes - column), (i * b.panels + p) * kSums + r * kCodeLanes);
        }
      }
    }
  }

  void inner() {
    const int64_t panels = ceil_div(p_.hidden, kCodeLanes);
    const auto blocks = blocks_of(panels_, p_.experts, panels, wide(panels, p_.experts));
    team_.run(static_cast<int64_t>(blocks.size()), [&](int64_t task, int worker) {
      const auto& b = blocks[static_cast<size_t>(task)];
      const auto& later = likely_next(blocks, task, team_);
      const auto* next = codes_at(p_.up, p_.hidden, p_.in, later.expert, later.panel);
      const auto* after_up = p_.gate.given() ? codes_at(p_.gate, p_.hidden, p_.in, b.expert, b.panel) : next;
      float *up = sums_[static_cast<size_t>(worker)], *gate = up + kRowChunk * kMostWide * kSums;
      chunks(b.expert, [&](int64_t first, int64_t count) {
        multiply(x_, p_.up, b, p_.hidden, p_.in, first, count, up, worker, after_up);
        if (p_.gate.given()) multiply(x_, p_.gate, b, p_.hidden, p_.in, first, count, gate, worker, next);
        stretches(b, p_.hidden, first, count, [&](int64_t row, int64_t column, int64_t n, int64_t at) {
          rows_.activate(p_.activation, p_.gate.given() ? gate + at : nullptr, up + at, n, h_ + row * p_.hidden + column, nullptr, nullptr);
        });
      });
      if (table_.rest != nullptr) table_.rest();
    });
  }

  void down(float* y) {
    const int64_t panels = ceil_div(p_.out, kCodeLanes), each = wide(panels, 1);
    team_.run(ceil_div(panels, each), [&](int64_t task, int worker) {
      const int64_t panel = task * each, count = std::min(each, panels - panel), column = panel * kCodeLanes;
      for (int64_t t = 0; t < p_.tokens; ++t) std::fill_n(y + t * p_.out + column, std::min(count * kCodeLanes, p_.out - column), 0.0f);
      each_expert(panels_, panels, each, task, team_, [&](const Block& b, const Block& later) {
        down_block(b, y, worker, codes_at(p_.down, p_.out, p_.hidden, later.expert, later.panel));
      });
      if (table_.rest != nullptr) table_.rest();
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

  const CodeTable& table_;
  const FfnRowsTable<T>& rows_;
  const CodeProblem<T>& p_;
  Team& team_;
  Memory& memory_;
  RowPanels panels_;
  FixedRows x_, fixed_h_;
  T* h_ = nullptr;
  std::vector<float*> sums_;
  std::vector<uint8_t*> expanded_;
};

}  // namespace

template <class T>
void code_forward(const CodeTable& table, const FfnRowsTable<T>& rows, const CodeProblem<T>& p, float* y, Team& team, Memory& memory) {
  CodeForward<T>(table, rows, p, team, memory).run(y);
}

template void code_forward<float>(const CodeTable&, const FfnRowsTable<float>&, const CodeProblem<float>&, float*, Team&, Memory&);
template void code_forward<Bf16>(const CodeTable&, const FfnRowsTable<Bf16>&, const CodeProblem<Bf16>&, float*, Team&, Memory&);

}  // namespace gw::kernels
