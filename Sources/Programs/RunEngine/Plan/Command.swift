/// One program and its arguments.
public struct Command: Equatable, Sendable {
  /// A program's name, or its path where that has a slash.
  public var program: String
  public var arguments: [String]

  public init(_ program: String, _ arguments: [String]) {
    self.program = program
    self.arguments = arguments
  }
}
