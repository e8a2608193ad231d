// Texts as the tokens of a language model: windows of one length, in which documents stay apart.
#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/locate.h"
#include "gatewright/data/text_domains.h"
#include "gatewright/language/model_tokenizer.h"

namespace gw::inline language {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kLimitBytes = uint64_t{256} << 20;  // what a tokenizer takes

/// Documents one after the other, each closed by the model's end of text where it has one, cut into windows
/// that follow each other without overlap; the last `test_share` of every domain is for the test. Nothing is
/// padded: a window may hold the end of one document and the beginning of the next.
/// Fields: "token" and "target" [n, context], "document" [n, context] which text each token is of, "label"
///         and "domain" [n] the entry of `files`.
/// Errors: IoError for what is not there; ValueError for text that is not UTF-8 (naming the file), for ids
///         that the model does not have, and for a domain without a window of training and one of test.
/// Cost:   24 bytes of memory for each token.
class Texts : public Dataset {
 public:
  struct Options : OptionSet {
    std::vector<std::string> files = {"constitution.txt", "declaration.txt"};
    std::string model, separator;
    int64_t context = 128, most_tokens = 0;
    double test_share = 0.1;
    void fields(OptionVisitor& v) override {
      v.texts("files", files,
              "text files and folders, each a domain: paths, names in $GATEWRIGHT_DATA, or those that come "
              "with the project; of a folder all files that end in .txt, .md, .rst or .text");
      v.text("model", model, "whose tokenizer: folder, GGUF file, or name in $GATEWRIGHT_MODELS");
      v.text("separator", separator, "what stands between the documents of a file; empty: a file is one");
      v.integer("context", context, "tokens of a window", 2, 1 << 20);
      v.integer("most_tokens", most_tokens, "of a domain, from its beginning; 0: all", 0, INT64_MAX);
      v.real("test_share", test_share,
             "share of the windows at the end of every domain that is held out for the test", 0.01, 0.9);
    }
  };
  static constexpr const char* kSummary =
      "windows of a language model's tokens from text files and folders, documents kept apart";
  static constexpr const char* kSource = "";

  Texts(Options options, const Context&) : options_(std::move(options)) {
    GW_CHECK(!options_.files.empty(), "datasets/texts: expected at least one file, got none");
  }

  TaskData load() override {
    GW_CHECK(
        !options_.model.empty(),
        "datasets/texts: expected a model whose tokenizer to take, got none; name the one that is trained");
    const auto path = find_model(options_.model);
    const auto tokens = load_model_tokenizer(path);
    TaskData data;
    data.vocabulary = open_language_model(path).options.vocabulary;
    TextDomains domains(options_.test_share);
    for (size_t i = 0; i < options_.files.size(); ++i) {
      const auto windows = cut(stream_of(options_.files[i], tokens, data), static_cast<int64_t>(i));
      GW_CHECK(
          domains.add(windows, options_.files[i]),
          "datasets/texts: expected at least 2 windows of {} tokens in \"{}\", got {}; give longer texts "
          "or a shorter context",
          options_.context, shown(options_.files[i]), windows.size());
    }
    domains.finish(data);
    return data;
  }

  std::string missing() override { return ""; }

 private:
  struct Stream {
    std::vector<int64_t> token, document;
  };

  /// Regular files below a folder, in the order of their names; links lead nowhere.
  static std::vector<std::string> files_of(const std::string& entry) {
    std::error_code error;
    if (!fs::is_directory(entry, error)) return {find_file("datasets/texts", entry)};
    std::vector<std::string> found;
    for (const auto& item : fs::recursive_directory_iterator(entry)) {
      const auto ending = item.path().extension();
      const bool text = ending == ".txt" || ending == ".md" || ending == ".rst" || ending == ".text";
      if (text && item.is_regular_file() && !item.is_symlink()) found.push_back(item.path().string());
    }
    GW_CHECK(
        !found.empty(),
        "datasets/texts: expected files that end in .txt, .md, .rst or .text in the folder \"{}\", got none",
        shown(entry));
    std::sort(found.begin(), found.end());
    return found;
  }

  std::vector<std::string> documents_of(const std::string& path) const {
    auto text = read_file(path, kLimitBytes);
    if (options_.separator.empty()) return {std::move(text)};
    std::vector<std::string> documents;
    for (size_t first = 0; first <= text.size();) {
      const auto last = std::min(text.find(options_.separator, first), text.size());
      if (last > first) documents.push_back(text.substr(first, last - first));
      first = last + options_.separator.size();
    }
    return documents;
  }

  Stream stream_of(const std::string& entry, const ModelTokenizer& tokens, const TaskData& data) const {
    Stream stream;
    int64_t number = 0;
    for (const auto& path : files_of(entry)) {
      for (const auto& document : documents_of(path)) {
        add(ids_of(document, path, tokens, data.vocabulary), number++, stream);
        const auto most = static_cast<size_t>(options_.most_tokens);
        if (most == 0 || stream.token.size() < most) continue;
        stream.token.resize(most), stream.document.resize(most);
        return stream;
      }
    }
    return stream;
  }

  static std::vector<int64_t> ids_of(const std::string& document, const std::string& path,
                                     const ModelTokenizer& tokens, int64_t vocabulary) {
    std::vector<int32_t> ids;
    try {
      ids = tokens.tokenizer.encode(document, true, /*parse_special=*/false);
    } catch (const ValueError& error) {
      throw ValueError(fmt::format("datasets/texts: \"{}\": {}", shown(path), error.what()));
    }
    if (!tokens.ends.empty() && (ids.empty() || ids.back() != tokens.ends.front()))
      ids.push_back(tokens.ends.front());
    for (const auto id : ids)
      GW_CHECK(id < vocabulary,
               "datasets/texts: expected tokens below {}, as the model has them, got {} from its tokenizer",
               vocabulary, id);
    return {ids.begin(), ids.end()};
  }

  static void add(const std::vector<int64_t>& ids, int64_t number, Stream& stream) {
    stream.token.insert(stream.token.end(), ids.begin(), ids.end());
    stream.document.insert(stream.document.end(), ids.size(), number);
  }

  TensorSet cut(const Stream& stream, int64_t domain) const {
    const int64_t t = options_.context, n = static_cast<int64_t>(stream.token.size()) / t;
    const auto whole = [&](const std::vector<int64_t>& values) {
      return at::tensor(at::ArrayRef<int64_t>(values.data(), static_cast<size_t>(n * t)), at::kLong);
    };
    const auto token = whole(stream.token), document = whole(stream.document);
    auto target = at::full({n * t}, kNoTarget, at::kLong);
    if (n * t > 1) {
      const auto goes_on = document.slice(0, 1).eq(document.slice(0, 0, -1));
      target.slice(0, 0, -1).copy_(at::where(goes_on, token.slice(0, 1), target.slice(0, 0, -1)));
    }
    const auto entry = at::full({n}, domain, at::kLong);
    return {{{"token", token.view({n, t})},
             {"target", target.view({n, t})},
             {"document", document.view({n, t})},
             {"label", entry},
             {"domain", entry.clone()}}};
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline language

GW_REGISTER(gw::Dataset, gw::Texts);
