@main struct ActGrad { static func main() {} }
