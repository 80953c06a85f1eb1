// swift-tools-version: 6.1
import PackageDescription

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

// The order follows the data: bytes, streams, text, model, gradients, aggregates, plots, programs.
let package = Package(
  name: "gradient-filters",
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    // Files: what is read and written.
    .systemLibrary(
      name: "CDeflate", path: "Sources/Files/CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
    .systemLibrary(
      name: "CPCRE2", path: "Sources/Files/CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    .systemLibrary(
      name: "CXXHash", path: "Sources/Files/CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(
      name: "CZstd", path: "Sources/Files/CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "SystemIO", dependencies: ["CXXHash"], path: "Sources/Files/SystemIO"),
    .target(name: "JSON", dependencies: ["SystemIO"], path: "Sources/Files/JSON"),
    .target(name: "TensorFiles", dependencies: ["SystemIO", "JSON", "CDeflate"], path: "Sources/Files/TensorFiles"),
    .target(
      name: "TensorStream", dependencies: ["SystemIO", "TensorFiles", "CZstd", "CXXHash"],
      path: "Sources/Files/TensorStream"),

    // Compute: operations on tensors.
    .target(name: "CVectorMath", path: "Sources/Compute/CVectorMath"),
    .target(
      name: "TensorOperations", dependencies: ["SystemIO", "TensorFiles", "CVectorMath"],
      path: "Sources/Compute/TensorOperations"),
    .target(
      name: "CUDAOperations", dependencies: ["TensorOperations", "TensorFiles", "SystemIO"],
      path: "Sources/Compute/CUDAOperations"),

    // Model: text to tokens, decoders, sparse autoencoders.
    .target(
      name: "Tokenization", dependencies: ["TensorStream", "JSON", "SystemIO", "CPCRE2"],
      path: "Sources/Model/Tokenization"),
    .target(
      name: "Decoders", dependencies: ["TensorOperations", "TensorStream", "TensorFiles", "JSON", "SystemIO"],
      path: "Sources/Model/Decoders"),
    .target(
      name: "SparseAutoencoders",
      dependencies: ["TensorFiles", "TensorOperations", "TensorStream", "JSON", "SystemIO"],
      path: "Sources/Model/SparseAutoencoders"),

    // Study: gradients at places, their averages, and where in the text they are large.
    .target(
      name: "GradientPasses", dependencies: ["Decoders", "SparseAutoencoders", "TensorOperations", "TensorStream"],
      path: "Sources/Study/GradientPasses"),
    .target(
      name: "Aggregation",
      dependencies: [
        "SparseAutoencoders", "TensorOperations", "TensorStream", "TensorFiles", "SystemIO", "CVectorMath",
      ],
      path: "Sources/Study/Aggregation"),
    .target(
      name: "Contexts",
      dependencies: [
        "Aggregation", "Tokenization", "SparseAutoencoders", "TensorOperations", "TensorStream", "SystemIO",
        "CVectorMath",
      ],
      path: "Sources/Study/Contexts"),

    // Show: tables, pictures.
    .systemLibrary(
      name: "CPNG", path: "Sources/Show/CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(
      name: "CCairo", path: "Sources/Show/CCairo", pkgConfig: "cairo-ft", providers: [.apt(["libcairo2-dev"])]),
    .target(
      name: "Tables", dependencies: ["Aggregation", "TensorStream", "SystemIO"], path: "Sources/Show/Tables"),
    .target(
      name: "Plotting", dependencies: ["Aggregation", "TensorFiles", "TensorStream", "CCairo", "CPNG", "SystemIO"],
      path: "Sources/Show/Plotting"),
    .target(
      name: "Report",
      dependencies: ["Aggregation", "Tables", "Plotting", "TensorStream", "JSON", "SystemIO", "CDeflate"],
      path: "Sources/Show/Report",
      resources: [.embedInCode("Resources")]),

    // Programs: what they share, and a folder each.
    .target(
      name: "FilterSupport",
      dependencies: [
        "Aggregation", "GradientPasses", "Decoders", "SparseAutoencoders", "TensorOperations", "CUDAOperations",
        "Tables", "TensorStream", "JSON", "SystemIO", argumentParser,
      ], path: "Sources/Programs/FilterSupport"),
    .target(
      name: "RunEngine",
      dependencies: [
        "FilterSupport", "Aggregation", "Decoders", "SparseAutoencoders", "Tokenization", "TensorStream", "JSON",
        "SystemIO",
      ], path: "Sources/Programs/RunEngine"),
    .executableTarget(
      name: "gradient-run", dependencies: ["RunEngine", "FilterSupport"], path: "Sources/Programs/gradient-run"),
    .executableTarget(
      name: "wt-tokenize", dependencies: ["FilterSupport", "Tokenization", "TensorStream"],
      path: "Sources/Programs/wt-tokenize"),
    .executableTarget(
      name: "qwen-capture", dependencies: ["FilterSupport", "GradientPasses"], path: "Sources/Programs/qwen-capture"),
    .executableTarget(
      name: "act-grad", dependencies: ["FilterSupport", "GradientPasses"], path: "Sources/Programs/act-grad"),
    .executableTarget(
      name: "sae-grad", dependencies: ["FilterSupport", "GradientPasses"], path: "Sources/Programs/sae-grad"),
    .executableTarget(
      name: "sae-effect", dependencies: ["FilterSupport", "Aggregation", "GradientPasses", "JSON"],
      path: "Sources/Programs/sae-effect"),
    .executableTarget(
      name: "grad-aggregate", dependencies: ["FilterSupport", "Aggregation", "TensorFiles"],
      path: "Sources/Programs/grad-aggregate"),
    .executableTarget(
      name: "grad-plot", dependencies: ["FilterSupport", "Aggregation", "Plotting"], path: "Sources/Programs/grad-plot"),
    .executableTarget(
      name: "grad-table", dependencies: ["FilterSupport", "Aggregation", "Tables"], path: "Sources/Programs/grad-table"),
    .executableTarget(
      name: "grad-contexts",
      dependencies: ["FilterSupport", "Aggregation", "Contexts", "Tokenization", "TensorStream", "JSON"],
      path: "Sources/Programs/grad-contexts"),
    .executableTarget(
      name: "grad-report", dependencies: ["FilterSupport", "Aggregation", "Report", "Tables"],
      path: "Sources/Programs/grad-report"),
    .executableTarget(
      name: "stream-info", dependencies: ["FilterSupport", "TensorStream"], path: "Sources/Programs/stream-info"),

    .target(
      name: "TestSupport", dependencies: ["SystemIO", "TensorFiles", "TensorStream"], path: "Tests/TestSupport",
      exclude: ["StandInGPU"]),
    .testTarget(name: "SystemIOTests", dependencies: ["SystemIO", "TestSupport"], path: "Tests/Files/SystemIOTests"),
    .testTarget(name: "JSONTests", dependencies: ["JSON", "SystemIO"], path: "Tests/Files/JSONTests"),
    .testTarget(
      name: "TensorFilesTests", dependencies: ["TensorFiles", "JSON", "SystemIO", "TestSupport"],
      path: "Tests/Files/TensorFilesTests", exclude: ["Fixtures", "make_fixtures.py"]),
    .testTarget(
      name: "TensorStreamTests", dependencies: ["TensorStream", "TensorFiles", "CZstd", "TestSupport"],
      path: "Tests/Files/TensorStreamTests", exclude: ["damaged-streams.json", "make_damaged_streams.py"]),
    .testTarget(
      name: "TensorOperationsTests",
      dependencies: ["TensorOperations", "CUDAOperations", "CVectorMath", "TensorFiles", "SystemIO", "TestSupport"],
      path: "Tests/Compute/TensorOperationsTests"),
    .testTarget(
      name: "CUDAOperationsTests", dependencies: ["CUDAOperations", "TensorOperations", "TestSupport"],
      path: "Tests/Compute/CUDAOperationsTests"),
    .testTarget(
      name: "TokenizationTests", dependencies: ["Tokenization", "TensorStream", "JSON", "SystemIO", "TestSupport"],
      path: "Tests/Model/TokenizationTests", exclude: ["Fixtures", "compare_with_hf.py", "make_fixtures.py"]),
    .testTarget(
      name: "DecodersTests",
      dependencies: [
        "Decoders", "TensorOperations", "CUDAOperations", "TensorStream", "TensorFiles", "JSON", "SystemIO",
        "TestSupport",
      ], path: "Tests/Model/DecodersTests"),
    .testTarget(
      name: "SparseAutoencodersTests",
      dependencies: [
        "SparseAutoencoders", "GradientPasses", "TensorOperations", "TensorStream", "TensorFiles", "SystemIO",
        "TestSupport",
      ], path: "Tests/Model/SparseAutoencodersTests", exclude: ["Fixtures", "make_fixtures.py"]),
    .testTarget(
      name: "GradientPassesTests",
      dependencies: [
        "GradientPasses", "Decoders", "SparseAutoencoders", "TensorOperations", "CUDAOperations", "Aggregation",
        "TensorStream", "TensorFiles", "JSON", "SystemIO", "TestSupport",
      ], path: "Tests/Study/GradientPassesTests"),
    .testTarget(
      name: "AggregationTests",
      dependencies: [
        "Aggregation", "SparseAutoencoders", "TensorOperations", "TensorStream", "TensorFiles", "JSON", "SystemIO",
        "TestSupport",
      ], path: "Tests/Study/AggregationTests", exclude: ["Fixtures", "make_fixtures.py"]),
    .testTarget(
      name: "ContextsTests",
      dependencies: [
        "Contexts", "Aggregation", "SparseAutoencoders", "Tokenization", "TensorOperations", "TensorStream", "SystemIO",
        "TestSupport",
      ], path: "Tests/Study/ContextsTests"),
    .testTarget(
      name: "TablesTests",
      dependencies: ["grad-table", "Tables", "Aggregation", "TensorFiles", "TensorStream", "SystemIO", "TestSupport"],
      path: "Tests/Show/TablesTests"),
    .testTarget(
      name: "PlottingTests",
      dependencies: [
        "grad-plot", "Plotting", "Aggregation", "TensorFiles", "SystemIO", "TensorStream", "CPNG", "TestSupport",
      ], path: "Tests/Show/PlottingTests", exclude: ["Pictures", "compare_with_matplotlib.py"]),
    .testTarget(
      name: "ReportTests",
      dependencies: [
        "grad-report", "Report", "Tables", "Plotting", "Aggregation", "FilterSupport", "TensorFiles", "TensorStream",
        "JSON", "SystemIO", "CDeflate", "TestSupport",
      ], path: "Tests/Show/ReportTests"),
    .testTarget(
      name: "FilterTests",
      dependencies: [
        "wt-tokenize", "qwen-capture", "act-grad", "sae-grad", "sae-effect", "grad-aggregate", "grad-plot",
        "grad-table", "grad-contexts", "grad-report", "stream-info", "gradient-run", "Aggregation", "FilterSupport",
        "TensorStream",
        "TensorFiles",
        "Tokenization", "SystemIO", "CZstd", "TestSupport",
      ], path: "Tests/Programs/FilterTests"),
    .testTarget(
      name: "RunEngineTests", dependencies: ["RunEngine", "FilterSupport", "SystemIO", "TestSupport"],
      path: "Tests/Programs/RunEngineTests"),
  ]
)

// Only for make fuzz: these need every module to be built for libFuzzer.
if Context.environment["FUZZING"] != nil {
  package.targets += [
    .executableTarget(
      name: "fuzz-reader",
      dependencies: [
        "Aggregation", "Decoders", "FilterSupport", "JSON", "Plotting", "SparseAutoencoders", "SystemIO", "TensorFiles",
        "TensorOperations", "TensorStream", "TestSupport", "Tokenization",
      ],
      path: "Tests/Fuzzing", exclude: ["run"])
  ]
}

// Only for make bench.
if Context.environment["BENCHMARKS"] != nil {
  package.targets += [
    .executableTarget(
      name: "stream-pipe", dependencies: ["TensorStream", "SystemIO"], path: "Benchmarks/stream-pipe")
  ]
}
