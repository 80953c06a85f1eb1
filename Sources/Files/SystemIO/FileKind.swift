import Glibc

/// Whether `path` is a folder, or a link to one.
public func isFolder(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Whether `path` is a regular file, or a link to one.
public func isFile(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
}

/// Whether anything has the name `path`. A link that leads nowhere counts: it was meant to be read, and opening it says
/// what is wrong.
public func nameExists(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0
}

/// What is at `path`, links followed, in words for a message: "a folder", "a link to /mnt/x, which is not there".
public func kindOfFile(at path: String) -> String {
  var status = stat()
  if stat(path, &status) == 0 { return kindOfFile(status) }
  return socketOrLinkToNowhere(at: path) ?? "nothing"
}

func kindOfFile(_ status: stat) -> String {
  switch status.st_mode & S_IFMT {
  case S_IFDIR: "a folder"
  case S_IFIFO: "a pipe"
  case S_IFSOCK: "a socket"
  case S_IFCHR, S_IFBLK: "a device"
  case S_IFREG: "a file"
  default: "something else"
  }
}

/// What cannot be opened although there is something of that name; nil for everything else.
func socketOrLinkToNowhere(at path: String) -> String? {
  var (named, meant) = (stat(), stat())
  guard lstat(path, &named) == 0 else { return nil }
  guard stat(path, &meant) != 0 else { return meant.st_mode & S_IFMT == S_IFSOCK ? "a socket" : nil }
  guard named.st_mode & S_IFMT == S_IFLNK, errno == ENOENT || errno == ELOOP || errno == ENOTDIR else { return nil }
  var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
  let count = target.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
  return count > 0 ? "a link to \(String(decoding: target[..<count], as: UTF8.self)), which is not there" : nil
}
