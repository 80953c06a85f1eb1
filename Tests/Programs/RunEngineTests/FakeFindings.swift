import RunEngine

/// What planning could have found, without a file.
func fakeFindings(layers: Int = 4) -> Findings {
  var findings = Findings(layerCount: layers)
  findings.headWeight = 2
  findings.texts = [fakeFile("text.raw")]
  findings.tokenizer = [fakeFile("tokenizer.json")]
  findings.model = [fakeFile("config.json"), fakeFile("model.safetensors")]
  for layer in 0..<layers {
    findings.autoencoders[layer] = [fakeFile("ae.pt", of: layer), fakeFile("config.json", of: layer)]
  }
  for program in ["wt-tokenize", "qwen-capture", "act-grad", "sae-grad", "grad-aggregate", "grad-plot"] {
    findings.programs[program] = fakeFile(program)
  }
  return findings
}

/// A file whose content is told by its name.
func fakeFile(_ name: String, of layer: Int = 0, content: String = "") -> FoundFile {
  let digits = (name + "\(layer)" + content).utf8.map { String($0, radix: 16) }.joined()
  return FoundFile(
    name: name, path: "/\(layer)/\(name)", bytes: 1,
    hash: String((digits + String(repeating: "0", count: 64)).prefix(64)))
}

func fakeStudy(_ unit: Study.Unit, layers: [Int] = [0, 1, 2, 3]) -> Study {
  var study = Study(unit, model: "M", texts: ["text.raw"], layers: layers)
  study.autoencoders = unit == .feature ? "saes/{layer}" : ""
  study.featureFlags = unit == .feature ? ["--stride", "4"] : []
  study.tokenFlags = ["--max-length", "32"]
  study.averageFlags = ["--mode", "mean"]
  study.device = "cpu"
  return study
}
