import ArgumentParser
import Decoders
import JSON
import SystemIO

extension CompletionKind {
  /// For `--layers`: all, and the layers of the model that `--model` names, of which every range begins with one.
  public static var layers: CompletionKind {
    .custom { words, _, prefix in
      layerCompletions(
        of: prefix, model: value(of: "--model", in: words) ?? value(of: "--model-name", in: words))
    }
  }
}

/// - Parameter model: a folder or a hub id, as it stands in the command line.
func layerCompletions(of prefix: String, model: String?) -> [String] {
  let count = model.flatMap(layerCount) ?? 0
  let begun = prefix.lastIndex { ",-".contains($0) }.map { prefix[...$0] } ?? ""
  let whole = begun.isEmpty ? ["all"] + (count > 1 ? ["0-\(count - 1)"] : []) : []
  return whole + (0..<count).map { "\(begun)\($0)" }
}

private func layerCount(_ model: String) -> Int? {
  guard let folder = try? HubCache.folder(model, what: "model"),
    let text = try? InputFile(path: "\(folder)/config.json").readAll(limit: 1_000_000),
    let json = try? JSON(parsing: text, allowsNonfinite: true), let description = try? DecoderDescription(json),
    description.layerCount <= 1000
  else { return nil }
  return description.layerCount
}

private func value(of flag: String, in words: [String]) -> String? {
  guard let index = words.firstIndex(of: flag), index + 1 < words.count else { return nil }
  // bash takes = for a word of its own.
  let value = words[index + 1] == "=" && index + 2 < words.count ? words[index + 2] : words[index + 1]
  return String(value.filter { !"'\"\\".contains($0) })
}

/// A completion script as it is, or, where it is one for bash, with what ArgumentParser's leaves out: bash hands
/// `--flag=value` to it as three words, and a redirection as two. What it knows nothing of completes as files do.
func completingInBash(_ script: String) -> String {
  let registration = "complete -o filenames -F _\(programName) \(programName)"
  guard script.hasSuffix(registration) else { return script }
  let wrapper = """
    _\(programName)_words() {
        local -i index last=${COMP_CWORD}
        local current="${2}" word
        [[ "${current}" != = ]] || current=
        local -a words=()
        for ((index = 0; index < last; index++)); do
            word="${COMP_WORDS[index]}"
            case "${word}" in
            =) ;;
            *[\\<\\>])
                ((index + 1 < last)) || return
                ((index++))
                ;;
            *) words+=("${word}") ;;
            esac
        done
        local -a COMP_WORDS=("${words[@]}" "${current}")
        local -i COMP_CWORD=${#words[@]}
        local COMP_LINE="${COMP_WORDS[*]}"
        local -i COMP_POINT=${#COMP_LINE}
        _\(programName) "${1}" "${current}" "${words[@]: -1}"
    }
    complete -o bashdefault -o default -o filenames -F _\(programName)_words \(programName)
    """
  // The parser's own subcommand, beside --help.
  return script.dropLast(registration.count).replacing("compgen -W 'help'", with: "compgen -W ''") + wrapper
}
