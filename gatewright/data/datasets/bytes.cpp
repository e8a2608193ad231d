// Text as bytes: windows of one length cut from files, each file a domain of its own.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/locate.h"
#include "gatewright/data/text_domains.h"

namespace {

constexpr uint64_t kLimitBytes = uint64_t{1} << 30;
constexpr int64_t kVocabulary = 256;

/// Windows that follow each other without overlap; the last `test_share` of every file is for the test, or
/// with `scattered` windows drawn from all of it.
/// Fields: "token" [n, context] the bytes, "target" [n, context] the byte that follows each, "label" and
/// "domain" [n] the file.
/// Errors: IoError for a file that is not there; ValueError for one that holds no window of training and one
///         of test.
/// Cost:   16 bytes of memory for each byte of text.
class Bytes : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::vector<std::string> files = {"constitution.txt", "declaration.txt"};
    int64_t context = 64, most = 0;
    double test_share = 0.1;
    bool scattered = false;
    void fields(gw::OptionVisitor& v) override {
      v.texts(
          "files", files,
          "text files, each a domain: paths, names in $GATEWRIGHT_DATA, or those that come with the project");
      v.integer("context", context, "bytes of a window", 2, 1 << 16);
      v.integer("most", most, "windows of a file, from its beginning; 0: all", 0, INT64_MAX);
      v.real("test_share", test_share,
             "share of the windows at the end of every file that is held out for the test", 0.01, 0.9);
      v.flag("scattered", scattered,
             "windows of the test drawn from all of a file, where nothing tells them from those of training");
    }
  };
  static constexpr const char* kSummary =
      "windows of bytes from text files: what comes next, and which file is it";
  static constexpr const char* kSource = "";

  Bytes(Options options, const Context&) : options_(std::move(options)) {
    GW_CHECK(!options_.files.empty(), "datasets/bytes: expected at least one file, got none");
  }

  gw::TaskData load() override {
    gw::TaskData data;
    gw::TextDomains domains(options_.test_share, options_.scattered);
    for (size_t i = 0; i < options_.files.size(); ++i) {
      const auto path = gw::find_file("datasets/bytes", options_.files[i]);
      const auto windows = cut(gw::read_file(path, kLimitBytes), path, static_cast<int64_t>(i));
      GW_CHECK(domains.add(windows, path),
               "datasets/bytes: expected at least 2 windows of {} bytes and the byte behind them in \"{}\", "
               "got {}; give a longer file or a "
               "shorter context",
               options_.context, path, windows.size());
    }
    domains.finish(data);
    data.vocabulary = kVocabulary;
    return data;
  }

  std::string missing() override { return ""; }

 private:
  gw::TensorSet cut(const std::string& text, const std::string& path, int64_t domain) const {
    const int64_t t = options_.context, all = (static_cast<int64_t>(text.size()) - 1) / t,
                  n = options_.most > 0 ? std::min(options_.most, all) : all;
    GW_CHECK(n >= 1,
             "datasets/bytes: expected more than {} bytes in \"{}\", got {}; give a longer file or a shorter "
             "context",
             t, path, text.size());
    const auto whole = at::empty({n * t + 1}, at::kByte);
    std::memcpy(whole.data_ptr<uint8_t>(), text.data(), static_cast<size_t>(n * t + 1));
    const auto ids = whole.to(at::kLong);
    const auto file = at::full({n}, domain, at::kLong);
    return {{{"token", ids.narrow(0, 0, n * t).view({n, t}).clone()},
             {"target", ids.narrow(0, 1, n * t).view({n, t}).clone()},
             {"label", file},
             {"domain", file.clone()}}};
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Bytes);
