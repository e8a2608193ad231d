// Keys and values in blocks: the bits of those in one piece, sharing, reuse, and no room.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/language/blocks/key_value_cache.h"
#include "gatewright/language/generate.h"
#include "gatewright/language/language_model.h"
#include "gatewright/ops/random.h"

namespace gw::test::key_value_blocks_cases {

const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

at::Tensor rows(uint64_t seed, int64_t n, int64_t width) {
  return ops::normal(Rng(seed), {n, 3, width}, 0, 1);
}

TEST(KeyValueBlocks, HoldWhatOnePieceHolds) {
  for (const int64_t tokens : {1, 4, 7, 64}) {
    const auto pool = BlockPool::make(tokens);
    KeyValues piece, blocks(pool);
    uint64_t seed = 0;
    for (const int64_t n : {1, 9, 1, 3, 20, 1}) {
      const auto key = rows(++seed, n, 4), value = rows(++seed, n, 5);
      piece.append(key, value), blocks.append(key, value);
      EXPECT_TRUE(at::equal(blocks.key(), piece.key())) << tokens;
      EXPECT_TRUE(at::equal(blocks.value(), piece.value())) << tokens;
      EXPECT_EQ(blocks.length(), piece.length());
      EXPECT_EQ(pool->used(), (blocks.length() + tokens - 1) / tokens);
    }
    piece.truncate(10), blocks.truncate(10);
    const auto key = rows(90, 5, 4), value = rows(91, 5, 5);
    piece.append(key, value), blocks.append(key, value);
    EXPECT_TRUE(at::equal(blocks.key(), piece.key())) << tokens;
    EXPECT_EQ(blocks.bytes(), pool->used() * tokens * 3 * (4 + 5) * 4);
  }
}

TEST(KeyValueBlocks, GrowWithoutCopying) {
  const auto pool = BlockPool::make(4);
  KeyValues text(pool);
  text.append(rows(1, 4, 2), rows(2, 4, 2));
  const auto first = text.key();  // a single block is a view of it
  text.append(rows(3, 9, 2), rows(4, 9, 2));
  text.truncate(4);
  EXPECT_EQ(text.key().data_ptr(), first.data_ptr());
}

TEST(KeyValueBlocks, AreGivenBackAndTakenAgain) {
  const auto pool = BlockPool::make(4);
  {
    KeyValues text(pool);
    text.append(rows(1, 10, 2), rows(2, 10, 2));
    EXPECT_EQ(pool->used(), 3);
    text.truncate(5);
    EXPECT_EQ(pool->used(), 2);
    EXPECT_EQ(pool->idle(), 1);
  }
  EXPECT_EQ(pool->used(), 0);
  EXPECT_EQ(pool->idle(), 3);
  const auto bytes = pool->bytes();
  EXPECT_EQ(bytes, 3 * 4 * 3 * 2 * 2 * 4);
  KeyValues next(pool);
  next.append(rows(3, 12, 2), rows(4, 12, 2));
  EXPECT_EQ(pool->bytes(), bytes) << "memory is asked for once";
  EXPECT_TRUE(at::equal(next.key(), rows(3, 12, 2).transpose(0, 1)));
  KeyValues wider(pool);  // another layer's widths have blocks of their own
  wider.append(rows(5, 1, 6), rows(6, 1, 2));
  EXPECT_GT(pool->bytes(), bytes);
}

TEST(KeyValueBlocks, CopiesShareWhatTheyBeginWith) {
  const auto pool = BlockPool::make(4);
  KeyValues text(pool);
  text.append(rows(1, 10, 2), rows(2, 10, 2));
  auto other = text;
  EXPECT_EQ(pool->used(), 3) << "nothing was copied";
  const auto before = text.key().clone();
  other.append(rows(3, 3, 2), rows(4, 3, 2));
  EXPECT_EQ(pool->used(), 5) << "a copy of the block that both had begun, and one more";
  text.append(rows(5, 1, 2), rows(6, 1, 2));
  EXPECT_EQ(pool->used(), 5);
  EXPECT_TRUE(at::equal(text.key().narrow(1, 0, 10), before));
  EXPECT_TRUE(at::equal(other.key().narrow(1, 0, 10), before));
  EXPECT_TRUE(at::equal(text.key().narrow(1, 10, 1), rows(5, 1, 2).transpose(0, 1)));
  EXPECT_TRUE(at::equal(other.key().narrow(1, 10, 3), rows(3, 3, 2).transpose(0, 1)));
  other.truncate(6);  // into a block that both have
  other.append(rows(7, 1, 2), rows(8, 1, 2));
  EXPECT_TRUE(at::equal(text.key().narrow(1, 0, 10), before));
}

TEST(KeyValueBlocks, SayWhenThereIsNoRoom) {
  EXPECT_THROW(BlockPool::make(0), ValueError);
  EXPECT_THROW(BlockPool::make(4, -1), ValueError);
  const auto pool = BlockPool::make(4, 2);
  KeyValues text(pool), other(pool);
  text.append(rows(1, 4, 2), rows(2, 4, 2)), other.append(rows(1, 4, 2), rows(2, 4, 2));
  EXPECT_THROW(text.append(rows(3, 1, 2), rows(4, 1, 2)), ValueError);
  EXPECT_EQ(text.length(), 4);
  other.truncate(0);
  text.append(rows(3, 1, 2), rows(4, 1, 2));
  EXPECT_EQ(text.length(), 5);
}

/// Texts read in pieces, then token by token, one pass for all.
std::vector<at::Tensor> logits_of(Decoder& decoder, std::vector<DecoderState>& states,
                                  const std::vector<int64_t>& lengths) {
  std::vector<at::Tensor> all;
  std::vector<DecoderState*> pointers;
  for (auto& state : states) pointers.push_back(&state);
  const auto pass = [&](const std::vector<int64_t>& each, uint64_t seed) {
    int64_t sum = 0;
    for (const auto n : each) sum += n;
    const auto id = ops::uniform(Rng(seed), {sum}, 2, 40).to(at::kLong);
    all.push_back(decoder.forward({id, each, pointers}).logits);
  };
  pass(lengths, 1);
  for (uint64_t step = 0; step < 6; ++step) pass(std::vector<int64_t>(states.size(), 1), 10 + step);
  return all;
}

class PagedModels : public testing::TestWithParam<std::string> {};

// Plain attention, sinks and windows, latent attention, experts of attention: alone and three at a time.
TEST_P(PagedModels, AnswerWithTheBitsOfOnePiece) {
  const at::NoGradGuard no_grad;
  const auto model = load_language_model(kGolden + GetParam());
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{9}, {5, 13, 8}}) {
    for (const int64_t tokens : {1, 4, 32}) {
      std::vector<DecoderState> piece(lengths.size()), blocks(lengths.size());
      const auto pool = BlockPool::make(tokens);
      for (auto& state : blocks) state.pool = pool;
      const auto want = logits_of(*model.decoder, piece, lengths),
                 got = logits_of(*model.decoder, blocks, lengths);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_TRUE(at::equal(got[i], want[i]))
            << lengths.size() << " texts, blocks of " << tokens << ", pass " << i;
      int64_t used = 0;
      for (const auto n : lengths) used += (n + 6 + tokens - 1) / tokens;
      EXPECT_EQ(pool->used(), used * model.decoder->options().depth);
      blocks.clear();
      EXPECT_EQ(pool->used(), 0);
    }
  }
}

std::string shown_name(const testing::TestParamInfo<std::string>& one) { return one.param; }
INSTANTIATE_TEST_SUITE_P(Each, PagedModels, testing::Values("mixtral", "gpt_oss", "deepseek_v3", "jetmoe"),
                         shown_name);

// A text that two answers go on from is read once.
TEST(KeyValueBlocks, TwoAnswersShareTheirQuestion) {
  const at::NoGradGuard no_grad;
  const auto model = load_language_model(kGolden + "olmoe");
  const auto pool = BlockPool::make(4);
  DecoderState question;
  question.pool = pool;
  const auto id = ops::uniform(Rng(3), {11}, 2, 40).to(at::kLong);
  model.decoder->forward({id, {11}, {&question}});
  const auto shared = pool->used();
  auto first = question, second = question;
  EXPECT_EQ(pool->used(), shared);
  const auto a = at::tensor({3, 4}, at::kLong), b = at::tensor({5}, at::kLong);
  const auto together = model.decoder->forward({at::cat({a, b}), {2, 1}, {&first, &second}}).logits;
  DecoderState alone;
  model.decoder->forward({id, {11}, {&alone}});
  EXPECT_TRUE(at::equal(model.decoder->forward({b, {1}, {&alone}}).logits, together.narrow(0, 2, 1)));
  EXPECT_LT(pool->used(), 2 * shared + 2 * model.decoder->options().depth);
}

}  // namespace gw::test::key_value_blocks_cases
