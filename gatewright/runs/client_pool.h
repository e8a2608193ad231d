#pragma once
// Who runs the clients of a round: processes of this program, or threads.
#include "gatewright/base/child_process.h"
#include "gatewright/base/stop.h"
#include "gatewright/runs/client_worker.h"

namespace gw::inline runs {

/// What a client said, or why it said nothing of use.
struct ClientReply {
  Json said;
  std::string failure;
};

class ClientPool {
 public:
  virtual ~ClientPool() = default;
  /// One reply for each job, in their order, whatever becomes of the clients. A client is always hosted by
  /// the same host, `client` modulo their number. Errors: Interrupted after a stop; IoError where no process
  /// can be started.
  virtual std::vector<ClientReply> run(const std::vector<Json>& jobs) = 0;
};

/// Errors of a client are failures; one that dies or hangs cannot be had in a thread: it fails at once.
std::unique_ptr<ClientPool> clients_in_threads(int64_t hosts, const ClientSetup& setup);

struct ClientProcesses {
  int64_t hosts = 2;
  ChildProcess::Command command;  ///< of a host: `gatewright client SETUP`
  double timeout_s = 120;         ///< for a client's round; who takes longer is killed
  Stop stop = {};
};
/// A host that dies or hangs loses the client that it worked for; it is started anew for the next.
std::unique_ptr<ClientPool> clients_in_processes(const ClientProcesses& how);

/// The path of this program if it is `gatewright`, else of $GATEWRIGHT_PROGRAM; "" where neither is.
std::string program_for_clients();

}  // namespace gw::inline runs
