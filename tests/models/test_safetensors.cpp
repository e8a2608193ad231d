#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/models/safetensors.h"
#include "tests/fuzz/check_safetensors.h"
#include "tests/fuzz/replay.h"

namespace gw::test::safetensors_cases {

const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/models/golden/";
const std::string kCorpus = std::string(GW_SOURCE_ROOT) + "tests/fuzz/corpus/safetensors/";

std::string bytes_of(const std::string& path) { return gw::read_file(path, 1 << 20); }

/// A file from its header, as the format says: length, JSON padded to 8 bytes, content.
std::string file_of(std::string header, const std::string& content) {
  header.append((8 - header.size() % 8) % 8, ' ');
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + content;
}

std::string error_of(const std::string& bytes) {
  try {
    gw::parse_safetensors(bytes, "model");
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "accepted";
}

/// What the generator of the golden files wrote: i - 2; unsigned i; bool: i is odd.
at::Tensor ramp(at::ScalarType type, std::vector<int64_t> shape) {
  const int64_t count = at::empty(shape).numel();
  const at::Tensor index = at::arange(count, at::kLong);
  const at::Tensor values = type == at::kBool ? index % 2 : type == at::kByte ? index : index - 2;
  return values.to(type).view(shape);
}

void expect_same(const at::Tensor& got, const at::Tensor& want, const std::string& name) {
  EXPECT_EQ(got.scalar_type(), want.scalar_type()) << name;
  EXPECT_EQ(got.sizes(), want.sizes()) << name;
  EXPECT_TRUE(got.equal(want)) << name;
}

std::map<std::string, at::Tensor> every_dtype() {
  const std::map<std::string, at::ScalarType> types = {
      {"f64", at::kDouble}, {"f32", at::kFloat}, {"f16", at::kHalf},  {"bf16", at::kBFloat16},
      {"i64", at::kLong},   {"i32", at::kInt},   {"i16", at::kShort}, {"i8", at::kChar},
      {"u8", at::kByte},    {"bool", at::kBool}};
  std::map<std::string, at::Tensor> tensors = {{"b.weight", ramp(at::kFloat, {2, 2})},
                                               {"a.bias", ramp(at::kByte, {3})}};
  for (const auto& [name, type] : types) tensors["z_" + name] = ramp(type, {3, 1, 5});
  return tensors;
}

TEST(Safetensors, ReadsWhatThePythonPackageWrote) {
  const auto file = gw::load_safetensors(kGolden + "every_dtype.safetensors");
  const auto want = every_dtype();
  ASSERT_EQ(file.tensors.size(), want.size());
  for (const auto& [name, tensor] : want) expect_same(file.tensors.at(name), tensor, name);
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  const auto shapes = gw::load_safetensors(kGolden + "empty_shapes.safetensors");
  expect_same(shapes.tensors.at("scalar"), ramp(at::kFloat, {}), "scalar");
  expect_same(shapes.tensors.at("none"), ramp(at::kFloat, {0, 4}), "none");
  const auto odd = gw::load_safetensors(kGolden + "odd_names.safetensors");
  expect_same(
      odd.tensors.at(
          "quote \" back \\ tab \t line \n bell \x07 del \x7f umlaut \xc3\xa4 rocket \xf0\x9f\x9a\x80"),
      ramp(at::kInt, {2}), "odd");
  EXPECT_EQ(odd.metadata.at("note"), "caf\xc3\xa9 \"\\\n\x01");
}

TEST(Safetensors, WritesByteForByteWhatThePythonPackageWrites) {
  EXPECT_EQ(gw::write_safetensors({every_dtype(), {{"format", "pt"}}}),
            bytes_of(kGolden + "every_dtype.safetensors"));
  for (const std::string name : {"empty_shapes", "odd_names", "no_tensors"}) {
    const std::string golden = bytes_of(kGolden + name + ".safetensors");
    EXPECT_EQ(gw::write_safetensors(gw::parse_safetensors(golden, name)), golden) << name;
  }
}

TEST(Safetensors, WritesViewsAndTensorsWithGradients) {
  const at::Tensor base = at::arange(12, at::kFloat).view({3, 4});
  const gw::SafetensorsFile file{{{"transposed", base.t()},
                                  {"column", base.select(1, 2)},
                                  {"leaf", base.clone().set_requires_grad(true)}},
                                 {}};
  const auto again = gw::parse_safetensors(gw::write_safetensors(file), "t");
  for (const auto& [name, tensor] : file.tensors) expect_same(again.tensors.at(name), tensor, name);
  EXPECT_FALSE(again.tensors.at("leaf").requires_grad());
}

TEST(Safetensors, RefusesToWriteWhatTheFormatCannotHold) {
  const at::Tensor one = at::ones({1});
  EXPECT_THROW(gw::write_safetensors({{{"a", at::Tensor()}}, {}}), gw::ValueError);
  EXPECT_THROW(gw::write_safetensors({{{"a", one.to(at::kComplexFloat)}}, {}}), gw::ValueError);
  EXPECT_THROW(gw::write_safetensors({{{"a", one.to_sparse()}}, {}}), gw::ValueError);
  EXPECT_THROW(gw::write_safetensors({{{"__metadata__", one}}, {}}), gw::ValueError);
  EXPECT_THROW(gw::write_safetensors({{{"\xff\xfe", one}}, {}}), gw::ValueError);
  EXPECT_THROW(gw::write_safetensors({{}, {{"key", "\xff"}}}), gw::ValueError);
}

TEST(Safetensors, NamesWhatIsWrongWithAFile) {
  const std::map<std::string, std::string> expected = {
      {"nothing", "expected at least 8 bytes, got 0"},
      {"short", "expected at least 8 bytes, got 4"},
      {"length_beyond", "expected a header of 1048576 bytes, got 8"},
      {"length_huge", "at most 100000000 bytes, got 18446744073709551615"},
      {"length_over_limit", "at most 100000000 bytes, got 100000001"},
      {"not_json", "error at its byte 3"},
      {"not_object", "starts with {, got \"[1, 2, 3\""},
      {"deep", "expected an object with dtype, shape and data_offsets at \"a\", got a list"},
      {"deep_object", "unknown field \"a\""},
      {"bad_utf8", "expected a header in JSON"},
      {"duplicate_name", "expected every name once, got \"a\" twice"},
      {"duplicate_field", "expected \"dtype\" of tensor \"a\" once"},
      {"duplicate_metadata", "expected every key of the metadata once, got \"a\" twice"},
      {"metadata_number", "expected text at \"__metadata__\" / \"a\", got a number"},
      {"missing_field", "expected \"data_offsets\" for tensor \"a\", got none"},
      {"unknown_field", "unknown field \"extra\" of tensor \"a\""},
      {"negative_shape", "expected a list of whole numbers from 0 to 2^64 - 1 at \"a\" / \"shape\", got -1"},
      {"overflow_shape", "below 2^63 bytes, got [4294967296, 4294967296]"},
      {"overflow_number", "got 99999999999999999999"},
      {"float_shape", "got 1.5"},
      {"long_shape", "expected at most 64 numbers in \"shape\""},
      {"offsets_beyond", "within 1 bytes, got [0, 9]"},
      {"offsets_reversed", "got [1, 0]"},
      {"offsets_three", "expected two data_offsets of tensor \"a\", got 3"},
      {"overlap", "expected tensor \"b\" to start at byte 2, got 1; the file has an overlap"},
      {"hole", "expected tensor \"b\" to start at byte 1, got 2; the file has a hole"},
      {"trailing", "expected 1 bytes of content, got 3; bytes are left over"},
      {"span", "expected 8 bytes for tensor \"a\" (F32, shape [2]), got 4"},
      {"unknown_dtype", "unknown dtype \"F23\" of tensor \"a\"; did you mean \"F32\"?"},
      {"bool_two", "expected bytes 0 and 1 in the BOOL tensor \"a\", got 2"},
  };
  for (const auto& [name, text] : expected) {
    const std::string message = error_of(bytes_of(kCorpus + name));
    EXPECT_EQ(message.rfind("safetensors \"model\": ", 0), 0u) << name << ": " << message;
    EXPECT_NE(message.find(text), std::string::npos) << name << ": " << message;
    EXPECT_LT(message.size(), 400u) << name << ": messages stay short whatever the file holds";
  }
}

// Quantised models carry packed integers beside their scales: whoever asks for the scales alone gets them.
TEST(Safetensors, TypesThatLibtorchHasNotAreLeftAloneUntilAskedFor) {
  for (const auto& [dtype, bytes] : std::vector<std::pair<std::string, int>>{
           {"U16", 2}, {"U32", 4}, {"U64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}}) {
    const auto file = gw::parse_safetensors(
        file_of(R"({"packed":{"dtype":")" + dtype + R"(","shape":[3],"data_offsets":[0,)" +
                    std::to_string(3 * bytes) + R"(]},"scale":{"dtype":"U8","shape":[1],"data_offsets":[)" +
                    std::to_string(3 * bytes) + "," + std::to_string(3 * bytes + 1) + "]}}",
                std::string(static_cast<size_t>(3 * bytes), '\0') + "\x07"),
        "model");
    EXPECT_EQ(file.tensor("scale").item<int>(), 7);
    EXPECT_EQ(file.unread.at("packed"), dtype);
    const auto message = [](const auto& call) {
      try {
        call();
      } catch (const gw::ValueError& error) {
        return std::string(error.what());
      }
      return std::string("accepted");
    };
    EXPECT_NE(message([&] { file.tensor("packed"); }).find("got " + dtype + ", which libtorch 1.13 has not"),
              std::string::npos);
    EXPECT_NE(message([&] { file.tensor("scales"); }).find("did you mean \"scale\"?"), std::string::npos);
    EXPECT_NE(message([&] { gw::write_safetensors(file); }).find("\"packed\" of type " + dtype),
              std::string::npos);
  }
}

TEST(Safetensors, OtherFormatsAreCalledWhatTheyAre) {
  using namespace std::string_literals;
  for (const auto& [bytes, what] : std::vector<std::pair<std::string, std::string>>{
           {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "got a pointer of Git LFS"},
           {"PK\x03\x04\x14\0\0\0\0\0"s, "got a zip archive, as .pt"},
           {"\x80\x02}q\0X\x01\0\0\0a"s, "got a pickle"},
           {"\x80\x04\x95\x10\0\0\0\0\0\0\0"s, "got a pickle"},
           {"GGUF\x03\0\0\0\0\0\0\0"s, "got a GGUF file"},
           {"<!DOCTYPE html><title>404</title>", "got a web page"}}) {
    EXPECT_NE(error_of(bytes).find(what), std::string::npos) << error_of(bytes);
  }
}

TEST(Safetensors, EveryTruncationOfAFileIsRefused) {
  const std::string golden = bytes_of(kGolden + "every_dtype.safetensors");
  for (size_t size = 0; size < golden.size(); ++size)
    EXPECT_NE(error_of(golden.substr(0, size)), "accepted") << size;
}

TEST(Safetensors, HostileTextStaysOutOfMessages) {
  const std::string message = error_of(file_of(
      "{\"" + std::string(100000, 'n') + "\\u0007\\n\":{\"dtype\":\"" + std::string(100000, 'd') + "\"}}",
      ""));
  EXPECT_LT(message.size(), 400u);
  EXPECT_EQ(message.find_first_of("\n\x07"), std::string::npos);
}

TEST(Safetensors, DeepNestingNeedsNoStack) {
  for (const std::string piece : {"[", "{\"a\":"}) {
    std::string header = "{\"a\":{\"shape\":";
    while (header.size() < 20'000'000)
      header += piece;  // 20 MB of nesting would take gigabytes of stack in a recursive parser
    EXPECT_NE(error_of(file_of(header, "")).find("expected a list of whole numbers"), std::string::npos);
  }
}

TEST(Safetensors, AnEmptyTensorWithHugeOtherSizesIsRefused) {
  const auto empty = [](const std::string& shape) {
    return error_of(file_of(R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,0]}})", ""));
  };
  EXPECT_EQ(empty("[0,1000]"), "accepted");
  EXPECT_NE(empty("[0,4294967296,4294967296]").find("below 2^63"), std::string::npos)
      << "its strides would overflow";
  EXPECT_NE(empty("[0,18446744073709551615]").find("below 2^63"), std::string::npos);
}

TEST(Safetensors, SavesAtomicallyAndKeepsTheOldFileOnAFullDisk) {
  std::string directory = (std::filesystem::temp_directory_path() / "gw_models_XXXXXX").string();
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/model.safetensors";
  gw::save_safetensors(path, {every_dtype(), {{"format", "pt"}}});
  EXPECT_EQ(bytes_of(path), bytes_of(kGolden + "every_dtype.safetensors"));
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(gw::save_safetensors(path, {{{"big", at::zeros({100000})}}, {}}), gw::IoError);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(gw::load_safetensors(path).tensors.size(), every_dtype().size());
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(directory), std::filesystem::directory_iterator()),
      1);
  EXPECT_THROW(gw::load_safetensors(path, 100), gw::ValueError);
  EXPECT_THROW(gw::load_safetensors(directory + "/none"), gw::IoError);
  std::filesystem::remove_all(directory);
}

TEST(SafetensorsFuzz, CorpusAndItsMutationsAreReadOrRefused) {
  const auto counts = gw::test::replay(
      "safetensors", 10000, [](std::string_view bytes) { return gw::test::check_safetensors(bytes); });
  EXPECT_GE(counts.accepted, 50) << "mutations that are still valid exercise the reader beyond its header";
  EXPECT_GE(counts.refused, 5000);
}

}  // namespace gw::test::safetensors_cases
