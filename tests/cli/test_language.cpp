// Language models from outside: the tiny checkpoints of tests/language/golden with a tokenizer of single
// bytes.
#include <gtest/gtest.h>

#include <filesystem>

#include "gatewright/base/file.h"
#include "gatewright/base/json.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::language_cases {

namespace fs = std::filesystem;

/// Forty tokens: three special ones, the letters, and a few signs, in the alphabet of byte-level tokenizers.
Json letters() {
  Json vocabulary = Json::object();
  const std::vector<std::string> special{"<pad>", "<s>", "</s>"};
  int id = 0;
  for (const auto& token : special) vocabulary[token] = id++;
  for (char c = 'a'; c <= 'z'; ++c) vocabulary[std::string(1, c)] = id++;
  for (const char* sign : {"Ġ", "Ċ", ".", ",", "!", "?", "'", "-", ":", "0", "1"}) vocabulary[sign] = id++;
  Json added = Json::array();
  for (int i = 0; i < 3; ++i)
    added.push_back({{"id", i},
                     {"content", special[static_cast<size_t>(i)]},
                     {"special", true},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false}});
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", {{"type", "Lowercase"}}},
          {"pre_tokenizer",
           {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}},
          {"decoder",
           {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
}

/// A golden checkpoint with the tokenizer.
void copy_golden(const std::string& name, const std::string& path) {
  fs::create_directories(path);
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy(std::string(GW_SOURCE_ROOT) + "tests/language/golden/" + name + "/" + file,
             fs::path(path) / file);
  write_atomic(path + "/tokenizer.json", letters().dump());
}

struct Folder {
  Scratch scratch;
  std::string path = scratch / "mixtral";
  Folder() {
    copy_golden("mixtral", path);
    write_atomic(path + "/chat_template.jinja",
                 "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
                 "{% if add_generation_prompt %}a:{% endif %}");
  }
};

const Folder& model() {
  static const Folder once;
  return once;
}

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  for (size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    if (const auto json = Json::parsed(text.substr(at, end - at)); json && json->is_object())
      lines.push_back(*json);
    at = end + 1;
  }
  return lines;
}

TEST(Language, RunGoesOnWithItsRoutes) {
  const auto answer = cli("run " + model().path + " \"once upon\" --tokens 12 --json");
  ASSERT_EQ(answer.code, 0) << answer.text;
  const auto lines = lines_of(answer.text);
  ASSERT_GE(lines.size(), 2);
  std::string text;
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    text += lines[i].at("text").text();
    if (!lines[i].contains("token")) continue;
    EXPECT_EQ(lines[i].at("routes").at("layer0").size(), 2);
    EXPECT_EQ(lines[i].at("routes").at("layer1").size(), 2);
  }
  EXPECT_EQ(lines.back().at("text").text(), text);
  EXPECT_EQ(lines.back().at("prompt_tokens").get<int>(), 9);
}

TEST(Language, KeysAndValuesInBlocksGiveTheSameText) {
  const std::string command = "run " + model().path + " \"once upon\" --tokens 12 --json";
  const auto text = [&](const std::string& more) {
    return lines_of(cli(command + more).text).back().at("text").text();
  };
  EXPECT_EQ(text(" --cache-block 4"), text(""));
  expect(cli(command + " --cache-block -1"), 2, "--cache-block");
}

TEST(Language, WeightsStayInTheirCodes) {
  const std::string golden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";
  const auto view = Json::parse(cli("inspect " + golden + "gpt_oss_mxfp4 --json").text).at("weights");
  EXPECT_LT(view.at("keep").at("bytes").get<int64_t>(), view.at("file").at("bytes").get<int64_t>());
  expect(cli("run " + golden + "gpt_oss_mxfp4 \"a\" --weights kept --tokenizer " + model().path), 2, "keep");
}

TEST(Language, DrawsDependOnTheSeed) {
  const std::string command =
      "run " + model().path + " \"once upon\" --tokens 20 --temperature 1.5 --json --seed ";
  const auto text = [&](const std::string& seed) {
    return lines_of(cli(command + seed).text).back().at("text").text();
  };
  EXPECT_EQ(text("1"), text("1"));
  EXPECT_NE(text("1"), text("2"));
}

TEST(Language, StopTextsAreNotShown) {
  const auto whole = lines_of(cli("run " + model().path + " \"once upon\" --tokens 20 --json").text)
                         .back()
                         .at("text")
                         .text();
  ASSERT_GE(whole.size(), 6);
  const auto stop = whole.substr(3, 2), before = whole.substr(0, whole.find(stop));
  const auto cut = cli("run " + model().path + " \"once upon\" --tokens 20 --json --stop \"" + stop + "\"");
  EXPECT_EQ(lines_of(cut.text).back().at("text").text(), before) << whole;
}

TEST(Language, ChatWritesItsTemplate) {
  const auto answer = cli("chat " + model().path + " hello --tokens 5 --json");
  ASSERT_EQ(answer.code, 0) << answer.text;
  // "user: hello\na:" in tokens of a letter each
  EXPECT_EQ(lines_of(answer.text).back().at("prompt_tokens").get<int>(), 14);
}

TEST(Language, PerplexityConvertUpcycle) {
  const Scratch scratch;
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the cat sat on the mat. ";
  write_atomic(scratch / "text.txt", text);
  const auto perplexity = [&](const std::string& path) {
    const auto answer = cli("perplexity " + path + " " + (scratch / "text.txt") + " --context 64 --json");
    EXPECT_EQ(answer.code, 0) << answer.text;
    return lines_of(answer.text).back().at("perplexity").get<double>();
  };
  const double before = perplexity(model().path);
  EXPECT_GT(before, 5);  // an untrained model knows nothing of cats
  expect(cli("convert " + model().path + " --weights f32 --out " + (scratch / "copy")), 0, "wrote");
  EXPECT_EQ(perplexity(scratch / "copy"), before);
  expect(cli("convert " + model().path + " " + (scratch / "copy.gguf") + " --dtype f32"), 0, "no vocabulary");
  EXPECT_NEAR(perplexity((scratch / "copy.gguf") + " --tokenizer " + model().path), before, 1e-4 * before);
  expect(cli("convert " + model().path + " " + (scratch / "x.gguf") + " --dtype q4_0"), 2,
         "--dtype f16, bf16, q8_0 or f32");
  expect(cli("convert " + model().path + " " + (scratch / "x")), 2, "expected a .gguf file");
  expect(cli("upcycle " + model().path + " " + (scratch / "more")), 2, "dense");
}

TEST(Language, InspectSaysWhatAModelTakes) {
  const auto answer = cli("inspect " + model().path + " --json");
  ASSERT_EQ(answer.code, 0) << answer.text;
  const auto view = Json::parse(answer.text);
  EXPECT_EQ(view.at("family").text(), "mixtral");
  EXPECT_EQ(view.at("layers").get<int>(), 2);
  EXPECT_EQ(view.at("experts").get<int>(), 5);
  EXPECT_EQ(view.at("active_experts").get<int>(), 2);
  EXPECT_GT(view.at("parameters").get<int64_t>(), view.at("active_parameters").get<int64_t>());
  EXPECT_EQ(view.at("values_by_type").at("F32").get<int64_t>(), view.at("parameters").get<int64_t>());
  const auto& machine = view.at("machine");
  EXPECT_GT(machine.at("available_bytes").get<int64_t>(), 1 << 20);
  EXPECT_GT(machine.at("read_bytes_per_second").get<double>(), 1e8);
  const auto& weights = view.at("weights");
  for (const char* name : {"file", "f32", "bf16", "int8", "int4"}) {
    const auto& held = weights.at(name);
    EXPECT_TRUE(held.at("fits").get<bool>()) << name;
    EXPECT_NEAR(
        held.at("tokens_per_second_at_most").get<double>() * held.at("read_bytes_per_token").get<double>(),
        machine.at("read_bytes_per_second").get<double>(), 1e3)
        << name;
  }
  EXPECT_EQ(weights.at("bf16").at("cache_bytes_per_1000_tokens").get<int64_t>(), 1000 * 2 * 2 * 8 * 2);
  const auto named = cli("inspect mixtral", "GATEWRIGHT_MODELS=" + model().scratch.path());
  expect(named, 0, "experts: 5 in 2 layers, 2 for a token");
  expect(named, 0, "tokens/s at most");
  const std::string golden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";
  expect(cli("inspect " + golden + "gguf/olmoe.gguf"), 0, "olmoe, 2 layers");
  expect(cli("inspect " + model().path + " --attack pgd"), 2, "only --json for a language model");
}

TEST(Language, BenchTimesAModel) {
  const auto answer = cli("bench " + model().path + " --prompt 6 --tokens 4 --rounds 2 --json");
  ASSERT_EQ(answer.code, 0) << answer.text;
  const auto said = lines_of(answer.text).back();
  EXPECT_EQ(said.at("prompt_s").size(), 2);
  EXPECT_EQ(said.at("written_s").size(), 2);
  const double rate = said.at("written_tokens_per_second").get<double>();
  EXPECT_GT(said.at("written_s").at(0).get<double>() * rate, 1);  // of four tokens, not of one
  const auto view = Json::parse(cli("inspect " + model().path + " --json").text).at("weights").at("file");
  EXPECT_EQ(said.at("read_bytes_per_token").get<int64_t>(), view.at("read_bytes_per_token").get<int64_t>());
  EXPECT_NEAR(said.at("of_read_bandwidth").get<double>() * said.at("read_bytes_per_second").get<double>(),
              rate * said.at("read_bytes_per_token").get<double>(), 1);
  expect(cli("bench " + model().path + " --weights int8 --prompt 3 --tokens 2 --rounds 1"), 0,
         "3 tokens read at once");
  expect(cli("bench " + model().path + " --case f32"), 2, "--case and --list for the kernels alone");
  const std::string golden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";
  expect(cli("bench " + golden + "switch_transformers"), 2, "a model that goes on with a text");
}

TEST(Language, TokenizeSaysIdsAndTokens) {
  const std::string command = "tokenize " + model().path;
  EXPECT_EQ(cli(command + " \"ab a\" --json").text, "[3,4,29,3]\n");
  EXPECT_EQ(cli(command + " \"a</s>\" --json").text, "[3,2]\n");
  EXPECT_EQ(cli(command + " \"a!s!\" --bare --json").text, "[3,33,21,33]\n");
  expect(cli(command + " \"ab a\""), 0, "4 tokens");
  const auto lines =
      shell("printf '\"b a\"\n\"\\\\u0061\\\\n\"\n' | " + std::string(GW_CLI) + " " + command + " --lines");
  EXPECT_EQ(lines.text, "[4,29,3]\n[3,30]\n");
  expect(shell("echo 7 | " + std::string(GW_CLI) + " " + command + " --lines"), 2, "a JSON string in line 1");
  expect(cli(command), 2, "expected a text or --lines");
  expect(cli(command + " a --lines"), 2, "--lines");
}

TEST(Language, AModelThatReadsOneTextWritesAnother) {
  const Scratch scratch;
  const std::string path = scratch / "switch", copy = scratch / "copy";
  copy_golden("switch_transformers", path);
  const auto lines = [&](const std::string& model) {
    const auto answer = cli("run " + model + " \"once upon\" --tokens 12 --json");
    EXPECT_EQ(answer.code, 0) << answer.text;
    return lines_of(answer.text);
  };
  const auto first = lines(path);
  ASSERT_GE(first.size(), 2);
  EXPECT_EQ(first[0].at("routes").at("decoder.layer1").size(), 1);
  EXPECT_EQ(first[0].at("routes").at("decoder.layer3").size(), 1);
  EXPECT_EQ(first.back().at("prompt_tokens").get<int>(), 9);
  EXPECT_EQ(first.back().at("added_tokens").get<int>(), 12);
  expect(cli("run " + path + " \"\""), 2, "at least one token");
  expect(cli("convert " + path + " --weights f32 --out " + copy), 0, "wrote");
  EXPECT_EQ(lines(copy).back().at("text").text(), first.back().at("text").text());
  const std::string why = "reads one text and writes another";
  expect(cli("convert " + path + " " + (scratch / "x.gguf") + " --dtype f32"), 2, why);
  expect(cli("perplexity " + path + " " + path + "/config.json"), 2, why);
  expect(cli("inspect " + path), 0, "switch_transformers, 4 layers that read and 4 that write");
  expect(cli("chat " + path + " hello"), 2, why);
}

TEST(Language, PerplexityOfATextAboutASource) {
  const Scratch scratch;
  const std::string path = scratch / "switch";
  copy_golden("switch_transformers", path);
  write_atomic(scratch / "source.txt", "a cat\n\na dog.\n");
  write_atomic(scratch / "text.txt", "eine katze\n\nein hund\n");
  write_atomic(scratch / "short.txt", "eine katze\n");
  write_atomic(scratch / "gap.txt", "eine katze\nein hund\nein\n");
  const auto of = [&](const std::string& text, const std::string& more) {
    return cli("perplexity " + path + " " + (scratch / text) + " " + more);
  };
  const auto source = "--source " + (scratch / "source.txt");
  const auto answer = of("text.txt", source + " --json");
  ASSERT_EQ(answer.code, 0) << answer.text;
  const auto said = lines_of(answer.text).back();
  EXPECT_EQ(said.at("lines").get<int>(), 2);
  EXPECT_GE(said.at("scored_tokens").get<int>(), 10 + 8);
  EXPECT_GT(said.at("perplexity").get<double>(), 1);
  const auto first = of("text.txt", source + " --chunks 1 --begin e --json");
  EXPECT_EQ(lines_of(first.text).back().at("lines").get<int>(), 1) << first.text;
  expect(of("short.txt", source), 2, "expected as many lines");
  expect(of("gap.txt", source), 2, "a text on line 2 of both files");
  expect(of("text.txt", ""), 2, "expected --source");
  expect(cli("perplexity " + model().path + " " + (scratch / "text.txt") + " " + source), 2,
         "expected no --source");
}

TEST(Language, BadInputIsNamed) {
  expect(cli("run " + model().scratch.path() + "/nothing x"), 2, "expected a folder, a file, or a name");
  expect(cli("run " + model().path + " \"\""), 2, "at least one token");
  expect(cli("run " + model().path + " x --weights int3"), 2, "int3");
  expect(cli("convert " + model().path + " --weights int8 --out " + (model().scratch / "z")), 2,
         "--weights f32 or bf16");
  expect(cli("perplexity " + model().path + " " + model().path + "/config.json --context 100000"), 2,
         "two chunks");
}

}  // namespace gw::test::language_cases
