// Turns what a program says of itself into a man page.
//
//   PROGRAM --experimental-dump-help | manual --version 0.1.0 > PROGRAM.1
//   PIPELINE --help | manual --version 0.1.0 --pipeline NAME > NAME.1
//
// Compiled by scripts/make-manual, outside the package: nothing else needs it.

import Foundation

/// The part of ArgumentParser's ToolInfo that a man page shows.
struct Tool: Decodable {
  struct Name: Decodable {
    let kind: String
    let name: String

    /// As one types it.
    var spelling: String { kind == "long" ? "--\(name)" : "-\(name)" }
  }

  struct Argument: Decodable {
    let kind: String
    let shouldDisplay: Bool
    let isOptional: Bool
    let isRepeating: Bool
    let names: [Name]?
    let preferredName: Name?
    let valueName: String?
    let defaultValue: String?
    let allValues: [String]?
    let abstract: String?
    let discussion: String?
  }

  struct Command: Decodable {
    let commandName: String
    let abstract: String?
    let discussion: String?
    let arguments: [Argument]?
    let subcommands: [Command]?
  }

  let command: Command
}

/// Text as roff reads it: no character starts a request or an escape by accident.
func plain(_ text: some StringProtocol) -> String {
  let escaped = text.replacingOccurrences(of: "\\", with: "\\e").replacingOccurrences(of: "-", with: "\\-")
  return escaped.split(separator: "\n", omittingEmptySubsequences: false)
    .map { $0.hasPrefix(".") || $0.hasPrefix("'") ? "\\&\($0)" : String($0) }
    .joined(separator: "\n")
}

func bold(_ text: String) -> String { "\\fB\(plain(text))\\fR" }
func italic(_ text: String) -> String { "\\fI\(plain(text))\\fR" }

/// Lines that keep their form.
func literal(_ lines: [some StringProtocol]) -> String {
  ".RS 4\n.nf\n" + lines.map { "\(plain($0))\n" }.joined() + ".fi\n.RE\n"
}

func heading(_ name: String, _ abstract: String, _ version: String) -> String {
  """
  .\\" Generated from \(name) --help: make man
  .TH "\(plain(name.uppercased()))" 1 "" "gradient\\-filters \(plain(version))" "Gradient filters"
  .SH NAME
  \(plain(name)) \\- \(plain(abstract.hasSuffix(".") ? String(abstract.dropLast()) : abstract))

  """
}

/// `e.g.` lines and the indented ones after them are examples; everything else is paragraphs.
func split(discussion: String) -> (paragraphs: [String], examples: [String]) {
  var paragraphs: [[Substring]] = [[]]
  var examples: [String] = []
  var isExample = false
  for line in discussion.split(separator: "\n", omittingEmptySubsequences: false) {
    if line.hasPrefix("e.g.") {
      isExample = true
    } else if !line.hasPrefix(" ") {
      isExample = false
    }
    if isExample {
      // They all begin at the column of the first; what is indented further continues a line.
      examples.append(String(line.dropFirst("e.g.  ".count)))
    } else if line.allSatisfy(\.isWhitespace) {
      paragraphs.append([])
    } else {
      paragraphs[paragraphs.count - 1].append(line)
    }
  }
  return (paragraphs.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") }, examples)
}

func value(_ argument: Tool.Argument) -> String {
  argument.kind == "option" ? " \(italic(argument.valueName ?? "value"))" : ""
}

func synopsis(_ argument: Tool.Argument) -> String {
  var text =
    argument.kind == "positional"
    ? italic(argument.valueName ?? "argument")
    : bold(argument.preferredName?.spelling ?? "") + value(argument)
  if argument.isRepeating { text += " ..." }
  return argument.isOptional ? "[\(text)]" : text
}

func description(_ argument: Tool.Argument) -> String {
  let title =
    argument.kind == "positional"
    ? italic(argument.valueName ?? "argument")
    : (argument.names ?? []).map { bold($0.spelling) }.joined(separator: ", ") + value(argument)
  var text = [argument.abstract ?? "", argument.discussion ?? ""].filter { !$0.isEmpty }.joined(separator: "\n")
  // As --help has them.
  if let values = argument.allValues, !values.isEmpty { text += " (values: \(values.joined(separator: ", ")))" }
  if let defaultValue = argument.defaultValue { text += " (default: \(defaultValue))" }
  return ".TP\n\(title)\n\(plain(text))\n"
}

/// What holds for all programs.
let common = """
  .SH EXIT STATUS
  .TP
  .B 0
  done
  .TP
  .B 64
  the command line is wrong
  .TP
  .B 65
  malformed, truncated, empty or mismatched input
  .TP
  .B 66
  an input cannot be opened
  .TP
  .B 69
  the device asked for is not there
  .TP
  .B 70
  a bug
  .TP
  .B 74
  a read or write failed
  .TP
  .B 141
  the reader of the output is gone (SIGPIPE)

  """

func page(of tool: Tool, version: String) -> String {
  let command = tool.command
  let arguments = (command.arguments ?? []).filter(\.shouldDisplay)
  let options = arguments.filter { $0.kind != "positional" }
  let positional = arguments.filter { $0.kind == "positional" }
  let isForHelp = { (argument: Tool.Argument) in ["help", "version"].contains(argument.preferredName?.name) }
  var page = heading(command.commandName, command.abstract ?? "", version)
  page += ".SH SYNOPSIS\n\(bold(command.commandName))\n"
  page += (options.filter { !isForHelp($0) } + positional).map { "\(synopsis($0))\n" }.joined()
  let (paragraphs, examples) = split(discussion: command.discussion ?? "")
  if !paragraphs.isEmpty {
    page += ".SH DESCRIPTION\n" + paragraphs.map(plain).joined(separator: "\n.PP\n") + "\n"
  }
  if !positional.isEmpty { page += ".SH ARGUMENTS\n" + positional.map(description).joined() }
  page += ".SH OPTIONS\nFlags may be spelled with underscores, too.\n" + options.map(description).joined()
  func describe(_ commands: [Tool.Command], of name: String) {
    for command in commands where command.commandName != "help" {
      let (name, own) = (
        name + command.commandName, (command.arguments ?? []).filter { $0.shouldDisplay && !isForHelp($0) }
      )
      page +=
        ".SH COMMAND \(plain(name.uppercased()))\n\(plain(command.abstract ?? ""))\n" + own.map(description).joined()
      describe(command.subcommands ?? [], of: "\(name) ")
    }
  }
  describe(command.subcommands ?? [], of: "")
  if !examples.isEmpty { page += ".SH EXAMPLES\n" + literal(examples) }
  return page + common + seeAlso(command.commandName)
}

func seeAlso(_ name: String) -> String {
  let others = [
    "wt-tokenize", "qwen-capture", "act-grad", "sae-grad", "sae-effect", "grad-aggregate", "grad-plot", "grad-table",
    "grad-contexts", "grad-report", "stream-info", "gradient-run",
  ]
  return ".SH SEE ALSO\n"
    + others.filter { $0 != name }.map { "\(bold($0))(1)" }.joined(separator: ",\n") + "\n"
}

/// A pipeline's page is its help, whose first line that is no usage says what it is for.
func page(ofPipeline name: String, help: String, version: String) -> String {
  let lines = help.split(separator: "\n", omittingEmptySubsequences: false)
  let abstract = lines.first { !$0.isEmpty && !$0.lowercased().hasPrefix("usage") && !$0.hasPrefix(" ") } ?? ""
  let sentence = abstract.split(separator: ". ").first.map(String.init) ?? ""
  return heading(name, sentence, version) + ".SH DESCRIPTION\n.nf\n"
    + lines.map { "\(plain($0))\n" }.joined() + ".fi\n" + seeAlso(name)
}

var arguments = Array(CommandLine.arguments.dropFirst())
func option(_ name: String) -> String? {
  guard let index = arguments.firstIndex(of: name), index + 1 < arguments.count else { return nil }
  return arguments[index + 1]
}
let version = option("--version") ?? ""
let input = FileHandle.standardInput.readDataToEndOfFile()
do {
  let text =
    if let name = option("--pipeline") {
      page(ofPipeline: name, help: String(decoding: input, as: UTF8.self), version: version)
    } else {
      page(of: try JSONDecoder().decode(Tool.self, from: input), version: version)
    }
  try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
} catch {
  FileHandle.standardError.write(Data("manual: \(error)\n".utf8))
  exit(65)
}
