#include "gatewright/routing/recording_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "gatewright/base/bytes.h"
#include "gatewright/base/check.h"
#include "gatewright/base/crc32c.h"

namespace gw::inline routing {
namespace {

constexpr size_t kWindow_bytes = 1 << 20, kLength_bytes = 10, kCrc_bytes = 4, kMagic_bytes = 8;

class FileSource : public ByteSource {
 public:
  explicit FileSource(const std::string& path)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat info {};
    if (file_ < 0 || ::fstat(file_, &info) != 0) {
      const int code = errno;
      if (file_ >= 0) ::close(file_);
      throw IoError(fmt::format("recording: expected to open {}, got \"{}\"; check the path", path,
                                std::strerror(code)));
    }
    size_ = static_cast<uint64_t>(info.st_size);
    if (S_ISREG(info.st_mode)) return;
    ::close(file_);
    throw IoError(
        fmt::format("recording: expected a regular file, got {}; give the file that was recorded", path));
  }
  ~FileSource() override { ::close(file_); }
  uint64_t size() const override { return size_; }
  void read(uint64_t offset, char* to, size_t size) override {
    while (size > 0) {
      const ssize_t got = ::pread(file_, to, size, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        throw IoError(fmt::format("recording: expected to read {}, got \"{}\"; was it changed meanwhile?",
                                  path_, got < 0 ? std::strerror(errno) : "its end"));
      offset += static_cast<uint64_t>(got), to += got, size -= static_cast<size_t>(got);
    }
  }

 private:
  std::string path_;
  int file_;
  uint64_t size_ = 0;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  void read(uint64_t offset, char* to, size_t size) override {
    std::memcpy(to, bytes_.data() + offset, size);
  }

 private:
  std::string_view bytes_;
};

}  // namespace

std::unique_ptr<ByteSource> file_source(const std::string& path) {
  return std::make_unique<FileSource>(path);
}
std::unique_ptr<ByteSource> memory_source(std::string_view bytes) {
  return std::make_unique<MemorySource>(bytes);
}

RecordingReader::RecordingReader(const std::string& path) : RecordingReader(file_source(path), path) {}

RecordingReader::RecordingReader(std::unique_ptr<ByteSource> source, std::string name)
    : source_(std::move(source)), name_(std::move(name)) {
  read_header();
}

void RecordingReader::read_header() {
  const size_t head = std::min<uint64_t>(source_->size(), kMagic_bytes + kCrc_bytes + kLength_bytes);
  const std::string_view start(window(0, head), head);
  GW_CHECK(
      start.substr(0, kMagic_bytes) == kRecordingMagic,
      "recording {}: expected a file of recorded routes, got another beginning; give the routes.bin of a run",
      name_);
  ByteReader in(start.substr(kMagic_bytes), "recording");
  const uint32_t version = in.u32();
  GW_CHECK(version == kRecordingVersion,
           "recording {}: expected version {}, got {}; read it with the program that wrote it", name_,
           kRecordingVersion, version);
  const auto length = static_cast<size_t>(in.count("a description", kRecordingHeader_bytes));
  const size_t all = head - in.left() + length;
  GW_CHECK(all + kCrc_bytes <= source_->size(),
           "recording {}: expected a description of {} bytes, got a file of {}; it was cut", name_, length,
           source_->size());
  const std::string_view bytes(window(0, all + kCrc_bytes), all + kCrc_bytes);
  GW_CHECK(ByteReader(bytes.substr(all), "recording").u32() == crc32c(bytes.substr(0, all)),
           "recording {}: expected the checksum of its description, got another; the file is damaged", name_);
  about_ = Json::parsed(bytes.substr(all - length, length)).value_or(Json());
  GW_CHECK(about_.is_object(),
           "recording {}: expected a JSON object as description, got something else; the file is damaged",
           name_);
  begin_ = at_ = all + kCrc_bytes;
}

/// Bytes [offset, offset + size) of the source, which must have them.
char* RecordingReader::window(uint64_t offset, size_t size) {
  if (offset < window_begin_ || offset + size > window_begin_ + window_.size()) {
    window_.resize(std::min<uint64_t>(std::max(size, kWindow_bytes), source_->size() - offset));
    window_begin_ = offset;
    source_->read(offset, window_.data(), window_.size());
  }
  return window_.data() + (offset - window_begin_);
}

/// False at the end, of whatever kind; a whole record otherwise.
bool RecordingReader::read_record(uint64_t offset, Record& record) {
  const uint64_t left = source_->size() - offset;
  end_ = {left == 0 ? RecordingEnd::Kind::kWhole : RecordingEnd::Kind::kCut, offset, left};
  if (left == 0) return false;
  const size_t head = std::min<uint64_t>(left, 1 + kLength_bytes);
  const char* bytes = window(offset, head);
  size_t at = 1;
  uint64_t length = 0;
  for (int shift = 0;; shift += 7) {
    if (at == head) return false;
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    length |= uint64_t{byte & 0x7Fu} << shift;
    if ((byte & 0x80) == 0) break;
    if (shift > 28) length = UINT64_MAX;  // longer than any record
    if (shift > 28) break;
  }
  if (length > kRecordingPayload_bytes) {
    end_.kind = RecordingEnd::Kind::kDamaged;
    return false;
  }
  const size_t all = at + length + kCrc_bytes;
  if (all > left) return false;
  bytes = window(offset, all);
  const std::string_view whole(bytes, all - kCrc_bytes);
  if (ByteReader({bytes + all - kCrc_bytes, kCrc_bytes}, "recording").u32() != crc32c(whole)) {
    end_.kind = RecordingEnd::Kind::kDamaged;
    return false;
  }
  record = {static_cast<RecordType>(bytes[0]), std::string(whole.substr(at)), offset + all};
  return true;
}

void RecordingReader::add_site(const Record& record, uint64_t offset) {
  if (!site_offsets_.empty() && offset <= site_offsets_.back()) return;  // read again after a search
  auto site = decode_site(record.payload);
  experts_ += site.experts;
  GW_CHECK(experts_ <= kRecordingExperts,
           "recording {}: expected at most {} experts in all, got {}; the file is damaged", name_,
           kRecordingExperts, experts_);
  sites_.push_back(std::move(site));
  site_offsets_.push_back(offset);
}

/// A record of twenty bytes may stand for millions of tokens without an expert; a file of such records must
/// not cost hours.
void RecordingReader::count_tokens() {
  if (at_ <= furthest_) return;  // read again after a search
  furthest_ = at_, tokens_ += decision_.tokens;
  const int64_t most = kRecordingIdleTokens + static_cast<int64_t>(at_) * (kRecordingIdleTokens >> 16);
  GW_CHECK(tokens_ <= most,
           "recording {}: expected at most {} tokens in the first {} bytes, got {}; the file is damaged",
           name_, most, at_, tokens_);
}

RecordingReader::Item RecordingReader::next() {
  Record record;
  while (read_record(at_, record)) {
    const uint64_t offset = std::exchange(at_, record.next);
    switch (record.type) {
      case RecordType::kSite:
        add_site(record, offset);
        continue;
      case RecordType::kFrame:
        frame_ = decode_frame(record.payload);
        return Item::kFrame;
      case RecordType::kDecision:
        decision_ = decode_decision(record.payload, sites_);
        count_tokens();
        return Item::kDecision;
    }
    fail("recording {}: expected a record of type 1 to 3 at byte {}, got {}; the file is damaged or newer",
         name_, offset, static_cast<int>(record.type));
  }
  return Item::kEnd;
}

RecordingReader::Item RecordingReader::peek() {
  Record record;
  for (uint64_t at = at_; read_record(at, record); at = record.next) {
    if (record.type == RecordType::kFrame) return Item::kFrame;
    if (record.type == RecordType::kDecision) return Item::kDecision;
  }
  return Item::kEnd;
}

void RecordingReader::scan() {
  if (std::exchange(scanned_, true)) return;
  Record record;
  for (uint64_t at = begin_; read_record(at, record); at = record.next) {
    if (record.type == RecordType::kSite) add_site(record, at);
    if (record.type != RecordType::kFrame) continue;
    const auto frame = decode_frame(record.payload);
    places_.push_back({frame.phase, frame.step, frame.batch, at});
  }
}

bool RecordingReader::find(RoutePhase phase, int64_t step, int64_t batch) {
  const auto is_it = [&](RoutePhase p, int64_t s, int64_t b) {
    return p == phase && s == step && b == batch;
  };
  if (peek() == Item::kFrame) {  // replay asks in the order of the recording
    const uint64_t here = at_;
    next();
    if (is_it(frame_.phase, frame_.step, frame_.batch)) return true;
    at_ = here;
  }
  scan();
  const auto place = std::find_if(places_.begin(), places_.end(),
                                  [&](const Place& p) { return is_it(p.phase, p.step, p.batch); });
  if (place == places_.end()) return false;
  at_ = place->offset;
  return next() == Item::kFrame;
}

std::string RecordingReader::contents() {
  scan();
  std::map<RoutePhase, std::pair<int64_t, int64_t>> steps;
  for (const auto& place : places_) {
    auto [range, fresh] = steps.try_emplace(place.phase, place.step, place.step);
    range->second = {std::min(range->second.first, place.step), std::max(range->second.second, place.step)};
  }
  std::string text;
  for (const auto& [phase, range] : steps) {
    text += fmt::format("{}{} of steps {} to {}", text.empty() ? "" : ", ", route_phase_name(phase),
                        range.first, range.second);
  }
  return text.empty() ? "no batches" : text;
}

uint64_t RecordingReader::end_of_step(int64_t step) {
  Record record;
  uint64_t at = begin_;
  for (; read_record(at, record); at = record.next) {
    if (record.type == RecordType::kSite) add_site(record, at);
    if (record.type != RecordType::kFrame) continue;
    const auto frame = decode_frame(record.payload);
    if (frame.step > step || frame.phase >= RoutePhase::kTest) break;
  }
  return at;
}

std::vector<RouteSite> truncate_recording(const std::string& path, int64_t step) {
  RecordingReader reader(path);
  if (::truncate(path.c_str(), static_cast<off_t>(reader.end_of_step(step))) != 0) {
    throw IoError(fmt::format("recording: expected to cut {}, got \"{}\"; check its permissions", path,
                              std::strerror(errno)));
  }
  return reader.sites();
}

}  // namespace gw::inline routing
