#pragma once
#include <memory>

#include "gatewright/base/json.h"
#include "gatewright/routing/recording.h"

namespace gw::inline routing {

/// Where a recording's bytes come from.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  /// Reads exactly `size` bytes. Errors: IoError.
  virtual void read(uint64_t offset, char* to, size_t size) = 0;
};
/// Errors: IoError if the file cannot be opened or is no regular file.
std::unique_ptr<ByteSource> file_source(const std::string& path);
/// `bytes` must outlive the source.
std::unique_ptr<ByteSource> memory_source(std::string_view bytes);

/// How a recording ends.
struct RecordingEnd {
  enum class Kind { kWhole, kCut, kDamaged } kind = Kind::kWhole;
  uint64_t good_bytes = 0;  ///< up to here every record is whole
  uint64_t lost_bytes = 0;  ///< what follows
};

/// Reads a recording record by record; memory grows with one record, not with the file. A file that was cut,
/// or whose bytes changed, is read up to the first record that is not whole.
class RecordingReader {
 public:
  enum class Item { kFrame, kDecision, kEnd };

  /// Errors: ValueError naming the file unless it starts with a whole header of a known version; IoError.
  explicit RecordingReader(const std::string& path);
  RecordingReader(std::unique_ptr<ByteSource> source, std::string name);

  const std::string& name() const { return name_; }
  const Json& about() const { return about_; }
  const std::vector<RouteSite>& sites() const { return sites_; }

  /// The next batch or decision, or the end. Errors: ValueError if a record is whole but breaks the format.
  Item next();
  /// The kind of what `next` would return.
  Item peek();
  const RouteFrame& frame() const { return frame_; }
  const RouteDecision& decision() const { return decision_; }
  const RouteSite& site() const { return sites_[static_cast<size_t>(decision_.site)]; }

  /// Goes to just behind the frame of this batch, or returns false and stays. The first search beyond what
  /// was read scans on.
  bool find(RoutePhase phase, int64_t step, int64_t batch);
  /// Phases that the whole file has, with their first and last step. Cost: scans the file once.
  std::string contents();
  /// Where the batches of training and validation up to `step` end. To be called first: afterwards `sites`
  /// has those before that place.
  uint64_t end_of_step(int64_t step);
  /// Known once `next` has returned kEnd or the file was scanned.
  const RecordingEnd& ending() const { return end_; }

 private:
  struct Place {
    RoutePhase phase;
    int64_t step, batch;
    uint64_t offset;
  };
  struct Record {
    RecordType type;
    std::string payload;
    uint64_t next;
  };
  void read_header();
  bool read_record(uint64_t offset, Record& record);
  char* window(uint64_t offset, size_t size);
  void count_tokens();
  void add_site(const Record& record, uint64_t offset);
  void scan();

  std::unique_ptr<ByteSource> source_;
  std::string name_;
  Json about_;
  std::vector<RouteSite> sites_;
  std::vector<uint64_t> site_offsets_;
  std::vector<Place> places_;
  int64_t experts_ = 0, tokens_ = 0;
  bool scanned_ = false;
  uint64_t begin_ = 0, at_ = 0, furthest_ = 0, window_begin_ = 0;
  std::string window_;
  RouteFrame frame_;
  RouteDecision decision_;
  RecordingEnd end_;
};

/// Cuts a recording after the last batch of training or validation whose step is at most `step`, and
/// everything that is not whole:
/// a run resumed from a checkpoint then records what one that was never interrupted would have. Returns the
/// sites that remain.
std::vector<RouteSite> truncate_recording(const std::string& path, int64_t step);

}  // namespace gw::inline routing
