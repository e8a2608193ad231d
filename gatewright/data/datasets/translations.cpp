// Pairs of sentences in made languages, many of some and few of others: the data of translation between
// languages with few texts.
#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/rng.h"
#include "gatewright/data/dataset.h"

namespace {

constexpr int64_t kEnd = 2, kSpecial = 4;  // <s>, padding, </s>, <unk>: as NLLB's vocabulary begins
constexpr int64_t kDeterminers = 3;
constexpr int64_t kWidth = 8 + 2;  // determiner adjective noun, verb, determiner adjective noun, adverb

/// A sentence before it is in any language; −1: no such word.
struct Sentence {
  int64_t determiner[2], adjective[2], noun[2], verb, adverb;
};

/// How a language puts its words.
struct Grammar {
  int64_t verb = 0;  ///< in the middle, at the end, at the beginning
  bool adjective_last = false, adverb_first = false, determiner_last = false;
};

/// One direction for each entry of `pairs`: from a language that all share into one with words of its own (a
/// permutation of the shared vocabulary) and an order of its own, or back with `into_shared`. Sentences are
/// drawn from a grammar: subject, verb, object, each with or without an adjective, and an adverb or none.
/// A tenth of all sentences, by their checksum, is for the test in all directions, and no training pair of
/// any direction has one of them. A word of the written sentence is another one with probability `noise`.
/// Fields: "source_token" [n, 10] the language's token, the words, </s>; "token" [n, 10] </s>, the written
///         language's token, the words; "target" [n, 10] what follows each of those, kNoTarget for the
///         language and behind the end; "label" and "domain" [n] the direction. Tokens: <s>, padding, </s>,
///         <unk>, the shared language, the others, then `words` words. kNoToken is behind all ends.
/// Source: ours, for the claims of NLLB team 2022, arXiv 2207.04672.
class Translations : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::vector<double> pairs = {20000, 10000, 5000, 2500, 1200, 600, 350, 200};
    int64_t test = 200, words = 48, seed = 0;
    double noise = 0.1;
    bool into_shared = false;
    void fields(gw::OptionVisitor& v) override {
      v.reals("pairs", pairs, "training pairs of each direction", 1, 1e7);
      v.integer("test", test, "test pairs of each direction", 1, 1000000);
      v.integer("words", words, "words of a language", 16, 1 << 16);
      v.real("noise", noise, "share of the written words that are another word, in training and test", 0, 1);
      v.flag("into_shared", into_shared, "from the languages into the one that all share");
      v.integer("seed", seed, "of languages and sentences", 0, INT64_MAX);
    }
  };
  static constexpr const char* kSummary =
      "made: translations between languages with many and with few pairs of sentences";
  static constexpr const char* kSource = "";

  Translations(Options options, const Context&)
      : options_(std::move(options)),
        rng_(gw::Rng(static_cast<uint64_t>(options_.seed)).fork("datasets/translations")) {
    GW_CHECK(!options_.pairs.empty() && options_.pairs.size() <= 512,
             "datasets/translations: expected 1 to 512 directions, got {}", options_.pairs.size());
    for (const double count : options_.pairs)
      GW_CHECK(count == std::floor(count), "datasets/translations: expected whole numbers of pairs, got {}",
               count);
  }

  gw::TaskData load() override {
    gw::TaskData data;
    std::vector<gw::TensorSet> train, test;
    for (size_t d = 0; d < options_.pairs.size(); ++d) {
      train.push_back(direction(d, std::llround(options_.pairs[d]), false));
      test.push_back(direction(d, options_.test, true));
      data.domain_names.push_back("language" + std::to_string(d));
    }
    data.train = gw::joined(train), data.test = gw::joined(test);
    data.vocabulary = words_from() + options_.words;
    data.classes = static_cast<int64_t>(options_.pairs.size()), data.class_names = data.domain_names;
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

 private:
  int64_t words_from() const { return kSpecial + 1 + static_cast<int64_t>(options_.pairs.size()); }

  Sentence drawn(const gw::Rng& rng) const {
    const int64_t w = options_.words, adjectives = w / 4, verbs = w / 4, adverbs = w / 8;
    const int64_t nouns = w - kDeterminers - adjectives - verbs - adverbs;
    uint64_t draw = 0;
    const auto one_of = [&](int64_t first, int64_t count) {
      return first + static_cast<int64_t>(rng.below(draw++, static_cast<uint64_t>(count)));
    };
    const auto perhaps = [&](int64_t first, int64_t count) {
      const bool is = rng.uniform(draw++) < 0.5;
      const auto word = one_of(first, count);
      return is ? word : int64_t{-1};
    };
    Sentence s{};
    for (int i = 0; i < 2; ++i) {
      s.determiner[i] = one_of(0, kDeterminers), s.adjective[i] = perhaps(kDeterminers, adjectives);
      s.noun[i] = one_of(kDeterminers + adjectives + verbs + adverbs, nouns);
    }
    s.verb = one_of(kDeterminers + adjectives, verbs);
    s.adverb = perhaps(kDeterminers + adjectives + verbs, adverbs);
    return s;
  }

  static std::vector<int64_t> in_order(const Sentence& s, const Grammar& g) {
    std::vector<int64_t> out;
    const auto put = [&](int64_t word) {
      if (word >= 0) out.push_back(word);
    };
    const auto phrase = [&](int i) {
      if (!g.determiner_last) put(s.determiner[i]);
      if (!g.adjective_last) put(s.adjective[i]);
      put(s.noun[i]);
      if (g.adjective_last) put(s.adjective[i]);
      if (g.determiner_last) put(s.determiner[i]);
    };
    if (g.adverb_first) put(s.adverb);
    if (g.verb == 2) put(s.verb);
    phrase(0);
    if (g.verb == 0) put(s.verb);
    phrase(1);
    if (g.verb == 1) put(s.verb);
    if (!g.adverb_first) put(s.adverb);
    return out;
  }

  /// Another one for each of 23 languages than that of the shared one.
  static Grammar grammar_of(size_t language) {
    const size_t n = (language + 1) % 24;
    return {static_cast<int64_t>(n % 3), n / 3 % 2 == 1, n / 6 % 2 == 1, n / 12 % 2 == 1};
  }

  bool held_out(const std::vector<int64_t>& words) const {
    auto sum = rng_.fork("held");
    for (const auto word : words) sum = sum.fork("word", static_cast<uint64_t>(word));
    return sum.below(0, 10) == 0;
  }

  gw::TensorSet direction(size_t d, int64_t count, bool test) const {
    const auto words = rng_.fork("words", d).permutation(options_.words);
    const auto rng = rng_.fork(test ? "test" : "train", d);
    const auto source = at::full({count, kWidth}, gw::kNoToken, at::kLong), token = source.clone(),
               target = at::full_like(source, gw::kNoTarget);
    for (int64_t row = 0, draw = 0; row < count; ++draw) {
      const auto own = rng.fork("pair", static_cast<uint64_t>(draw));
      const auto sentence = drawn(own.fork("sentence"));
      const auto shared = in_order(sentence, {});
      if (held_out(shared) != test) continue;
      auto theirs = in_order(sentence, grammar_of(d));
      for (auto& word : theirs) word = words[static_cast<size_t>(word)];
      const auto language = static_cast<int64_t>(d) + kSpecial + 1;
      const bool back = options_.into_shared;
      write(back ? theirs : shared, back ? language : kSpecial, source.data_ptr<int64_t>() + row * kWidth);
      const auto written = noisy(back ? shared : theirs, own.fork("noise"));
      write_text(written, back ? kSpecial : language, token.data_ptr<int64_t>() + row * kWidth,
                 target.data_ptr<int64_t>() + row * kWidth);
      ++row;
    }
    const auto domain = at::full({count}, static_cast<int64_t>(d), at::kLong);
    return {{{"source_token", source},
             {"token", token},
             {"target", target},
             {"label", domain},
             {"domain", domain.clone()}}};
  }

  std::vector<int64_t> noisy(std::vector<int64_t> words, const gw::Rng& rng) const {
    for (size_t i = 0; i < words.size(); ++i)
      if (rng.uniform(2 * i) < options_.noise)
        words[i] = static_cast<int64_t>(rng.below(2 * i + 1, static_cast<uint64_t>(options_.words)));
    return words;
  }

  void write(const std::vector<int64_t>& words, int64_t language, int64_t* out) const {
    *out++ = language;
    for (const auto word : words) *out++ = words_from() + word;
    *out = kEnd;
  }

  void write_text(const std::vector<int64_t>& words, int64_t language, int64_t* token,
                  int64_t* target) const {
    *token++ = kEnd, ++target;
    *token++ = language;
    for (const auto word : words) *token++ = *target++ = words_from() + word;
    *target = kEnd;
  }

  Options options_;
  gw::Rng rng_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Translations);
