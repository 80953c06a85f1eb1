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
    .systemLibrary(name: "CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "CCairo", pkgConfig: "cairo", providers: [.apt(["libcairo2-dev"])]),

    .target(name: "SystemIO", dependencies: ["CXXHash"]),
    .target(name: "JSON", dependencies: ["SystemIO"]),
    .target(name: "Safetensors", dependencies: ["SystemIO", "JSON"]),
    .target(name: "TensorStream", dependencies: ["SystemIO", "Safetensors", "CZstd", "CXXHash"]),
    .target(name: "HubCache", dependencies: ["SystemIO"]),
    .target(name: "Tokenization", dependencies: ["TensorStream", "JSON", "SystemIO"]),
    .target(name: "CVectorMath"),
    .target(name: "TensorOperations", dependencies: ["SystemIO", "Safetensors", "StoredTensors", "CVectorMath"]),
    .target(name: "CUDAOperations", dependencies: ["TensorOperations", "Safetensors", "SystemIO"]),
    .target(
      name: "QwenModel",
      dependencies: [
        "TensorOperations", "TensorStream", "TorchFiles", "StoredTensors", "Safetensors", "HubCache", "JSON",
        "SystemIO",
      ]),
    .target(
      name: "GradientPasses", dependencies: ["QwenModel", "SparseAutoencoders", "TensorOperations", "TensorStream"]),
    .target(name: "StoredTensors", dependencies: ["Safetensors", "SystemIO"]),
    .target(name: "ZipArchive", dependencies: ["StoredTensors", "SystemIO", "CDeflate"]),
    .target(name: "TorchFiles", dependencies: ["ZipArchive", "StoredTensors", "Safetensors", "SystemIO"]),
    .target(
      name: "SparseAutoencoders",
      dependencies: [
        "TorchFiles", "NumPyFiles", "ZipArchive", "StoredTensors", "Safetensors", "TensorOperations", "TensorStream",
        "HubCache", "JSON", "SystemIO",
      ]),
    .target(
      name: "Aggregation",
      dependencies: [
        "SparseAutoencoders", "TensorOperations", "GradientStatistics", "TensorStream", "Safetensors", "SystemIO",
        "CVectorMath",
      ]),
    .target(name: "GradientStatistics", dependencies: ["TensorStream", "SystemIO"]),
    .target(name: "NumPyFiles", dependencies: ["SystemIO"]),
    .target(name: "GradientSources", dependencies: ["GradientStatistics", "NumPyFiles", "TensorStream", "SystemIO"]),
    .target(name: "Plotting", dependencies: ["GradientStatistics", "TensorStream", "CCairo", "CPNG", "SystemIO"]),
    .target(name: "FilterSupport", dependencies: ["SystemIO", "JSON", "TensorStream", "HubCache", argumentParser]),
    .target(
      name: "ComputeSupport",
      dependencies: [
        "FilterSupport", "GradientPasses", "QwenModel", "TensorOperations", "TensorStream", "CUDAOperations",
        "SystemIO",
        argumentParser,
      ]),

    .executableTarget(
      name: "wt-tokenize", dependencies: ["FilterSupport", "HubCache", "Tokenization", "TensorStream"]),
    .executableTarget(name: "qwen-capture", dependencies: ["FilterSupport", "ComputeSupport", "GradientPasses"]),
    .executableTarget(name: "act-grad", dependencies: ["FilterSupport", "ComputeSupport", "GradientPasses"]),
    .executableTarget(name: "sae-grad", dependencies: ["FilterSupport", "ComputeSupport", "GradientPasses"]),
    .executableTarget(
      name: "grad-aggregate", dependencies: ["FilterSupport", "ComputeSupport", "Aggregation", "NumPyFiles"]),
    .executableTarget(
      name: "grad-plot", dependencies: ["FilterSupport", "GradientSources", "GradientStatistics", "Plotting"]),
    .executableTarget(name: "stream-info", dependencies: ["FilterSupport", "TensorStream"]),

    .target(
      name: "TestSupport", dependencies: ["SystemIO", "Safetensors", "TensorStream"], path: "Tests/TestSupport",
      exclude: ["StandInGPU"]),
    .testTarget(name: "SystemIOTests", dependencies: ["SystemIO", "TestSupport"]),
    .testTarget(name: "JSONTests", dependencies: ["JSON", "SystemIO"]),
    .testTarget(name: "SafetensorsTests", dependencies: ["Safetensors", "TestSupport"]),
    .testTarget(name: "TensorStreamTests", dependencies: ["TensorStream", "Safetensors", "CZstd", "TestSupport"]),
    .testTarget(
      name: "TensorOperationsTests",
      dependencies: [
        "TensorOperations", "CUDAOperations", "StoredTensors", "CVectorMath", "Safetensors", "SystemIO", "TestSupport",
      ]),
    .testTarget(
      name: "CUDAOperationsTests", dependencies: ["CUDAOperations", "TensorOperations", "SystemIO", "TestSupport"]),
    .testTarget(
      name: "QwenModelTests",
      dependencies: [
        "QwenModel", "TensorOperations", "CUDAOperations", "TensorStream", "StoredTensors", "Safetensors", "JSON",
        "SystemIO",
        "TestSupport",
      ]),
    .testTarget(
      name: "GradientPassesTests",
      dependencies: [
        "GradientPasses", "QwenModel", "SparseAutoencoders", "TensorOperations", "CUDAOperations", "Aggregation",
        "TensorStream", "Safetensors", "SystemIO", "TestSupport",
      ]),
    .testTarget(name: "ZipArchiveTests", dependencies: ["ZipArchive", "SystemIO", "TestSupport"]),
    .testTarget(
      name: "TorchFilesTests", dependencies: ["TorchFiles", "ZipArchive", "StoredTensors", "SystemIO", "TestSupport"],
      exclude: ["Fixtures", "make_fixtures.py"]),
    .testTarget(
      name: "SparseAutoencodersTests",
      dependencies: [
        "SparseAutoencoders", "GradientPasses", "TensorOperations", "TensorStream", "StoredTensors", "Safetensors",
        "SystemIO",
        "TestSupport",
      ],
      exclude: ["Fixtures", "make_fixtures.py"]),
    .testTarget(
      name: "AggregationTests",
      dependencies: ["Aggregation", "GradientStatistics", "TensorOperations", "TensorStream", "TestSupport"]),
    .testTarget(
      name: "FilterTests",
      dependencies: [
        "wt-tokenize", "qwen-capture", "act-grad", "sae-grad", "grad-aggregate", "grad-plot", "stream-info",
        "TensorStream",
        "FilterSupport", "Safetensors", "Tokenization", "SystemIO", "CZstd", "TestSupport",
      ],
      exclude: ["interop.py"]),
    .testTarget(
      name: "TokenizationTests", dependencies: ["Tokenization", "TensorStream", "JSON", "SystemIO", "TestSupport"],
      exclude: ["Fixtures", "compare_with_hf.py", "make_fixtures.py"]),
    .testTarget(
      name: "GradientStatisticsTests",
      dependencies: ["GradientStatistics", "TensorStream", "JSON", "SystemIO", "TestSupport"],
      exclude: ["Fixtures", "make_fixtures.py", "compare_with_numpy.py"]),
    .testTarget(name: "NumPyFilesTests", dependencies: ["NumPyFiles", "JSON", "SystemIO", "TestSupport"]),
    .testTarget(
      name: "GradientSourcesTests",
      dependencies: ["GradientSources", "GradientStatistics", "NumPyFiles", "TensorStream", "SystemIO", "TestSupport"]),
    .testTarget(
      name: "PlottingTests",
      dependencies: [
        "grad-plot", "Plotting", "GradientSources", "GradientStatistics", "NumPyFiles", "SystemIO", "TensorStream",
        "CPNG", "TestSupport",
      ],
      exclude: ["Pictures", "compare_with_matplotlib.py"]),
  ]
)

// Only for make fuzz: these need every module to be built for libFuzzer.
if Context.environment["FUZZING"] != nil {
  package.targets += [
    .executableTarget(
      name: "fuzz-reader",
      dependencies: [
        "Aggregation", "FilterSupport", "GradientSources", "JSON", "NumPyFiles", "QwenModel",
        "Safetensors", "SparseAutoencoders", "StoredTensors", "SystemIO", "TensorOperations", "TensorStream",
        "TestSupport", "Tokenization", "TorchFiles", "ZipArchive",
      ],
      path: "Tests/Fuzzing")
  ]
}
