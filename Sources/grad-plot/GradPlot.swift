@main struct GradPlot { static func main() {} }
