// Pairs of texts that belong together: the halves of passages. Each file is a domain.
#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/cloze.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/locate.h"
#include "gatewright/data/text_domains.h"
#include "gatewright/language/model_tokenizer.h"

namespace gw::inline language {
namespace {

/// A passage is two texts of `context` tokens, one after the other, and a pair; no token is in two of them.
/// Of a file the first `most` passages are taken, the last `test_share` of those for the test. Tokens: words
/// in small letters by their hash (gatewright/data/cloze.h), or those of a model's tokenizer
///         with what it puts before and after a text ([CLS] and [SEP]), which count among the `context`.
/// Fields: "token" and "other" [n, context], "label" and "domain" [n] the file.
/// Errors: IoError for a file that is not there; ValueError for one without a passage of training and one of
///         test, for text that is not UTF-8 where a tokenizer reads it, and for a tokenizer that does not put
///         one token before and one after a text.
/// Cost:   16 bytes of memory for each token.
class TextPairs : public Dataset {
 public:
  struct Options : OptionSet {
    std::vector<std::string> files = {"constitution.txt", "declaration.txt"};
    std::string model;
    int64_t context = 32, vocabulary = 4096, most = 1000;
    double test_share = 0.2;
    void fields(OptionVisitor& v) override {
      v.texts(
          "files", files,
          "text files, each a domain: paths, names in $GATEWRIGHT_DATA, or those that come with the project");
      v.text("model", model,
             "whose tokenizer: folder, GGUF file, or name in $GATEWRIGHT_MODELS; empty: words by their hash");
      v.integer("context", context, "tokens of each text of a pair", 3, 1 << 16);
      v.integer("vocabulary", vocabulary, "ids of words, without a model", 16, 1 << 24);
      v.integer("most", most, "pairs of a domain, from its beginning", 2, 100000000);
      v.real("test_share", test_share, "share of a domain's pairs, at its end, that is held out for the test",
             0.01, 0.9);
    }
  };
  static constexpr const char* kSummary = "pairs of texts from the same passage of a file; files are domains";
  static constexpr const char* kSource = "";

  TextPairs(Options options, const Context&) : options_(std::move(options)) {
    GW_CHECK(!options_.files.empty(), "datasets/text_pairs: expected at least one file, got none");
  }

  TaskData load() override {
    TaskData data;
    data.vocabulary = options_.vocabulary;
    Tokens how;
    if (!options_.model.empty()) how = tokens_of(find_model(options_.model)), data.vocabulary = how.size;
    TextDomains domains(options_.test_share);
    for (size_t i = 0; i < options_.files.size(); ++i) {
      const auto path = find_file("datasets/text_pairs", options_.files[i]);
      const auto pairs = cut(stream_of(path, how), how, static_cast<int64_t>(i));
      GW_CHECK(
          domains.add(pairs, path),
          "datasets/text_pairs: expected at least 2 passages of {} tokens in \"{}\", got {}; give a longer "
          "file or a shorter context",
          2 * inside(how), shown(path), pairs.size());
    }
    domains.finish(data);
    return data;
  }

  std::string missing() override { return ""; }

 private:
  static constexpr uint64_t kLimitBytes = uint64_t{256} << 20;  // what a tokenizer takes
  struct Tokens {
    std::optional<Tokenizer> tokenizer;
    std::vector<int64_t> around;  ///< none, or what stands before and after a text
    int64_t size = 0;
  };

  static Tokens tokens_of(const std::string& path) {
    Tokens out{load_model_tokenizer(path).tokenizer, {}, 0};
    const auto empty = out.tokenizer->encode("", /*add_special=*/true);
    GW_CHECK(empty.size() == 2,
             "datasets/text_pairs: expected a tokenizer that puts one token before and one after a text, got "
             "{} around an empty one; take that of an encoder, or no model",
             empty.size());
    out.around = {empty[0], empty[1]}, out.size = out.tokenizer->size();
    return out;
  }

  int64_t inside(const Tokens& how) const {
    return options_.context - static_cast<int64_t>(how.around.size());
  }

  /// As many ids as the passages take, or what the file has.
  std::vector<int64_t> stream_of(const std::string& path, const Tokens& how) const {
    const auto text = read_file(path, kLimitBytes);
    std::vector<int64_t> ids;
    if (!how.tokenizer) {
      for (const auto& sentence : sentences_of(text))
        for (const auto& word : sentence) ids.push_back(word_id(word, options_.vocabulary));
      return ids;
    }
    const auto most = static_cast<size_t>(2 * inside(how) * options_.most);
    for (size_t at = 0; at < text.size() && ids.size() < most;) {  // by paragraphs: a file may be long
      const auto end = std::min(text.find("\n\n", at), text.size());
      try {
        const auto own = how.tokenizer->encode(std::string_view(text).substr(at, end - at),
                                               /*add_special=*/false, /*parse_special=*/false);
        ids.insert(ids.end(), own.begin(), own.end());
      } catch (const ValueError& error) {
        throw ValueError(fmt::format("datasets/text_pairs: \"{}\": {}", shown(path), error.what()));
      }
      at = end + 2;
    }
    return ids;
  }

  TensorSet cut(const std::vector<int64_t>& ids, const Tokens& how, int64_t domain) const {
    const int64_t length = inside(how),
                  n = std::min(options_.most, static_cast<int64_t>(ids.size()) / (2 * length));
    auto texts = at::tensor(at::ArrayRef<int64_t>(ids.data(), static_cast<size_t>(2 * length * n)), at::kLong)
                     .view({n, 2, length});
    if (!how.around.empty()) {
      const auto one = [&](int64_t id) { return at::full({n, 2, 1}, id, at::kLong); };
      texts = at::cat({one(how.around[0]), texts, one(how.around[1])}, 2);
    }
    const auto entry = at::full({n}, domain, at::kLong);
    return {{{"token", texts.select(1, 0).contiguous()},
             {"other", texts.select(1, 1).contiguous()},
             {"label", entry},
             {"domain", entry.clone()}}};
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::Dataset, gw::TextPairs);
