#pragma once
// From rows back to tokens on a GPU: which rows stand for a token, and their weighted sum in the order of
// rows, which is that of experts. Sums are made by whoever owns the token: no two blocks add to one value.
#include "gatewright/kernels/cuda/call.h"
#include "gatewright/kernels/cuda/numbers.h"

namespace gw::kernels::cuda {

/// Rows of token t, rising: row[begin[t]] … row[begin[t + 1] - 1].
struct TokenRows {
  const int64_t *begin, *row;
};

struct ZeroBody {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Private = Nothing;

  int64_t* to;
  int64_t count;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    block.each([&](int thread, Private&, Shared&) {
      const int64_t i = block.index() * kThreads + thread;
      if (i < count) to[i] = 0;
    });
  }
};

/// Counts the rows of each token, or (row given) puts them behind its begin in any order: next[t] counts from
/// begin[t] then.
struct TokenRowsBody {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Private = Nothing;

  const int64_t *token, *rows;  ///< *rows: N
  int64_t *next, *row;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    block.each([&](int thread, Private&, Shared&) {
      const int64_t r = block.index() * kThreads + thread;
      if (r >= *rows) return;
      const int64_t place = count_up(next + token[r]);
      if (row != nullptr) row[place] = r;
    });
  }
};

/// One block: begin[0 … count] from the counts, which become the begins too.
struct BeginsBody {
  static constexpr int kThreads = 256;
  struct Shared {
    int64_t sum[kThreads];
  };
  using Private = Nothing;

  int64_t count;
  int64_t *counts, *begin;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t each = (count + kThreads - 1) / kThreads;
    block.each([&](int thread, Private&, Shared& shared) {
      int64_t sum = 0;
      for (int64_t i = thread * each; i < (thread + 1) * each && i < count; ++i) sum += counts[i];
      shared.sum[thread] = sum;
    });
    block.each([&](int thread, Private&, Shared& shared) {
      if (thread != 0) return;
      int64_t next = 0;
      for (int i = 0; i < kThreads; ++i) {
        const int64_t n = shared.sum[i];
        shared.sum[i] = next;
        next += n;
      }
      begin[count] = next;
    });
    block.each([&](int thread, Private&, Shared& shared) {
      int64_t next = shared.sum[thread];
      for (int64_t i = thread * each; i < (thread + 1) * each && i < count; ++i) {
        const int64_t n = counts[i];
        counts[i] = begin[i] = next;
        next += n;
      }
    });
  }
};

/// A thread per token sorts its few rows: the order in which they were placed is forgotten.
struct SortRowsBody {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Private = Nothing;

  int64_t tokens;
  const int64_t* begin;
  int64_t* row;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    block.each([&](int thread, Private&, Shared&) {
      const int64_t t = block.index() * kThreads + thread;
      if (t >= tokens) return;
      for (int64_t i = begin[t] + 1; i < begin[t + 1]; ++i) {
        const int64_t moving = row[i];
        int64_t j = i;
        for (; j > begin[t] && row[j - 1] > moving; --j) row[j] = row[j - 1];
        row[j] = moving;
      }
    });
  }
};

/// to[t] = Σ weight[r]·from[r] over the token's rows by fused multiply-add; without weights they are 1. A
/// block per token.
struct CombineBody {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Private = Nothing;

  TokenRows rows;
  const float *weight, *from;
  int64_t width;
  float* to;

  template <class Block>
  GW_DEVICE void operator()(Block& block) const {
    const int64_t t = block.index();
    block.each([&](int thread, Private&, Shared&) {
      for (int64_t c = thread; c < width; c += kThreads) {
        float sum = 0;
        for (int64_t i = rows.begin[t]; i < rows.begin[t + 1]; ++i) {
          const int64_t r = rows.row[i];
          sum = fused(weight == nullptr ? 1.f : weight[r], from[r * width + c], sum);
        }
        to[t * width + c] = sum;
      }
    });
  }
};

/// `rows`: at least N = *count. Five launches.
template <class Device>
TokenRows find_token_rows(Call<Device>& call, const int64_t* token, const int64_t* count, int64_t rows,
                          int64_t tokens) {
  auto* next = call.template take<int64_t>(tokens);
  auto* begin = call.template take<int64_t>(tokens + 1);
  auto* row = call.template take<int64_t>(rows);
  const auto blocks = [](int64_t n) { return ceil_div(n, 256); };
  call.launch("clearing the counts", blocks(tokens), ZeroBody{next, tokens});
  call.launch("counting the rows of tokens", blocks(rows), TokenRowsBody{token, count, next, nullptr});
  call.launch("the prefix sum over tokens", 1, BeginsBody{tokens, next, begin});
  call.launch("placing the rows of tokens", blocks(rows), TokenRowsBody{token, count, next, row});
  call.launch("ordering the rows of tokens", blocks(tokens), SortRowsBody{tokens, begin, row});
  return {begin, row};
}

}  // namespace gw::kernels::cuda
