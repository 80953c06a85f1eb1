import FilterSupport
import Glibc
import SystemIO

/// The programs of a job, a process group of their own that the first one leads: one signal reaches all of them and what
/// they have started, and a terminal's signals reach this process alone.
///
/// A process that dies of SIGKILL can end nobody. So every program inherits the reading end of a pipe whose writing end
/// this process alone has, and the kernel is asked to send the group SIGTERM when something happens at the other end
/// (`F_SETOWN`, `F_SETSIG` and `O_ASYNC` of fcntl(2)). Nothing is ever written, so that is when this process has gone,
/// in whatever way. The object's own end has the same effect on what a job has left behind.
package final class RunningJob {
  let number: Int
  let children: [Child]
  /// The pipe's writing end.
  private let lifeline: Descriptor
  /// The signals that were to end the job.
  private var sent: Set<Int32> = []

  /// Starts the programs.
  ///
  /// - Parameter environment: `NAME=VALUE`.
  /// - Throws: `Failure` of kind unavailable where a program cannot be run, of kind cannotOpen where the input cannot be
  ///   opened. No program runs then.
  package init(_ job: Job, number: Int, programs: ProgramFolder, environment: [String]) throws(Failure) {
    precondition(!job.commands.isEmpty)
    var paths: [String] = []
    for command in job.commands { paths.append(try programs.path(of: command.program)) }
    var input = try Descriptor(opening: job.input ?? "/dev/null", O_RDONLY)
    let (end, lifeline) = try Descriptor.pipe()
    var children: [Child] = []
    do throws(Failure) {
      for (command, path) in zip(job.commands, paths) {
        let isLast = children.count == paths.count - 1
        let (next, output) = isLast ? (nil, try Self.output(job)) : try Descriptor.pipe()
        let (facts, errors) = (try Descriptor.pipe(), try Descriptor.pipe())
        let process = try spawn(
          path, Child.arguments(command), environment: environment,
          descriptors: [input, output, errors.writer, facts.writer, end], group: children.first?.process ?? 0)
        let name = String(command.program.split(separator: "/").last ?? "")
        children.append(Child(name, process, facts: facts.reader, errors: errors.reader))
        if children.count == 1 { Self.endWhenAbandoned(process, end) }
        if let next { input = next }
      }
    } catch {
      if let leader = children.first?.process { kill(-leader, SIGKILL) }
      for child in children { _ = retryingOnInterrupt { waitpid(child.process, nil, 0) } }
      throw error
    }
    (self.number, self.children, self.lifeline) = (number, children, lifeline)
  }

  private static func output(_ job: Job) throws(Failure) -> Descriptor {
    if let output = job.output { return try Descriptor(copying: output) }
    return try Descriptor(opening: "/dev/null", O_WRONLY)
  }

  /// - Parameter end: the reading end of the pipe that nothing is written to.
  private static func endWhenAbandoned(_ group: pid_t, _ end: Descriptor) {
    _ = fcntl(end.number, __F_SETSIG, SIGTERM)
    _ = fcntl(end.number, F_SETOWN, -group)
    _ = fcntl(end.number, F_SETFL, fcntl(end.number, F_GETFL) | O_ASYNC)
  }

  package var group: pid_t { children[0].process }

  /// Sends the group a signal. The group exists as long as one of its members has not been waited for.
  func send(_ signal: Int32) {
    guard !hasEnded else { return }
    kill(-group, signal)
  }

  /// Ends the programs, stopped ones too.
  func end(_ signal: Int32) {
    sent.insert(signal)
    send(signal)
    send(SIGCONT)
  }

  var hasEnded: Bool { children.allSatisfy(\.hasEnded) }

  /// Looks which programs have ended. Where one has failed nothing will come of the others, which may not notice for a
  /// long time: they are ended.
  func reap() {
    for child in children {
      child.reap(sent: sent)
      if child.blame == .itsOwn, sent.isEmpty { end(SIGTERM) }
    }
  }

  /// Of those that failed, the first in the pipe's order that did so by itself is the one to name: where a program fails,
  /// those before it find their reader gone, and those after it find their input cut short.
  var outcome: JobOutcome {
    let failed = children.filter { $0.blame != nil }
    return JobOutcome(failure: failed.min { $0.blame! < $1.blame! }?.failure)
  }
}
