@main struct WtTokenize { static func main() {} }
