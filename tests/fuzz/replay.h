#pragma once
// Replays a corpus and deterministic mutations of it, so that every test run exercises what the fuzzers
// found.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gatewright/base/file.h"
#include "gatewright/base/rng.h"

namespace gw::test {

/// One mutant: a flipped bit, an interesting byte, a cut, a repeated piece or a piece of another entry, one
/// to four times over.
inline std::string mutate(const std::vector<std::string>& corpus, const Rng& rng) {
  uint64_t draw = 0;
  const auto below = [&](uint64_t n) { return n == 0 ? 0 : rng.below(draw++, n); };
  std::string bytes = corpus[below(corpus.size())];
  static constexpr char kText[] = "\x00\x01\x7f\x80\xff\"{}[]:,\\-019e";
  static constexpr std::string_view kBytes(kText, sizeof kText - 1);  // the first is a zero
  for (uint64_t step = 0, steps = 1 + below(4); step < steps; ++step) {
    const size_t at = below(bytes.size() + 1), length = below(16) + 1;
    switch (below(5)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = kBytes[below(kBytes.size())];
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, bytes.substr(below(bytes.size() + 1), length));
        break;
      default: {
        const std::string& other = corpus[below(corpus.size())];
        const std::string piece = other.substr(below(other.size() + 1), length);
        bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
      }
    }
  }
  return bytes;
}

struct ReplayCounts {
  int accepted = 0, refused = 0;
};

/// Calls `check` on every file of tests/fuzz/corpus/<name> and on `mutants` mutants.
inline ReplayCounts replay(const std::string& name, int mutants,
                           const std::function<bool(std::string_view)>& check) {
  std::vector<std::string> files, corpus;
  const std::string directory = std::string(GW_SOURCE_ROOT) + "tests/fuzz/corpus/" + name;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());  // a directory has no order: mutants must not depend on it
  for (const auto& file : files) corpus.push_back(gw::read_file(file, 1 << 20));
  ReplayCounts counts;
  const auto count = [&](std::string_view bytes) { ++(check(bytes) ? counts.accepted : counts.refused); };
  for (const auto& bytes : corpus) count(bytes);
  for (int i = 0; i < mutants; ++i) count(mutate(corpus, Rng(0).fork(name, static_cast<uint64_t>(i))));
  return counts;
}

}  // namespace gw::test
