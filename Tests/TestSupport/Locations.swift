import Foundation

/// The package's own folder, found from this file.
public let packageRoot = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

/// Data that is not part of the package; tests that use it are skipped where it is absent.
public let sharedData = packageRoot + "/../shared/data"

public func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
