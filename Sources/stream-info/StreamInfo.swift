@main struct StreamInfo { static func main() {} }
