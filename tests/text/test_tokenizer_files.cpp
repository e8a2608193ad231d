// The other files: GGUF vocabularies, SentencePiece models, Tekken, and folders.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "gatewright/base/base64.h"
#include "gatewright/base/bytes.h"
#include "gatewright/text/gguf_vocabulary.h"
#include "gatewright/text/tokenizer.h"
#include "tests/fuzz/replay.h"
#include "tests/support/refusal.h"
#include "tests/text/golden_files.h"

namespace gw {
namespace {

using test::expect_part;
using test::golden_path;
using test::refusal;

const std::string kMark = "\xE2\x96\x81";

/// A golden byte-level tokenizer as a GGUF file would hold it; its other added tokens are left out.
GgufVocabulary gguf_of(const std::string& kind, const std::string& pre) {
  const Json file = read_json(golden_path(kind + ".json"));
  GgufVocabulary made;
  made.model = "gpt2";
  made.pre = pre;
  made.tokens.resize(file["model"]["vocab"].size());
  for (const auto& [token, id] : file["model"]["vocab"].items()) made.tokens[id.get<size_t>()] = token;
  made.token_types.assign(made.tokens.size(), 1);
  for (const int id : {0, 1, 2, 3}) made.token_types[static_cast<size_t>(id)] = 3;
  for (const Json& pair : file["model"]["merges"])
    made.merges.push_back(pair[0].text() + " " + pair[1].text());
  return made;
}

TEST(GgufVocabulary, ByteLevelKindsEqualTheirTokenizerJson) {
  const std::vector<std::pair<const char*, const char*>> kinds{
      {"gpt2", "gpt-2"}, {"gpt2", "olmo"}, {"qwen2", "qwen2"}, {"llama3", "llama-bpe"}, {"o200k", "gpt-4o"}};
  for (const auto& [kind, pre] : kinds) {
    const Tokenizer json = Tokenizer::from_file(golden_path(std::string(kind) + ".json"));
    const Tokenizer gguf = Tokenizer::from_gguf(gguf_of(kind, pre));
    for (const auto& text : test::golden_strings()) {
      // Its other added tokens, and what only its normaliser changes.
      if (text.find("<") != std::string::npos || text.find("yesterday") != std::string::npos ||
          text.find("bitte") != std::string::npos)
        continue;
      const auto ids = json.encode(text, false);
      if (std::string(kind) == "qwen2" && json.decode(ids) != text) continue;
      EXPECT_EQ(gguf.encode(text, false), ids) << pre << ": " << text;
      EXPECT_EQ(gguf.decode(ids), json.decode(ids)) << pre << ": " << text;
    }
  }
}

TEST(GgufVocabulary, EveryNameCuts) {
  for (const auto& pre : gguf_pre_tokenizers()) {
    const Tokenizer tokenizer = Tokenizer::from_gguf(gguf_of("gpt2", pre));
    for (const auto& text : test::golden_strings()) {
      if (text.find("<") != std::string::npos) continue;
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << pre;
    }
  }
  // Digits one by one, three by three, and in a row.
  const auto pieces = [](const char* pre) {
    return Tokenizer::from_gguf(gguf_of("gpt2", pre)).encode("00 00").size();
  };
  EXPECT_EQ(pieces("smollm"), pieces("starcoder"));
  expect_part(refusal<ValueError>([] { Tokenizer::from_gguf(gguf_of("gpt2", "gpt-3")); }),
              "known: command-r, dbrx, deepseek-coder");
}

TEST(GgufVocabulary, WhatAroundATextIsAskedFor) {
  GgufVocabulary from = gguf_of("gpt2", "gpt-2");
  from.bos = 1;
  from.eos = 2;
  from.add_bos = from.add_eos = true;
  const auto ids = Tokenizer::from_gguf(from).encode("a");
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 2);
  EXPECT_EQ(Tokenizer::from_gguf(from).bos(), 1);
  from.eos = -1;
  expect_part(refusal<ValueError>([&] { Tokenizer::from_gguf(from); }), "eos_token_id");
}

/// Scores decide: "abc" is a|bc if bc scores higher than ab.
GgufVocabulary small_llama(float ab, float bc) {
  GgufVocabulary made;
  made.model = "llama";
  made.tokens = {"<unk>", "<s>", "</s>", kMark, "a", "b", "c", "ab", "bc", kMark + "a"};
  made.scores = {0, 0, 0, -5, -6, -7, -8, ab, bc, -3};
  made.token_types = {2, 3, 3, 1, 1, 1, 1, 1, 1, 1};
  made.unknown = 0;
  made.add_space_prefix = false;
  for (const int byte : {0xC3, 0xA9}) {  // é
    made.tokens.push_back(byte == 0xC3 ? "<0xC3>" : "<0xA9>");
    made.scores.push_back(0);
    made.token_types.push_back(6);
  }
  return made;
}

TEST(GgufVocabulary, ScoresOrderTheMergesOfLlama) {
  EXPECT_EQ(Tokenizer::from_gguf(small_llama(-1, -2)).encode("abc"), (std::vector<int32_t>{7, 6}));
  EXPECT_EQ(Tokenizer::from_gguf(small_llama(-2, -1)).encode("abc"), (std::vector<int32_t>{4, 8}));
  const Tokenizer tokenizer = Tokenizer::from_gguf(small_llama(-1, -1));  // equal scores: from left to right
  EXPECT_EQ(tokenizer.encode("abc"), (std::vector<int32_t>{7, 6}));
  EXPECT_EQ(tokenizer.encode("\xC3\xA9"), (std::vector<int32_t>{10, 11}));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{10, 11, 7}),
            "\xC3\xA9"
            "ab");
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{10, 7}),
            "\xEF\xBF\xBD"
            "ab");
  EXPECT_EQ(tokenizer.encode("xyz"), (std::vector<int32_t>{0}));  // unknown ones as one
  GgufVocabulary prefixed = small_llama(-1, -2);
  prefixed.add_space_prefix = true;
  const Tokenizer with_space = Tokenizer::from_gguf(prefixed);
  EXPECT_EQ(with_space.encode("a<s>a"), (std::vector<int32_t>{9, 1, 9}));
  EXPECT_EQ(with_space.decode(with_space.encode("a b")), "a b");
}

TEST(GgufVocabulary, RefusesWhatDoesNotFit) {
  const auto message = [](auto change) {
    GgufVocabulary made = gguf_of("gpt2", "gpt-2");
    change(made);
    return refusal<ValueError>([&] { Tokenizer::from_gguf(made); });
  };
  expect_part(message([](auto& v) { v.model = "bert"; }), "expected gpt2 or llama");
  expect_part(message([](auto& v) { v.tokens[7] = v.tokens[8]; }), "tokens[8]");
  expect_part(message([](auto& v) { v.merges[3] = "ab"; }), "merges[3]");
  expect_part(message([](auto& v) { v.merges[3] = "\xC4\xA0\xC4\xA0 nothere"; }), "merges[3]");
  expect_part(message([](auto& v) { v.token_types.pop_back(); }), "token_type");
  expect_part(message([](auto& v) { v.token_types[5] = 9; }), "token_type[5]");
  expect_part(message([](auto& v) { v.tokens[9] = "\xFF"; }), "tokens[9]");
  expect_part(message([](auto& v) { v.tokens.clear(); }), "token");
  expect_part(message([](auto& v) { v.bos = 100000; }), "bos_token_id");
  expect_part(refusal<ValueError>([] {
                GgufVocabulary made = small_llama(-1, -2);
                made.scores[4] = NAN;
                Tokenizer::from_gguf(made);
              }),
              "scores[4]");
}

std::string message_field(int field, const std::string& bytes) {
  ByteWriter out;
  out.varint(static_cast<uint64_t>(field) << 3 | 2);
  out.text(bytes);
  return out.bytes;
}

std::string number_field(int field, uint64_t value) {
  ByteWriter out;
  out.varint(static_cast<uint64_t>(field) << 3);
  out.varint(value);
  return out.bytes;
}

std::string piece(const std::string& token, float score, uint64_t type) {
  ByteWriter score_field;
  score_field.u8(2 << 3 | 5);
  score_field.f32(&score, 1);
  return message_field(1, message_field(1, token) + score_field.bytes + number_field(3, type));
}

/// A ModelProto with the vocabulary of small_llama.
std::string sentence_piece(uint64_t model_type, bool extra_whitespaces) {
  const GgufVocabulary from = small_llama(-1, -2);
  std::string bytes;
  for (size_t i = 0; i < from.tokens.size(); ++i)
    bytes += piece(from.tokens[i], from.scores[i], static_cast<uint64_t>(from.token_types[i]));
  bytes += message_field(2, number_field(3, model_type) + number_field(35, 1));
  return bytes + message_field(3, number_field(3, 1) + number_field(4, extra_whitespaces ? 0 : 1));
}

TEST(SentencePiece, ReadsBothKinds) {
  const Tokenizer bpe = Tokenizer::from_bytes(sentence_piece(2, true), "m");
  EXPECT_EQ(bpe.encode("abc"), (std::vector<int32_t>{1, 3, 7, 6}));  // ab scores above the mark with a
  EXPECT_EQ(bpe.encode("a"), (std::vector<int32_t>{1, 9}));
  EXPECT_EQ(bpe.encode("  a", false), (std::vector<int32_t>{3, 3, 9}));
  EXPECT_EQ(bpe.decode(bpe.encode("a  b\xC3\xA9")), "a  b\xC3\xA9");
  const Tokenizer tidy = Tokenizer::from_bytes(sentence_piece(2, false), "m");
  EXPECT_EQ(tidy.encode("  a  b ", false), tidy.encode("a b", false));
  const Tokenizer unigram = Tokenizer::from_bytes(sentence_piece(1, true), "m");
  EXPECT_EQ(unigram.encode("abc"), (std::vector<int32_t>{9, 8, 2}));  // -3 - 2 beats -5 - 1 - 8
  EXPECT_EQ(unigram.bos(), 1);
}

TEST(SentencePiece, NamesThePlace) {
  const std::string whole = sentence_piece(2, true);
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes(whole.substr(0, 20), "m.model"); }),
              "m.model: ");
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes(sentence_piece(4, true), "m.model"); }),
              "got 4");
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes(piece("\xFF", 0, 1), "m.model"); }), "UTF-8");
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes(number_field(9, 1), "m.model"); }),
              "no pieces");
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes("  \n", "m.model"); }), "empty file");
}

TEST(SentencePiece, IdsEqualThoseOfTheLibrary) {
  for (const std::string name : {"sp_unigram", "sp_unigram_bytes", "sp_bpe"}) {
    const Tokenizer tokenizer = Tokenizer::from_file(golden_path(name + ".model"));
    const Json cases = read_json(golden_path(name + ".cases.json"));
    const auto strings = test::golden_strings();
    ASSERT_EQ(cases.size(), strings.size());
    for (size_t i = 0; i < strings.size(); ++i) {
      const auto expected = cases.at(i).get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer.encode(strings[i], false, false), expected) << name << ": " << strings[i];
    }
  }
}

TEST(SentencePiece, MutatedFilesEndInErrors) {
  for (const std::string name : {"sp_unigram", "sp_bpe"}) {
    const std::string whole = read_file(golden_path(name + ".model"), 1 << 20);
    int refused = 0;
    for (uint64_t i = 0; i < 200; ++i) {
      // The trainer's and the normaliser's part are at the end.
      const size_t begin = i % 2 == 0 ? 0 : whole.size() - 1500;
      std::string bytes = whole;
      bytes.replace(begin, 1500, test::mutate({whole.substr(begin, 1500)}, Rng(5).fork(name, i)));
      try {
        const Tokenizer tokenizer = Tokenizer::from_bytes(bytes, "m");
        tokenizer.decode(tokenizer.encode("Hello  w\u00F6rld \u4F60"));
      } catch (const ValueError&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, 50) << name;
    EXPECT_LT(refused, 200) << name;
  }
}

Json tekken() {
  Json vocab = Json::array();
  const auto add = [&](const std::string& bytes) {
    vocab.push_back(
        Json{{"rank", vocab.size()}, {"token_bytes", base64_encode(bytes)}, {"token_str", nullptr}});
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const char* token : {"he", "ll", "llo", "hello", " h", "\xC3\xA9"}) add(token);
  return Json{{"config", Json{{"pattern", "\\p{L}+|\\s+(?!\\S)|\\s+|."},
                              {"default_vocab_size", 256 + 6 + 30},
                              {"default_num_special_tokens", 30}}},
              {"vocab", vocab}};
}

TEST(Tekken, RanksAreTheMerges) {
  const Tokenizer tokenizer = Tokenizer::from_bytes(tekken().dump(), "tekken.json");
  const int32_t first = 30;
  EXPECT_EQ(tokenizer.encode("hello"), (std::vector<int32_t>{1, first + 259}));
  EXPECT_EQ(tokenizer.encode("hellohell", false),
            (std::vector<int32_t>{first + 259, first + 256, first + 257}));
  EXPECT_EQ(tokenizer.encode("[INST]\xC3\xA9", false), (std::vector<int32_t>{3, first + 261}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("h\xC3\xA9llo \xE2\x82\xAC")), "h\xC3\xA9llo \xE2\x82\xAC");
  Json twice = tekken();
  twice["vocab"][5]["rank"] = 4;
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes(twice.dump(), "t"); }), "t.vocab[5].rank");
  Json broken = tekken();
  broken["vocab"][5]["token_bytes"] = "?";
  expect_part(refusal<ValueError>([&] { Tokenizer::from_bytes(broken.dump(), "t"); }),
              "t.vocab[5].token_bytes");
}

TEST(TokenizerFile, AFolderSaysWhichTokensBeginAndEnd) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / "gatewright_tokenizer_folder";
  fs::create_directories(folder);
  expect_part(refusal<IoError>([&] { Tokenizer::from_file(folder.string()); }),
              "tokenizer.json, tokenizer.model");
  write_atomic((folder / "tokenizer.json").string(), read_file(golden_path("llama.json"), 1 << 20));
  EXPECT_FALSE(Tokenizer::from_file(folder.string()).eos());
  write_atomic((folder / "tokenizer_config.json").string(),
               R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>"})");
  const Tokenizer tokenizer = Tokenizer::from_file(folder.string());
  EXPECT_EQ(tokenizer.bos(), tokenizer.id("<s>"));
  EXPECT_EQ(tokenizer.eos(), tokenizer.id("</s>"));
  fs::remove_all(folder);
  expect_part(refusal<IoError>([&] { Tokenizer::from_file(folder.string()); }),
              "gatewright_tokenizer_folder");
}

}  // namespace
}  // namespace gw
