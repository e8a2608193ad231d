#include "gatewright/runs/client_pool.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <optional>
#include <thread>

#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"

namespace gw::inline runs {
namespace {

using HostClock = std::chrono::steady_clock;

constexpr size_t kLongestWhy = 300;

size_t host_of(const Json& job, size_t hosts) {
  return static_cast<size_t>(job.at("client").get<int64_t>()) % hosts;
}

/// The reply in a host's line.
ClientReply reply_in(const std::string& line) {
  try {
    auto said = parse_json(line, "a client's answer");
    if (said.is_object() && said.contains("error") && said.at("error").is_string())
      return {nullptr, shown(said.at("error").text(), kLongestWhy)};
    return {std::move(said), ""};
  } catch (const ValueError& error) {
    return {nullptr, shown(error.what(), kLongestWhy)};
  }
}

class ThreadClients : public ClientPool {
 public:
  ThreadClients(int64_t hosts, const ClientSetup& setup)
      : setup_(setup), workers_(static_cast<size_t>(hosts)) {}

  std::vector<ClientReply> run(const std::vector<Json>& jobs) override {
    std::vector<ClientReply> replies(jobs.size());
    std::vector<std::thread> threads;
    for (size_t h = 0; h < workers_.size(); ++h) threads.emplace_back([&, h] { host(h, jobs, replies); });
    for (auto& thread : threads) thread.join();
    return replies;
  }

 private:
  void host(size_t h, const std::vector<Json>& jobs, std::vector<ClientReply>& replies) {
    for (size_t j = 0; j < jobs.size(); ++j) {
      if (host_of(jobs[j], workers_.size()) != h) continue;
      try {
        if (!workers_[h]) workers_[h] = std::make_unique<ClientWorker>(setup_);
        replies[j].said = workers_[h]->answer(jobs[j]);
        if (replies[j].said.contains("spoil"))
          replies[j] = {nullptr, "does \"" + replies[j].said.at("spoil").text() + "\", which no thread can"};
      } catch (const std::exception& error) {
        replies[j] = {nullptr, shown(error.what(), kLongestWhy)};
      }
    }
  }

  ClientSetup setup_;
  std::vector<std::unique_ptr<ClientWorker>> workers_;
};

class ProcessClients : public ClientPool {
 public:
  explicit ProcessClients(const ClientProcesses& how) : how_(how), hosts_(static_cast<size_t>(how.hosts)) {}

  std::vector<ClientReply> run(const std::vector<Json>& jobs) override {
    std::vector<ClientReply> replies(jobs.size());
    for (size_t j = 0; j < jobs.size(); ++j) hosts_[host_of(jobs[j], hosts_.size())].waiting.push_back(j);
    while (busy()) {
      if (how_.stop.requested())
        throw Interrupted("interrupted while clients learn; nothing is kept of this arm");
      for (auto& host : hosts_) give(host, jobs, replies);
      listen(replies);
    }
    return replies;
  }

 private:
  struct Host {
    std::unique_ptr<ChildProcess> process = {};
    std::deque<size_t> waiting = {};
    std::optional<size_t> job = {};
    HostClock::time_point until = {};
  };

  bool busy() const {
    return std::any_of(hosts_.begin(), hosts_.end(),
                       [](const Host& host) { return host.job || !host.waiting.empty(); });
  }

  void give(Host& host, const std::vector<Json>& jobs, std::vector<ClientReply>& replies) {
    if (host.job || host.waiting.empty()) return;
    host.job = host.waiting.front();
    host.waiting.pop_front();
    if (!host.process) host.process = std::make_unique<ChildProcess>(how_.command);
    const auto most = std::chrono::milliseconds(static_cast<int64_t>(how_.timeout_s * 1000));
    host.until = HostClock::now() + most;
    if (!host.process->send(dump_json(jobs[*host.job]), most.count())) lose(host, "does not listen", replies);
  }

  void listen(std::vector<ClientReply>& replies) {
    std::vector<pollfd> lines;
    for (const auto& host : hosts_)
      lines.push_back({host.job ? host.process->line() : -1, POLLIN, 0});  // below 0: passed over
    ::poll(lines.data(), lines.size(), 100);
    for (auto& host : hosts_) {
      if (!host.job) continue;
      try {
        hear(host, replies);
      } catch (const ValueError& error) {  // a line without end
        lose(host, error.what(), replies);
      }
    }
  }

  void hear(Host& host, std::vector<ClientReply>& replies) {
    const auto said = host.process->received();
    if (!said.empty()) {
      replies[*host.job] = reply_in(said.front());
      host.job.reset();
      // Who says more than it was asked for, or nothing that can be read, may be out of step.
      if (said.size() > 1) host.process.reset();
    } else if (host.process->ended()) {
      constexpr int64_t kMostToEnd_ms = 500;
      const auto how = host.process->ends_within(kMostToEnd_ms) ? host.process->wait() : "closed its line";
      lose(host, "its process ended: " + (how.empty() ? "exit status 0" : how), replies);
    } else if (HostClock::now() > host.until) {
      lose(host, fmt::format("no answer in {:g} s", how_.timeout_s), replies);
    }
  }

  void lose(Host& host, const std::string& why, std::vector<ClientReply>& replies) {
    replies[*host.job] = {nullptr, shown(why, kLongestWhy)};
    host.job.reset();
    host.process.reset();
  }

  ClientProcesses how_;
  std::vector<Host> hosts_;
};

}  // namespace

std::unique_ptr<ClientPool> clients_in_threads(int64_t hosts, const ClientSetup& setup) {
  GW_CHECK(hosts >= 1, "federated: expected at least one host, got {}", hosts);
  return std::make_unique<ThreadClients>(hosts, setup);
}

std::unique_ptr<ClientPool> clients_in_processes(const ClientProcesses& how) {
  GW_CHECK(how.hosts >= 1 && how.timeout_s > 0, "federated: expected hosts and a timeout, got {} and {} s",
           how.hosts, how.timeout_s);
  return std::make_unique<ProcessClients>(how);
}

std::string program_for_clients() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error && path.filename() == "gatewright") return path.string();
  const char* named = std::getenv("GATEWRIGHT_PROGRAM");
  return named == nullptr ? "" : named;
}

}  // namespace gw::inline runs
