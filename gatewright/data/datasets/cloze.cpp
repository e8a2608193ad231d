// Questions about texts: which word of the context belongs into the gap. Each text is a domain.
#include "gatewright/data/cloze.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/locate.h"

namespace {

/// Questions of gatewright/data/cloze.h about texts of two kinds: the domains of `files`, of which training
/// sees as much as there is, and those of `outside`, of which it sees a few. The last questions of each text
/// are for the test, so that no paragraph is on both sides but the one at the cut.
/// Fields: "token" [n, question + 1 + context], "label" [n] the place of the word in the context, "domain"
///         [n]: first the files, then those outside.
/// Errors: IoError for a file that is not there; ValueError for one that gives too few questions.
class Cloze : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::vector<std::string> files = {"constitution.txt", "declaration.txt"}, outside;
    gw::ClozeForm form;
    int64_t most = 2000, test_most = 500, outside_train = 100, seed = 0;
    double test_share = 0.2;
    void fields(gw::OptionVisitor& v) override {
      v.texts(
          "files", files,
          "text files, each a domain: paths, names in $GATEWRIGHT_DATA, or those that come with the project");
      v.texts("outside", outside, "the same, of domains that training hardly sees");
      v.integer("question", form.question, "words of a question", 2, 4096);
      v.integer("context", form.context, "words of a context", 2, 1 << 16);
      v.integer("vocabulary", form.vocabulary, "ids of words", 16, 1 << 24);
      v.integer("letters", form.letters, "of a word that may be asked for", 1, 64);
      v.integer("common", form.common, "most frequent words of a text, which are not asked for", 0, 1 << 20);
      v.integer("most", most, "training questions of a domain", 1, 100000000);
      v.integer("test_most", test_most, "test questions of a domain", 1, 100000000);
      v.integer("outside_train", outside_train, "training questions of a domain outside", 0, 100000000);
      v.integer("seed", seed, "of the words that are asked for", 0, INT64_MAX);
      v.real("test_share", test_share, "share of a text's questions that is held out for the test", 0.01,
             0.9);
    }
  };
  static constexpr const char* kSummary =
      "a gap in a sentence and the text around it: questions made of text files";
  static constexpr const char* kSource = "";

  Cloze(Options options, const Context&) : o_(std::move(options)) {
    GW_CHECK(!o_.files.empty(), "datasets/cloze: expected at least one file, got none");
  }

  gw::TaskData load() override {
    gw::TaskData data;
    Rows train, test;
    for (const auto* list : {&o_.files, &o_.outside}) {
      for (const auto& name : *list) add(name, list == &o_.outside, data, train, test);
    }
    data.train = set_of(train), data.test = set_of(test);
    data.vocabulary = o_.form.vocabulary;
    data.classes = o_.form.context;
    for (int64_t c = 0; c < data.classes; ++c) data.class_names.push_back("word " + std::to_string(c + 1));
    return data;
  }

  std::string missing() override { return ""; }

 private:
  static constexpr uint64_t kLimitBytes = uint64_t{1} << 30;
  struct Rows {
    std::vector<int64_t> token, label, domain;
  };

  void add(const std::string& name, bool outside, gw::TaskData& data, Rows& train, Rows& test) const {
    const auto path = gw::find_file("datasets/cloze", name);
    const auto domain = static_cast<int64_t>(data.domain_names.size());
    data.domain_names.push_back(std::filesystem::path(path).stem().string());
    data.origin += (domain > 0 ? ", " : "") + path;
    const auto all = gw::cloze_questions(gw::read_file(path, kLimitBytes), o_.form,
                                         gw::Rng(static_cast<uint64_t>(o_.seed)).fork("datasets/cloze"));
    const auto n = static_cast<int64_t>(all.size());
    const auto held = std::max<int64_t>(1, std::llround(o_.test_share * static_cast<double>(n)));
    GW_CHECK(n >= 2 && n > held,
             "datasets/cloze: expected at least 2 questions in \"{}\", got {}; give a longer text of "
             "paragraphs with several sentences",
             path, n);
    take(all, 0, std::min(n - held, outside ? o_.outside_train : o_.most), domain, train);
    take(all, n - held, std::min(held, o_.test_most), domain, test);
  }

  static void take(const std::vector<gw::ClozeQuestion>& all, int64_t first, int64_t count, int64_t domain,
                   Rows& into) {
    for (int64_t i = first; i < first + count; ++i) {
      const auto& one = all[static_cast<size_t>(i)];
      into.token.insert(into.token.end(), one.token.begin(), one.token.end());
      into.label.push_back(one.place), into.domain.push_back(domain);
    }
  }

  gw::TensorSet set_of(const Rows& rows) const {
    const auto width = o_.form.question + 1 + o_.form.context;
    return {{{"token", at::tensor(rows.token, at::kLong).view({-1, width})},
             {"label", at::tensor(rows.label, at::kLong)},
             {"domain", at::tensor(rows.domain, at::kLong)}}};
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Cloze);
