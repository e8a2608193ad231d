#include "gatewright/routing/recorder.h"

#include <filesystem>
#include <utility>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/routing/recording_reader.h"

namespace gw::inline routing {
namespace {

constexpr size_t kFlush_bytes = 1 << 20;  // an endless batch of inference must not grow in memory
constexpr size_t kLoadShown = 256;
constexpr uint64_t kSummary_bytes = uint64_t{8} << 30;

/// Keeps the lines of training and validation up to `step`; a last line without its end goes.
void truncate_summary(const std::string& path, int64_t step) {
  std::error_code ignored;
  if (path.empty() || !std::filesystem::exists(path, ignored)) return;
  const auto bytes = read_file(path, kSummary_bytes);
  std::string kept;
  for (size_t begin = 0, end; (end = bytes.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto line = bytes.substr(begin, end - begin);
    const auto json = Json::parsed(line).value_or(Json());
    const bool good = json.is_object() && json.contains("step") && json["step"].is_number_integer() &&
                      json.contains("phase");
    if (!good || json["step"].get<int64_t>() > step ||
        (json["phase"] != "train" && json["phase"] != "validation"))
      continue;
    kept += line + "\n";
  }
  write_atomic(path, kept);
}

}  // namespace

Json to_json(const RouteSummary& s) {
  Json json{{"step", s.step},
            {"epoch", s.epoch},
            {"phase", route_phase_name(s.phase)},
            {"batch", s.batch},
            {"site", s.site},
            {"purpose", route_purpose_name(s.purpose)},
            {"tokens", s.stats.tokens},
            {"rows", s.stats.rows()},
            {"dropped", s.stats.dropped},
            {"max_over_mean", s.stats.max_over_mean()},
            {"variation", s.stats.variation()},
            {"entropy", s.stats.entropy()},
            {"dead", s.stats.dead()}};
  if (s.stats.load.size() <= kLoadShown) json["load"] = s.stats.load;
  return json;
}

RouteRecorder::RouteRecorder(Files files, const Json& about, RecordingOptions options,
                             std::shared_ptr<RouteTap> inner)
    : files_(std::move(files)), options_(options), inner_(std::move(inner)) {
  write_atomic(files_.recording, encode_recording_header(about));
  if (!files_.summary.empty()) write_atomic(files_.summary, "");
  open_files();
}

RouteRecorder::RouteRecorder(Files files, RecordingOptions options, std::shared_ptr<RouteTap> inner,
                             std::vector<RouteSite> sites)
    : files_(std::move(files)), options_(options), inner_(std::move(inner)), sites_(std::move(sites)) {
  open_files();
}

std::shared_ptr<RouteRecorder> RouteRecorder::resume(Files files, const Json& about, RecordingOptions options,
                                                     int64_t step, std::shared_ptr<RouteTap> inner) {
  std::error_code ignored;
  if (!std::filesystem::exists(files.recording, ignored))
    return std::make_shared<RouteRecorder>(std::move(files), about, options, std::move(inner));
  auto sites = truncate_recording(files.recording, step);
  truncate_summary(files.summary, step);
  return std::shared_ptr<RouteRecorder>(
      new RouteRecorder(std::move(files), options, std::move(inner), std::move(sites)));
}

RouteRecorder::~RouteRecorder() {
  listener_ = nullptr;  // after an error the listener may be gone
  try {
    flush();
  } catch (const Error&) {  // a destructor has nobody to tell
  }
}

void RouteRecorder::open_files() {
  recording_.emplace(files_.recording);
  if (!files_.summary.empty()) summary_.emplace(files_.summary);
}

void RouteRecorder::begin(const RouteFrame& frame) {
  inner_->begin(frame);
  const std::lock_guard lock(mutex_);
  if (in_frame_) summarise();
  begin_locked(frame);
}

void RouteRecorder::begin_locked(const RouteFrame& frame) {
  pending_ += frame_record(RecordType::kFrame, encode_frame(frame, options_.inputs));
  here_ = {frame.phase, frame.step, frame.epoch, frame.batch, "", RoutePurpose::kClean, {}};
  in_frame_ = true;
}

void RouteRecorder::end() {
  inner_->end();
  const std::lock_guard lock(mutex_);
  summarise();
  flush_locked();
}

RoutingPlan RouteRecorder::decide(const RouteQuery& query) {
  if (query.soft) return inner_->decide(query);
  auto plan = inner_->decide(query);
  const std::lock_guard lock(mutex_);
  if (!in_frame_) begin_locked({});
  const int64_t site = site_number(query.site, plan.experts());
  pending_ += frame_record(RecordType::kDecision, encode_decision(site, query.purpose, plan, options_));
  if (query.purpose != RoutePurpose::kSearch) stats_[{site, query.purpose}].add(plan);
  if (pending_.size() > kFlush_bytes) flush_locked();
  return plan;
}

int64_t RouteRecorder::site_number(const std::string& name, int64_t experts) {
  for (size_t i = 0; i < sites_.size(); ++i) {
    if (sites_[i].name == name && sites_[i].experts == experts) return static_cast<int64_t>(i);
  }
  sites_.push_back({name, experts});
  pending_ += frame_record(RecordType::kSite, encode_site(sites_.back()));
  return static_cast<int64_t>(sites_.size()) - 1;
}

/// Closes the batch: one line and one call for every layer.
void RouteRecorder::summarise() {
  for (auto& [key, stats] : stats_) {
    here_.site = sites_[static_cast<size_t>(key.first)].name;
    here_.purpose = key.second;
    here_.stats = std::move(stats);
    if (summary_) pending_lines_ += dump_json(to_json(here_)) + "\n";
    if (listener_) listener_(here_);
  }
  stats_.clear();
  in_frame_ = false;
}

void RouteRecorder::flush() {
  const std::lock_guard lock(mutex_);
  if (in_frame_) summarise();
  flush_locked();
}

std::pair<LogMark, std::optional<LogMark>> RouteRecorder::marks() {
  const std::lock_guard lock(mutex_);
  if (in_frame_) summarise();
  flush_locked();
  return {recording_->mark(), summary_ ? std::optional(summary_->mark()) : std::nullopt};
}

void RouteRecorder::flush_locked() {
  const auto records = std::exchange(pending_, {}),
             lines = std::exchange(pending_lines_, {});  // written once, also when it fails halfway
  recording_->append(records);
  if (summary_) summary_->append(lines);
}

}  // namespace gw::inline routing
