@main struct QwenCapture { static func main() {} }
