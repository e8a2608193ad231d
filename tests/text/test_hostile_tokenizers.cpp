// Files from strangers: whatever their bytes are, reading ends in a tokenizer or in an error that says where.
#include <gtest/gtest.h>

#include "gatewright/base/base64.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/tokenizer.h"
#include "tests/fuzz/replay.h"
#include "tests/support/refusal.h"
#include "tests/text/golden_files.h"

namespace gw {
namespace {

using test::expect_part;
using test::golden_path;
using test::refusal;

/// Whether the bytes are a tokenizer; then it also has to survive use.
bool survives(std::string_view bytes, const std::vector<std::string>& texts) {
  try {
    const Tokenizer tokenizer = Tokenizer::from_bytes(bytes, "hostile");
    for (const auto& text : texts) {
      try {
        const auto ids = tokenizer.encode(text);
        EXPECT_EQ(invalid_utf8(tokenizer.decode(ids)), std::string::npos);
      } catch (const ValueError&) {  // a vocabulary may lack an answer
      }
    }
    return true;
  } catch (const ValueError&) {
    return false;
  }
}

const std::vector<std::string> kTexts{"", "Hello, world!\n\n  1234 \u00E9\u0301\U0001F600 <s> yesterday",
                                      "\u4F60\u597D a\tb\r\nit's"};

void attack(const std::string& kind, uint64_t mutants) {
  const std::string whole = read_file(golden_path(kind + ".json"), 1 << 20);
  EXPECT_TRUE(survives(whole, kTexts)) << kind;
  for (size_t cut = 0; cut < whole.size(); cut += whole.size() / 40 + 1)
    EXPECT_FALSE(survives(whole.substr(0, cut), kTexts)) << kind << " cut at " << cut;
  int accepted = 0;
  for (uint64_t i = 0; i < mutants; ++i) {
    const Rng rng = Rng(11).fork(kind, i);
    // Most of a file is vocabulary: every other mutant changes its first bytes, where the parts are.
    std::string bytes = whole;
    const size_t end = i % 2 == 0 ? std::min<size_t>(whole.size(), 2500) : whole.size();
    bytes.replace(0, end, test::mutate({whole.substr(0, end)}, rng));
    accepted += survives(bytes, kTexts);
  }
  EXPECT_LT(accepted, static_cast<int>(mutants)) << kind;
}

TEST(HostileTokenizer, MutatedFilesEndInErrors) {
  for (const auto& kind : test::golden_kinds()) attack(kind, 15);
}

TEST(HostileTokenizer, ManyMutatedFilesEndInErrorsSlow) {
  for (const auto& kind : test::golden_kinds()) attack(kind, 1500);
}

/// A mutation of the document rather than of its bytes: what parses, and is not as expected.
template <class Change>
std::string refused(const std::string& kind, Change change) {
  Json file = read_json(golden_path(kind + ".json"));
  change(file);
  const std::string bytes = file.dump();
  return refusal<ValueError>([&] { Tokenizer::from_bytes(bytes, "t"); });
}

TEST(HostileTokenizer, ErrorsNameThePartAndThePlace) {
  expect_part(refused("gpt2",
                      [](Json& j) {
                        j["model"]["merges"][2] = Json::array({"a", "zz"});
                      }),
              "t.model.merges[2]: expected tokens of the vocabulary, which lacks \"zz\"");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["merges"][2] = "a b c"; }), "t.model.merges[2]");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["vocab"]["a"] = j["model"]["vocab"]["b"]; }),
              "t.model.vocab[\"");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["vocab"]["a"] = 4000000000u; }),
              "t.model.vocab[\"a\"]: expected an integer from 0 to");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["vocab"]["a"] = -1; }), "t.model.vocab[\"a\"]");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["vocab"]["a"] = "x"; }), "t.model.vocab[\"a\"]");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["type"] = "BPEX"; }), "did you mean \"BPE\"?");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["unk_token"] = "<none>"; }), "model.unk_token");
  expect_part(refused("gpt2", [](Json& j) { j["model"]["dropout"] = 0.1; }), "t.model.dropout");
  expect_part(refused("gpt2", [](Json& j) { j["version"] = "2.0"; }), "t.version");
  expect_part(refused("gpt2", [](Json& j) { j["added_tokens"][1]["id"] = 3; }),
              "t.added_tokens[1].id: expected 1 as in the vocabulary");
  expect_part(refused("gpt2", [](Json& j) { j["added_tokens"][5]["id"] = 500; }), "t.added_tokens[");
  expect_part(refused("gpt2", [](Json& j) { j["pre_tokenizer"]["type"] = "Bytelevel"; }),
              "t.pre_tokenizer.type");
  expect_part(refused("gpt2", [](Json& j) { j["decoder"]["type"] = 5; }), "t.decoder.type: expected text");
  expect_part(
      refused("qwen2", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "("; }),
      "t.pre_tokenizer.pretokenizers[0].pattern: expected a regular expression");
  expect_part(
      refused("qwen2", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "isolated"; }),
      "did you mean \"Isolated\"?");
  expect_part(
      refused("llama", [](Json& j) { j["post_processor"]["single"][0]["SpecialToken"]["id"] = "<x>"; }),
      "t.post_processor.special_tokens");
  expect_part(refused("llama", [](Json& j) { j["post_processor"]["single"][1]["Sequence"]["id"] = "B"; }),
              "t.post_processor.single[1].Sequence.id");
  expect_part(refused("unigram", [](Json& j) { j["model"]["vocab"][7][1] = "x"; }),
              "t.model.vocab[7][1]: expected a number");
  expect_part(refused("unigram", [](Json& j) { j["model"]["unk_id"] = 100000; }), "unk_id");
  expect_part(refused("unigram", [](Json& j) { j["model"]["vocab"][7][0] = std::string(1000, 'a'); }),
              "vocab[7]: expected at most 512 bytes");
  expect_part(refused("unigram_bytes", [](Json& j) { j["normalizer"]["precompiled_charsmap"] = "AAAA"; }),
              "t.normalizer.precompiled_charsmap");
  expect_part(refused("word_piece", [](Json& j) { j["model"]["unk_token"] = "[X]"; }), "model.unk_token");
  expect_part(refused("word_piece", [](Json& j) { j.erase("model"); }), "expected the key \"model\"");
}

TEST(HostileTokenizer, AFileCannotMakeMemoryOutOfAShortText) {
  Json file = read_json(golden_path("llama.json"));
  file["normalizer"] =
      Json{{"type", "Replace"}, {"pattern", Json{{"String", "q"}}}, {"content", std::string(100000, 'b')}};
  const Tokenizer tokenizer = Tokenizer::from_bytes(file.dump(), "t");
  expect_part(refusal<ValueError>([&] { tokenizer.encode(std::string(1000, 'q')); }), "after replacing");
  file["normalizer"] =
      Json{{"type", "Sequence"},
           {"normalizers", Json::array({Json{{"type", "Prepend"}, {"prepend", std::string(1 << 20, 'b')}}})}};
  // Its own tokens are normalised when it is read.
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes(file.dump(), "t"); }),
              "normalizer: expected at most");
}

TEST(HostileTokenizer, LongTokensAndLongReplacementsHaveLimits) {
  expect_part(refused("gpt2", [](Json& j) { j["added_tokens"][4]["content"] = std::string(5000, 'x'); }),
              "expected at most 4096 bytes");
  expect_part(refused("word_piece", [](Json& j) { j["model"]["vocab"][std::string(600, 'x')] = 700; }),
              "expected at most 512 bytes");
  Json file = read_json(golden_path("unigram_bytes.json"));
  std::string table = base64_decode(file["normalizer"]["precompiled_charsmap"].text(), "table");
  const size_t plus = table.find("+1");  // what a thumb becomes
  ASSERT_NE(plus, std::string::npos);
  table.insert(plus, std::string(200000, 'z'));
  file["normalizer"]["precompiled_charsmap"] = base64_encode(table);
  const Tokenizer tokenizer = Tokenizer::from_bytes(file.dump(), "t");
  expect_part(refusal<ValueError>([&] { tokenizer.encode("\U0001F44D"); }), "normalizer: expected at most");
}

TEST(HostileTokenizer, TextThatIsNotUtf8IsRefusedWithTheByte) {
  const Tokenizer tokenizer = Tokenizer::from_file(golden_path("gpt2.json"));
  expect_part(refusal<ValueError>([&] { tokenizer.encode("ab\xFFz"); }), "got the byte 0xff at 2");
}

}  // namespace
}  // namespace gw
